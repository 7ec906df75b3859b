"""``tsloop status``: where the loop stands and what to do next."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

import typer

from tsloop.cli.tables import iterations_table, show, state_words
from tsloop.config.params import check_drift
from tsloop.errors import ConfigDriftError, PromotionError, TsloopError
from tsloop.files import read_json
from tsloop.loop.facts import ProjectView, gather_facts, new_labels_wait
from tsloop.loop.manager import Iteration, IterationManager
from tsloop.loop.source_news import source_news
from tsloop.loop.states import State
from tsloop.project import Project

__all__ = ["next_step", "setback", "show_status", "when_all_is_done"]


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
    champion = current_champion(project.root)
    typer.echo(f"Champion: {champion or 'none yet'}")
    view = ProjectView(project)
    waiting = {it.name for it in iterations if new_labels_wait(view, it.name)}
    facts = {name: gather_facts(project, spec, view) for name, spec in view.specs.items()}
    outdated = {name for name, found in facts.items() if not (found.report and found.published)}
    if any(project.registry(it.name).exists() for it in iterations):
        _follow(project)
    done = ""
    if iterations and iterations[-1].name not in outdated:
        newest = iterations[-1]
        primary = _primary(project, newest.name)
        if said := setback(project, newest, primary):
            typer.echo(said)
        done = when_all_is_done(newest, primary, champion)
    step = next_step(iterations, waiting, outdated, queues=_queues(project, iterations), done=done)
    typer.echo(_reviewed(project, iterations) or step)


def _reviewed(project: Project, iterations: list[Iteration]) -> str:
    """How far people are with the iteration that waits for its labels; empty where nobody began."""
    from tsloop.review.progress import review_progress

    for it in iterations:
        if it.failure or project.labels(it.name).exists():
            continue
        if it.state not in (State.CREATED, State.ANNOTATING):
            continue
        progress = review_progress(project, it.name)
        # A simulated annotator would answer as well: it waits only once people have begun.
        if progress is None or not (progress.done or it.state is State.CREATED):
            return ""
        if progress.done == progress.total:
            return f"{progress}. Next: tsloop review finish {it.name}"
        return f"{progress}: run `tsloop review`"
    return ""


def _follow(project: Project) -> None:
    """Bring MLflow up to date. It only shows what the files say: that it cannot is no failure."""
    from tsloop.cli.registry import sync_project

    try:
        sync_project(project)
    except (TsloopError, OSError, sqlite3.Error) as error:
        typer.echo(f"Attention: MLflow is not up to date. {error}")


def next_step(
    iterations: list[Iteration],
    waiting: Collection[str] = (),
    outdated: Collection[str] = (),
    *,
    queues: Mapping[str, str] | None = None,
    done: str = "",
) -> str:
    """One sentence: the command that moves the loop on.

    ``waiting`` have labels that their stages do not know yet; what ``outdated`` published or
    reported is missing, or does not belong to their labels, models and settings. ``queues`` names
    the file that ranks what to label for an iteration, where it is there. ``done`` is said where
    nothing is left to run.
    """
    for it in iterations:
        name = it.name
        if it.failure:
            return f"{name} failed: {it.failure}. After mending it: dvc repro"
        if it.state is State.CREATED:
            return _label(name, (queues or {}).get(name, ""))
        if it.state is State.ANNOTATING and name in waiting:
            return f"Next: tsloop configure && dvc repro (trains on data/labels/{name}.jsonl)"
        if it.state not in (State.REVIEWING, State.COMPLETED) or name in outdated:
            return f"Next: dvc repro (brings {name} from {state_words(it)} on)"
    if not iterations:
        return "Next: tsloop iteration create"
    return done or "Next: tsloop promote, or tsloop iteration create"


def _label(name: str, queue: str) -> str:
    if not queue:
        return f"Next: dvc repro (reads the series and ranks what to label first for {name})"
    return (
        f"Next: label series of {name}: `tsloop review` opens the page; `tsloop labels template "
        f"{name}` makes an editable draft of {queue} instead (docs/labels.md)"
    )


def _queues(project: Project, iterations: list[Iteration]) -> dict[str, str]:
    paths = {it.name: project.queue(it.parent) for it in iterations}
    return {name: project.relative(path) for name, path in paths.items() if path.exists()}


def _primary(project: Project, iteration: str) -> str:
    """The variant that `tsloop promote ITERATION` takes; empty where nothing readable is there."""
    from tsloop.tracking.promotions import published_iteration

    try:
        return published_iteration(project.root, iteration).primary
    except PromotionError:
        return ""


def setback(project: Project, it: Iteration, primary: str) -> str:
    """A sentence where the primary variant scored below the model that it was trained from."""
    card = project.report(it.name) / "scorecard.json"
    found = read_json(card) if card.exists() else {}
    own, before = (
        found.get(kind, {}).get(primary, {}).get("metrics", {}).get("event_f1")
        for kind in ("variants", "parents")
    )
    if own is None or before is None or own >= before:
        return ""
    return (
        f"{it.name} is not better: {primary} has event-F1 {own:.3f} on gold, and {it.parent}, "
        f"from which it was trained, {before:.3f}."
    )


def when_all_is_done(it: Iteration, primary: str, champion: str | None) -> str:
    """What follows where the newest iteration ``it`` is published and nothing is left to run."""
    if it.n_labelled == 0:
        return (
            f"{it.name} has no labels, so it learned nothing. Next: let people label: tsloop "
            f"configure annotator=human && tsloop labels template {it.name}"
        )
    if all(values.get("event_f1") is None for values in it.metrics.values()):
        return (
            "No gold yet, so nothing is measured and nothing can be promoted. Next: tsloop labels "
            "gold add FILE (docs/labels.md), or tsloop iteration create"
        )
    if champion == f"{it.name}/{primary}":
        return f"{champion} is the champion. Next: tsloop iteration create"
    return f"Next: tsloop promote {it.name}, or tsloop iteration create"
