"""``tsloop status``: where the loop stands and what to do next."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

import typer

from tsloop.cli.tables import iterations_table, show
from tsloop.config.params import check_drift
from tsloop.errors import ConfigDriftError, TsloopError
from tsloop.loop.facts import ProjectView, gather_facts, new_labels_wait
from tsloop.loop.manager import IterationManager
from tsloop.loop.source_news import source_news
from tsloop.loop.states import State
from tsloop.project import Project

__all__ = ["next_step", "show_status"]


def show_status(project: Project) -> None:
    """Print the iterations, the champion and the next step; bring MLflow up to date."""
    from tsloop.tracking.promotions import current_champion

    try:
        check_drift(project)
    except ConfigDriftError as drift:
        typer.echo(f"Attention: {drift}")
    if news := source_news(project):
        typer.echo(f"Attention: {news}")
    iterations = IterationManager(project).list_iterations()
    show(iterations_table(iterations))
    typer.echo(f"Champion: {current_champion(project.root) or 'none yet'}")
    view = ProjectView(project)
    waiting = {it.name for it in iterations if new_labels_wait(view, it.name)}
    facts = {name: gather_facts(project, spec, view) for name, spec in view.specs.items()}
    outdated = {name for name, found in facts.items() if not (found.report and found.published)}
    if any(project.registry(it.name).exists() for it in iterations):
        _follow(project)
    typer.echo(next_step([(it.name, it.state, it.failure) for it in iterations], waiting, outdated))


def _follow(project: Project) -> None:
    """Bring MLflow up to date. It only shows what the files say: that it cannot is no failure."""
    from tsloop.cli.registry import sync_project

    try:
        sync_project(project)
    except (TsloopError, OSError, sqlite3.Error) as error:
        typer.echo(f"Attention: MLflow is not up to date. {error}")


def next_step(
    iterations: list[tuple[str, State, str]],
    waiting: Collection[str] = (),
    outdated: Collection[str] = (),
) -> str:
    """One sentence: the command that moves the loop on.


    ``waiting`` have labels that their stages do not know yet; what ``outdated`` published or
    reported is missing, or does not belong to their labels, models and settings.
    """
    for name, state, failure in iterations:
        if failure:
            return f"{name} failed: {failure}. After mending it: dvc repro"
        if state is State.CREATED:
            return f"Next: label the series of {name} in data/labels/{name}.jsonl"
        if state is State.ANNOTATING and name in waiting:
            return f"Next: tsloop configure && dvc repro (trains on data/labels/{name}.jsonl)"
        if state not in (State.REVIEWING, State.COMPLETED) or name in outdated:
            return f"Next: dvc repro (brings {name} from {state} on)"
    if not iterations:
        return "Next: tsloop iteration create"
    return "Next: tsloop promote, or tsloop iteration create"
