"""The counts behind `tsloop.evaluation.thresholds.fit_decision`: many settings, all series at once.

The series are laid end to end with quiet rows between them, so that one pass finds the runs of all
of them and one matching pairs all their events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.evaluation.clicks import EDGE_TOLERANCE
from tsloop.evaluation.decision import Runs, Scores, join_runs, runs_above
from tsloop.evaluation.matching import match_arrays
from tsloop.intervals import Interval

__all__ = ["EDGES", "FLAGGED", "FOUND", "PREDICTED", "Pool", "Setting"]

Setting = tuple[float, float, int, int]
"""``hi``, ``lo / hi``, ``merge_gap``, ``min_length``."""

Rows = npt.NDArray[np.int64]

FOUND, PREDICTED, EDGES, FLAGGED = range(4)
"""Columns of the counts: matched events, predicted events, edges to move, rows in predictions."""

QUIET = -1.0


def _edges_off(t_start: Rows, t_end: Rows, p_start: Rows, p_end: Rows) -> int:
    """`tsloop.evaluation.clicks.edges_off`, summed over matched events."""
    slack = np.maximum(1.0, EDGE_TOLERANCE * (t_end - t_start + 1))
    off = (np.abs(t_start - p_start) > slack).sum() + (np.abs(t_end - p_end) > slack).sum()
    return int(off)


@dataclass(frozen=True)
class Pool:
    """Labelled series laid end to end; the rows between two series score `QUIET`."""

    scores: npt.NDArray[np.float64]
    t_start: Rows
    t_end: Rows

    @classmethod
    def of(
        cls,
        scores: Sequence[Scores],
        truths: Sequence[Sequence[Interval]],
        *,
        max_gap: int,
    ) -> Pool:
        """``max_gap`` bounds every merge gap, so that no run reaches into the next series."""
        quiet = np.full(max_gap + 1, QUIET)
        parts: list[npt.NDArray[np.float64]] = [quiet]
        starts: list[int] = []
        ends: list[int] = []
        offset = len(quiet)
        for series, truth in zip(scores, truths, strict=True):
            parts += [np.maximum(np.asarray(series, dtype=np.float64), 0.0), quiet]
            ordered = sorted(truth, key=lambda i: (i.start, i.end))
            starts += [offset + i.start for i in ordered]
            ends += [offset + i.end for i in ordered]
            offset += len(series) + len(quiet)
        return cls(
            np.concatenate(parts), np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)
        )

    @property
    def n_events(self) -> int:
        """Number of true events."""
        return len(self.t_start)

    @property
    def n_rows(self) -> int:
        """Number of rows of all series."""
        return int((self.scores != QUIET).sum())

    @property
    def n_true_rows(self) -> int:
        """Number of rows in true events; a row of two events counts twice."""
        return int((self.t_end - self.t_start + 1).sum())

    @property
    def largest(self) -> float:
        """The largest score, or `QUIET` without a row."""
        return float(self.scores.max())

    def event_peaks(self) -> npt.NDArray[np.float64]:
        """The largest score inside each true event."""
        spans = zip(self.t_start.tolist(), self.t_end.tolist(), strict=True)
        return np.array([self.scores[start : end + 1].max() for start, end in spans])

    def normal_scores(self) -> npt.NDArray[np.float64]:
        """The scores of all rows that belong to no true event."""
        steps = np.zeros(len(self.scores) + 1, dtype=np.int64)
        np.add.at(steps, self.t_start, 1)
        np.add.at(steps, self.t_end + 1, -1)
        outside: npt.NDArray[np.bool_] = (np.cumsum(steps)[:-1] == 0) & (self.scores != QUIET)
        return np.asarray(self.scores[outside])

    def counts(self, settings: Sequence[Setting]) -> Rows:
        """Shape ``(len(settings), 4)``: found, predicted, edges to move, rows in predictions."""
        table = np.zeros((len(settings), 4), dtype=np.int64)
        level, runs = np.nan, _no_runs()
        for row, (hi, ratio, gap, length) in enumerate(settings):
            if hi * ratio != level:
                level = hi * ratio
                runs = runs_above(self.scores, level)
            starts, ends, _ = join_runs(runs, hi, gap, length)
            t, p = match_arrays(self.t_start, self.t_end, starts, ends)
            edges = _edges_off(self.t_start[t], self.t_end[t], starts[p], ends[p])
            table[row] = len(t), len(starts), edges, (ends - starts + 1).sum()
        return table


def _no_runs() -> Runs:
    rows = np.empty(0, dtype=np.int64)
    return rows, rows, np.empty(0)
