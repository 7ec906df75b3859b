"""From scores to intervals: the decision rule.

A decision is a hysteresis: an interval is a run of rows at or above ``lo`` that reaches ``hi``
somewhere; intervals at most ``merge_gap`` rows apart are joined, then those shorter than
``min_length`` are dropped. With ``hi > 0`` a quiet series always gets the answer "none".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsloop.errors import EvaluationError
from tsloop.intervals import Interval

__all__ = ["Decision", "Runs", "Scores", "join_runs", "runs_above"]

Scores = npt.NDArray[np.floating[Any]]
"""Anomaly scores, shape ``(n,)``, one per row, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Decision:
    """When a run of scores counts as an event.

    ``hi`` must be reached inside the run, ``lo`` is the absolute level down to which it extends
    (``0 < lo <= hi``), ``merge_gap`` counts rows between two runs, ``min_length`` counts rows.
    ``rule`` says where the numbers come from: ``labels:groups``, ``labels:time`` or ``label-free``.
    """

    hi: float = 0.5
    lo: float = 0.5
    merge_gap: int = 0
    min_length: int = 1
    rule: str = "label-free"

    def __post_init__(self) -> None:
        if not 0.0 < self.lo <= self.hi < float("inf"):
            raise EvaluationError(
                f"Decision with hi={self.hi} and lo={self.lo} is not valid: 0 < lo <= hi must "
                "hold, so that a quiet series can be answered with 'none'."
            )
        if self.merge_gap < 0 or self.min_length < 1:
            raise EvaluationError(
                f"Decision with merge_gap={self.merge_gap} and min_length={self.min_length} is not "
                "valid: merge_gap >= 0 and min_length >= 1 rows are needed."
            )

    def apply(self, scores: Scores) -> list[Interval]:
        """Intervals in row order, disjoint, each with the largest score of its rows.

        A score that is not finite is an error: it would silently end or hide an event.
        """
        flat = np.asarray(scores, dtype=np.float64)
        if flat.ndim != 1:
            raise EvaluationError(f"Scores must be one value per row, got the shape {flat.shape}.")
        if not np.isfinite(flat).all():
            row = int(np.flatnonzero(~np.isfinite(flat))[0])
            raise EvaluationError(f"The score of row {row} is {flat[row]}: scores must be finite.")
        runs = runs_above(flat, self.lo)
        starts, ends, peaks = join_runs(runs, self.hi, self.merge_gap, self.min_length)
        return [
            Interval(start, end, score=min(1.0, max(0.0, peak)))
            for start, end, peak in zip(starts.tolist(), ends.tolist(), peaks.tolist(), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; an unknown key is an error."""
        if unknown := sorted(set(data) - set(cls.__dataclass_fields__)):
            raise EvaluationError(
                f"Unknown decision keys {unknown}; known are {sorted(cls.__dataclass_fields__)}."
            )
        return cls(**data)


Runs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""First rows, last rows (inclusive) and largest scores of runs in row order."""


def runs_above(scores: npt.NDArray[np.float64], lo: float) -> Runs:
    """The maximal runs of rows with ``score >= lo``."""
    above = scores >= lo
    edges = np.flatnonzero(above[1:] != above[:-1]) + 1
    if len(above) and above[0]:
        edges = np.concatenate(([0], edges))
    if len(above) and above[-1]:
        edges = np.concatenate((edges, [len(above)]))
    starts, stops = edges[::2].astype(np.int64), edges[1::2].astype(np.int64)
    if not len(starts):
        return starts, stops, np.empty(0)
    # reduceat also reduces the quiet stretches between the runs: every second entry is one of ours.
    bounds = edges if edges[-1] < len(scores) else edges[:-1]
    return starts, stops - 1, np.maximum.reduceat(scores, bounds)[::2]


def join_runs(runs: Runs, hi: float, merge_gap: int, min_length: int) -> Runs:
    """Of some runs in row order: those that reach ``hi``, close ones joined, short ones dropped."""
    starts, ends, peaks = runs
    keep = peaks >= hi
    starts, ends, peaks = starts[keep], ends[keep], peaks[keep]
    if merge_gap and len(starts) > 1:
        first = np.concatenate(([True], starts[1:] - ends[:-1] - 1 > merge_gap))
        heads = np.flatnonzero(first)
        starts, peaks = starts[heads], np.maximum.reduceat(peaks, heads)
        ends = ends[np.concatenate((heads[1:] - 1, [len(ends) - 1]))]
    if min_length > 1:
        keep = ends - starts + 1 >= min_length
        starts, ends, peaks = starts[keep], ends[keep], peaks[keep]
    return starts, ends, peaks
