"""``tsloop iteration``: create, list, show, delete, archive, train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsloop.cli.reading import (
    DATA_HELP,
    SET_HELP,
    ZONE_HELP,
    reading_here,
    say_faults,
    say_repairs,
    with_option,
)

if TYPE_CHECKING:
    from tsloop.loop.manager import Iteration, IterationManager

__all__ = ["app"]

app = typer.Typer(
    help="Create, list, show, train, archive and delete iterations.", no_args_is_help=True
)


def _manager() -> IterationManager:
    from tsloop.loop.manager import IterationManager
    from tsloop.project import find_project

    return IterationManager(find_project())


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="it004, …; default: the next number.")] = "",
    base_model: Annotated[
        str, typer.Option("--base-model", help="Iteration to build on; default: the newest.")
    ] = "",
) -> None:
    """Add an iteration; earlier ones keep their configuration and never rerun."""
    iteration = _manager().create_iteration(name, base_model)
    typer.echo(f"Created {iteration.name} on top of {iteration.parent}. Next: dvc repro")


@app.command("list")
def list_() -> None:
    """All iterations with state and event-F1 per variant."""
    from tsloop.cli.tables import iterations_table, show

    show(iterations_table(_manager().list_iterations()))


@app.command("show")
def show_(name: Annotated[str, typer.Argument(help="Iteration, as it002.")]) -> None:
    """One iteration: state, metrics of every variant, report."""
    from tsloop.cli.tables import metrics_table, show, state_words

    manager = _manager()
    iteration = manager.show(name)
    typer.echo(_summary(iteration, state_words(iteration)))
    if iteration.metrics:
        show(metrics_table(iteration.metrics))
    report = manager.project.report(name) / "report.html"
    if report.exists():
        typer.echo(f"Report: {manager.project.relative(report)}")


def _summary(iteration: Iteration, state: str) -> str:
    source = f" (starts from {iteration.base_model})" if iteration.base_model else ""
    parts = [f"{iteration.name} on {iteration.parent}{source}: {state}"]
    if iteration.n_labelled == 0:
        parts.append("(no labels)")
    if iteration.archived:
        parts.append("(archived)")
    if iteration.failure:
        parts.append(f"FAILED: {iteration.failure}")
    return " ".join(parts)


@app.command()
def delete(name: Annotated[str, typer.Argument(help="Iteration, as it004.")]) -> None:
    """Delete a leaf that is neither champion nor challenger; its human labels stay."""
    _manager().delete(name)
    typer.echo(f"Deleted {name}; its human labels, if any, are still in data/labels.")


@app.command()
def archive(
    keep: Annotated[
        int | None, typer.Option(help="Iterations that stay live; default: loop.live_iterations.")
    ] = None,
) -> None:
    """Take old iterations out of the DVC graph; outputs stay tracked, a git tag reproduces them."""
    done = _manager().archive(keep)
    for name in done:
        typer.echo(f"Archived {name}: archive/{name}.dvc, git tag tsloop/{name}")
    typer.echo("Commit the change." if done else "Nothing to archive.")


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="Iteration, as it003.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Hydra overrides, stored by `tsloop configure`.")
    ] = None,
) -> None:
    """Start fine-tuning in the background; follow it with `tsloop jobs`."""
    from tsloop.loop.manager import TrainConfig

    job = _manager().start_training(name, TrainConfig(tuple(overrides or ())))
    typer.echo(f"Started job {job}. Follow it: tsloop jobs log {job} --follow")


@app.command()
def infer(
    name: Annotated[str, typer.Argument(help="Iteration, as it003.")],
    data: Annotated[Path, typer.Argument(help=DATA_HELP)],
    variant: Annotated[str, typer.Option(help="Default: loop.primary.")] = "",
    zone: Annotated[str, typer.Option(help=ZONE_HELP)] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=SET_HELP)
    ] = None,
) -> None:
    """Run an iteration's model over new data and print what it finds.

    The exit code is 1 where a series cannot be read or scored.
    """
    from tsloop.execution.progress import stage_progress

    how = reading_here(zone, settings or ())
    with stage_progress("infer") as progress:
        results = _manager().run_inference(name, data, variant, how=how, progress=progress)
    faults = []
    for result in results:
        if result.status == "failed":
            faults.append((result.series_id, with_option(result.reason)))
            continue
        spans = ", ".join(f"[{i.start}, {i.end}] {i.label}" for i in result.intervals)
        typer.echo(f"{result.series_id}: {result.status} {spans or result.reason}".rstrip())
    say_repairs([repair for result in results for repair in result.repairs])
    say_faults(faults, len(results))
