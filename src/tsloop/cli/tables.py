"""Tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from tsloop.loop.manager import Iteration
    from tsloop.project import Project

__all__ = [
    "failures_table",
    "iterations_table",
    "metrics_table",
    "show",
    "state_words",
    "sweeps_table",
]

_METRICS = {
    "event_f1": "event-F1",
    "event_f1_iou30": "F1 IoU≥.3",
    "event_precision": "precision",
    "event_recall": "recall",
    "vus_pr": "VUS-PR",
    "clicks_saved": "clicks saved",
    "n_failed": "failed",
}


def show(table: Table) -> None:
    """Print a table at the width of the terminal; wide where the output goes to a file."""
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def metrics_table(metrics: Mapping[str, Mapping[str, float]]) -> Table:
    """One row per variant; the title says which was best, where there are several."""
    scored = {v: m["event_f1"] for v, m in metrics.items() if "event_f1" in m}
    best = f", best event-F1: {max(scored, key=scored.__getitem__)}" if len(scored) > 1 else ""
    table = Table(title=f"on gold{best}", title_justify="left")
    table.add_column("variant")
    for title in _METRICS.values():
        table.add_column(title, justify="right")
    for variant, values in metrics.items():
        table.add_row(variant, *(_number(values.get(key), key) for key in _METRICS))
    return table


def iterations_table(iterations: Sequence[Iteration]) -> Table:
    """One row per iteration, event-F1 of every variant."""
    variants = list(dict.fromkeys(v for it in iterations for v in it.metrics))
    table = Table()
    for title in ("iteration", "parent", "state", "labelled"):
        table.add_column(title)
    for variant in variants:
        table.add_column(f"{variant} event-F1", justify="right")
    for it in iterations:
        state = f"failed: {it.failure}" if it.failure else state_words(it)
        table.add_row(
            it.name,
            it.parent,
            f"{state} (archived)" if it.archived else state,
            _labelled(it.n_labelled),
            *(_number(it.metrics.get(v, {}).get("event_f1"), "") for v in variants),
        )
    return table


def state_words(it: Iteration) -> str:
    """The state as a reader understands it: a published iteration is done, not under review."""
    from tsloop.loop.states import State

    if it.state is State.REVIEWING:
        return "Done" if it.published else "Predicted"
    return str(it.state)


def _labelled(n_series: int | None) -> str:
    return "–" if n_series is None else str(n_series) if n_series else "no labels"


def sweeps_table(project: Project, paths: Iterable[Path] | None = None) -> Table:
    """One row per job, best first; jobs of an older tsloop say so.

    ``paths`` are the result files; default: those of every sweep of the project.
    """
    from tsloop.config.pipeline import REVISIONS
    from tsloop.files import read_json

    files = project.sweeps.glob("*/*.json") if paths is None else paths
    rows = [read_json(path) for path in sorted(files)]
    rows = [row for row in rows if isinstance(row, dict) and row.get("schema") == "tsloop.sweep/1"]
    table = Table(title="out-of-fold, gold not used", title_justify="left")
    for title in ("sweep", "job", "overrides"):
        table.add_column(title)
    for title in _METRICS.values():
        table.add_column(title, justify="right")
    for row in sorted(rows, key=lambda r: (r["sweep"], -r["metrics"].get("event_f1", 0.0))):
        ran = row.get("revisions", {"": 0})
        older = any(REVISIONS.get(stage) != revision for stage, revision in ran.items())
        table.add_row(
            row["sweep"],
            f"{row['job']} (older)" if older else row["job"],
            _overrides(row),
            *(_number(row["metrics"].get(key), key) for key in _METRICS),
        )
    return table


def failures_table(failures: Sequence[Mapping[str, Any]]) -> Table:
    """One row per job of a sweep that could not be done, and why."""
    table = Table(title=f"failed: {len(failures)}", title_justify="left")
    for title in ("sweep", "overrides", "reason"):
        table.add_column(title, overflow="fold")
    for row in failures:
        table.add_row(escape(row["sweep"]), _overrides(row), escape(row["reason"]))
    return table


def _overrides(row: Mapping[str, Any]) -> str:
    return escape(" ".join(o for o in row["overrides"] if not o.startswith("sweep.")))


def _number(value: float | None, key: str) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if key == "n_failed" else f"{value:.3f}"
