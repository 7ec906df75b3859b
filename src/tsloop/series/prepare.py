"""The prepare stage: raw series in, validated series, views, thumbnails, repairs and truth out."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tsloop.errors import SeriesValidationError
from tsloop.files import write_jsonl
from tsloop.names import counted
from tsloop.series._repairs import Repair
from tsloop.series.policies import PrepareConfig
from tsloop.series.raw import RawSeries, RawStore
from tsloop.series.store import SeriesWriter
from tsloop.series.types import Role
from tsloop.series.validate import Validated, validate

__all__ = ["PrepareConfig", "Progress", "no_progress", "prepare_store"]

Progress = Callable[[int, int, str], None]
"""Called as ``(done, total, what)``."""

_MAX_OFFENDERS = 20


def no_progress(done: int, total: int, what: str) -> None:
    """A progress callback that does nothing."""


def prepare_store(
    raw_dir: Path,
    series_dir: Path,
    truth_dir: Path,
    config: PrepareConfig,
    progress: Progress = no_progress,
) -> dict[str, int]:
    """Fill ``series_dir`` and ``truth_dir/intervals.jsonl`` from the raw store; returns counts.

    Every bad series is looked for before the stage gives up, so that one run shows them all (up to
    20); with ``invalid: exclude`` they are left out and recorded in ``repairs.jsonl``.
    """
    raw = RawStore.open(raw_dir)
    outcome = _Outcome()
    with SeriesWriter(
        series_dir,
        view_points=config.view_points,
        thumbnail_width=config.thumbnail_width,
        thumbnail_height=config.thumbnail_height,
    ) as writer:
        for done, series_id in enumerate(raw.ids()):
            progress(done, len(raw), series_id)
            try:
                found = validate(_with_role(raw[series_id], config), config)
            except SeriesValidationError as error:
                outcome.refuse(series_id, error)
                if config.invalid == "error" and len(outcome.refused) >= _MAX_OFFENDERS:
                    break
                continue
            if not (outcome.refused and config.invalid == "error"):
                writer.add(found.series)
            outcome.add(found)
        outcome.check(config)
        write_jsonl(writer.directory / "repairs.jsonl", [r.to_dict() for r in outcome.repairs])
    write_jsonl(truth_dir / "intervals.jsonl", outcome.truth)
    progress(len(raw), len(raw), "done")
    return outcome.figures()


def _with_role(raw: RawSeries, config: PrepareConfig) -> RawSeries:
    """Pool series of the groups that the configuration calls gold become gold."""
    drawn = int(hashlib.sha256(raw.group.encode()).hexdigest()[:8], 16) / 2**32 < config.gold_share
    if raw.role is Role.POOL and (drawn or raw.group in config.gold_groups):
        return dataclasses.replace(raw, role=Role.GOLD)
    return raw


def _by_reason(refused: Sequence[SeriesValidationError]) -> list[list[SeriesValidationError]]:
    """Errors that differ in their series, cell and value alone, together; the largest group first.

    An error that does not state its reason stands for itself.
    """
    groups: dict[object, list[SeriesValidationError]] = {}
    for number, error in enumerate(refused):
        shape = re.sub(r"'[^']*'|[\d.,]*\d", "…", error.reason)
        key = (shape, error.hint) if error.reason else number
        groups.setdefault(key, []).append(error)
    return sorted(groups.values(), key=len, reverse=True)


def _grouped(errors: Sequence[SeriesValidationError]) -> str:
    """A single error as it is; several by number, the first three ids and the first reason."""
    first = errors[0]
    if len(errors) == 1:
        return str(first)
    ids = ", ".join(error.series_id for error in errors[:3])
    more = ", …" if len(errors) > 3 else ""
    cell = "" if first.row is None else f" (row {first.row}, column {first.column!r} of the first)"
    return f"{len(errors)} series ({ids}{more}): {first.reason}{cell}. {first.hint}".rstrip()


class _Outcome:
    """What prepare found, series by series."""

    def __init__(self) -> None:
        self.repairs: list[Repair] = []
        self.truth: list[dict[str, Any]] = []
        self.refused: list[SeriesValidationError] = []
        self.counts = dict.fromkeys(
            ("n_series", "n_pool", "n_gold", "n_spare", "n_rows", "n_missing", "n_constant"), 0
        )

    def add(self, found: Validated) -> None:
        series = found.series
        self.repairs += found.repairs
        self.counts["n_series"] += 1
        self.counts[f"n_{series.role}"] += 1
        self.counts["n_rows"] += len(series)
        self.counts["n_missing"] += int(np.isnan(series.values).sum())
        self.counts["n_constant"] += int(bool(series.meta.get("constant")))
        if found.intervals is not None:
            self.truth.append(
                {
                    "series_id": series.id,
                    "series_sha256": series.sha256,
                    "n_rows": len(series),
                    "intervals": [interval.to_dict() for interval in found.intervals],
                }
            )

    def refuse(self, series_id: str, error: SeriesValidationError) -> None:
        self.refused.append(error)
        row = error.row if error.row is not None else 0
        self.repairs.append(Repair(series_id, "excluded", 1, row, error.message))

    def check(self, config: PrepareConfig) -> None:
        """Raise for refused series, all in one message, unless they may be left out."""
        if not self.refused or (config.invalid == "exclude" and self.counts["n_series"]):
            return
        first = self.refused[0]
        if len(self.refused) == 1 and config.invalid == "error":
            raise first
        many = f"{len(self.refused)}" + ("+" if len(self.refused) >= _MAX_OFFENDERS else "")
        groups = _by_reason(self.refused)
        lines = [f"  {_grouped(errors)}" for errors in groups[:5]]
        if len(groups) > 5:
            lines.append(f"  … and {counted(sum(map(len, groups[5:])), 'other')}")
        verb = "is" if many == "1" else "are"
        raise SeriesValidationError(
            f"{many} series {verb} refused:\n" + "\n".join(lines) + "\n",
            row=first.row,
            column=first.column,
            hint="Mend them, declare a repair, or set prepare.invalid=exclude to leave them out.",
        )

    def figures(self) -> dict[str, int]:
        return {
            **self.counts,
            "n_refused": len(self.refused),
            "n_repairs": len(self.repairs) - len(self.refused),
            "n_with_truth": len(self.truth),
            "n_events": sum(len(row["intervals"]) for row in self.truth),
        }
