"""``tsloop status``: where the loop stands and what to do next."""

from __future__ import annotations

import typer

from tsloop.cli.tables import iterations_table, show
from tsloop.config.params import check_drift
from tsloop.errors import ConfigDriftError
from tsloop.loop.manager import IterationManager
from tsloop.loop.states import State
from tsloop.project import Project

__all__ = ["next_step", "show_status"]


def show_status(project: Project) -> None:
    """Print the iterations, the champion and the next step; bring MLflow up to date."""
    from tsloop.cli.registry import sync_project
    from tsloop.tracking.promotions import current_champion

    try:
        check_drift(project)
    except ConfigDriftError as drift:
        typer.echo(f"Attention: {drift}")
    iterations = IterationManager(project).list_iterations()
    show(iterations_table(iterations))
    typer.echo(f"Champion: {current_champion(project.root) or 'none yet'}")
    typer.echo(next_step([(it.name, it.state, it.failure) for it in iterations]))
    if any(project.registry(it.name).exists() for it in iterations):
        sync_project(project)


def next_step(iterations: list[tuple[str, State, str]]) -> str:
    """One sentence: the command that moves the loop on."""
    for name, state, failure in iterations:
        if failure:
            return f"{name} failed: {failure}. After mending it: dvc repro"
        if state in (
            State.CREATED,
            State.DATA_READY,
            State.TRAINING,
            State.TRAINED,
            State.INFERRING,
        ):
            return f"Next: dvc repro (brings {name} from {state} on)"
        if state is State.ANNOTATING:
            return f"Next: label the series of {name}; its journal is data/labels/{name}.jsonl"
    if not iterations:
        return "Next: tsloop iteration create"
    return "Next: tsloop promote, or tsloop iteration create"
