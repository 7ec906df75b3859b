"""``tsloop labels check|suspects|agreement``: whether labels can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tsloop.annotations.checks.findings import Finding
    from tsloop.loop.label_check import Checked
    from tsloop.project import Project

__all__ = ["check"]

TARGET_HELP = "Iteration, as it001, or a journal file; default: the newest iteration with labels."


def check(
    target: Annotated[str, typer.Argument(help=TARGET_HELP)] = "",
    shown: Annotated[int, typer.Option("--show", help="Findings to list of each check.")] = 5,
) -> None:
    """Look for faults in labels: bounds, contradictions, far edges, copies, gold, drift, agreement.

    What is looked for, and whether it warns or stops `dataset@`, is set by `tsloop configure
    checks.NAME=off|warn|stop`. Where a check that stops has found something, the exit code is 1.
    """
    from tsloop.annotations.checks.findings import stopping
    from tsloop.loop.label_check import check_iteration, check_journal
    from tsloop.project import find_project

    project = find_project()
    path = Path(target)
    if path.is_file():
        found = check_journal(project, path)
    else:
        found = check_iteration(project, target or newest_labelled(project))
    _say(found, shown)
    if stopping(found.findings, found.config):
        raise typer.Exit(1)


def newest_labelled(project: Project) -> str:
    """The newest iteration that has a journal."""
    from tsloop.config.params import read_iterations
    from tsloop.errors import AnnotationError

    for name in reversed(read_iterations(project)):
        if project.labels(name).exists() or project.simulated(name).exists():
            return name
    raise AnnotationError(
        "No iteration has labels yet.", hint="Write what to label: tsloop labels template it001"
    )


def _say(found: Checked, shown: int) -> None:
    from rich.table import Table

    from tsloop.annotations.checks.config import CHECKS
    from tsloop.annotations.checks.findings import counted_by_check
    from tsloop.cli.tables import show
    from tsloop.names import counted

    series = counted(found.n_records, "series", "series")
    typer.echo(f"{found.journal}: {series}, {counted(found.n_intervals, 'interval')}.")
    counts = counted_by_check(found.findings, found.config)
    table = Table()
    for title in ("check", "looks for", "action", "findings"):
        table.add_column(title, justify="right" if title == "findings" else "left")
    for name, row in counts.items():
        table.add_row(name, CHECKS[name].en, row["action"], str(row["findings"]))
    show(table)
    for name in counts:
        _list(name, [f for f in found.findings if f.check == name], shown)


def _list(name: str, findings: Sequence[Finding], shown: int) -> None:
    if not findings or shown < 1:
        return
    typer.echo(f"{name}:")
    for finding in findings[:shown]:
        typer.echo(f"  {finding}")
    if len(findings) > shown:
        typer.echo(f"  … and {len(findings) - shown} more (--show {len(findings)})")
