"""``tsloop demo``: `dvc repro`, MLflow, the gate, and where to look next."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import typer

from tsloop.cli.registry import promote, sync_project
from tsloop.cli.tables import iterations_table, metrics_table, show
from tsloop.errors import PromotionError
from tsloop.loop.manager import IterationManager
from tsloop.project import Project

__all__ = ["activation_hint", "run_demo"]


def run_demo(project: Project) -> None:
    """Bring every iteration up to date, promote the newest where it wins, print the results."""
    started = time.monotonic()
    manager = IterationManager(project)
    manager.repro()
    iterations = manager.list_iterations()
    newest = iterations[-1]
    try:
        promote(f"{newest.name}", force=False, reason="", if_win=True)
    except PromotionError as error:  # as where settings were changed and the champion trained again
        typer.echo(f"Not promoted: {error}")
        sync_project(project)
    show(iterations_table(iterations))
    show(metrics_table(newest.metrics))
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    typer.echo(f"Done in {minutes} min {seconds:02d} s. Look at:")
    typer.echo(f"  {project.relative(project.report(newest.name) / 'report.html')}   the report")
    typer.echo("  tsloop tracking ui   the iterations side by side in MLflow")
    typer.echo("  tsloop status        what to do next")
    for line in activation_hint():
        typer.echo(line)


def activation_hint() -> list[str]:
    """How to make `tsloop` and `dvc` commands of this shell, where its environment is not active.

    `make demo` uses ``.venv`` without activating it in the shell that called it.
    """
    activate = Path(sys.prefix) / "bin" / "activate"
    if os.environ.get("VIRTUAL_ENV") == sys.prefix or not activate.exists():
        return []
    here = Path.cwd()
    # In its own directory the plain name would be looked up on PATH.
    inside = activate.is_relative_to(here) and activate.parent != here
    shown = activate.relative_to(here) if inside else activate
    return ["First, once in each shell, so that it finds tsloop and dvc:", f"  source {shown}"]
