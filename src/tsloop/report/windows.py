"""A stretch of a series as a picture needs it: few rows, every gap visible, every edge exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.intervals import Interval
from tsloop.series.reduce import m4_positions
from tsloop.series.types import Series

__all__ = ["Window", "cut_window"]

Scores = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Window:
    """Some rows of ``first..last`` of a series; all arrays have one length.

    ``rows`` names the stored row of each, -1 for a row that was put into a hole of the time axis
    (its value and score are NaN). ``scores`` is empty where there are none.
    """

    first: int
    last: int
    rows: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    def place(self, interval: Interval) -> Interval | None:
        """The interval in rows of the window, clipped to it; ``None`` where it lies outside."""
        if interval.end < self.first or interval.start > self.last:
            return None
        real = np.flatnonzero(self.rows >= 0)
        stored = self.rows[real]
        start = min(int(np.searchsorted(stored, interval.start)), len(stored) - 1)
        end = max(int(np.searchsorted(stored, interval.end, side="right")) - 1, start)
        return interval.replace(start=int(real[start]), end=int(real[end]))

    def place_all(self, intervals: Iterable[Interval]) -> tuple[Interval, ...]:
        """Those of the intervals that touch the window."""
        placed = (self.place(interval) for interval in intervals)
        return tuple(interval for interval in placed if interval is not None)


def cut_window(
    series: Series,
    scores: Scores | None,
    start: int,
    stop: int,
    *,
    keep: Sequence[Interval] = (),
    max_points: int = 600,
) -> Window:
    """Rows ``start..stop-1``, thinned to about ``max_points``; the edges of ``keep`` stay.

    Values and scores are both thinned with M4, so that no spike of either is lost. Holes in the
    time axis become a NaN row.
    """
    values = series.values[start:stop]
    levels = None if scores is None else np.asarray(scores[start:stop], dtype=np.float64)
    edges = [
        row - start
        for interval in keep
        for row in (interval.start - 1, interval.start, interval.end, interval.end + 1)
        if start <= row < stop
    ]
    holes = _holes(series.timestamps[start:stop])
    fixed = np.array(sorted({*edges, *holes.tolist(), *(holes + 1).tolist()}), dtype=np.int64)
    kept = _thin(values, levels, fixed, max_points)
    stamps = series.timestamps[start:stop]
    # A NaN row stands in the middle of each hole, right after the row before it.
    after = np.searchsorted(kept, holes, side="right")
    middles = stamps[holes] + (stamps[holes + 1] - stamps[holes]) // 2 if len(holes) else holes
    return Window(
        start,
        stop - 1,
        np.insert(kept + start, after, -1),
        np.insert(stamps[kept], after, middles),
        np.insert(values[kept], after, np.nan),
        np.insert(levels[kept], after, np.nan) if levels is not None else np.empty(0),
    )


def _holes(timestamps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rows after which samples are missing: a step of more than 1.5 times the usual one.

    Where steps vary anyway (more than a fifth of them that long) only ten usual steps are a hole.
    """
    steps = np.diff(timestamps)
    if not len(steps):
        return np.empty(0, dtype=np.int64)
    usual = float(np.median(steps))
    holes = np.flatnonzero(steps > 1.5 * usual)
    if len(holes) > max(1, len(steps) // 5):
        holes = np.flatnonzero(steps > 10 * usual)
    return np.asarray(holes[:200], dtype=np.int64)


def _thin(
    values: npt.NDArray[np.float64],
    levels: npt.NDArray[np.float64] | None,
    fixed: npt.NDArray[np.int64],
    max_points: int,
) -> npt.NDArray[np.int64]:
    n_out = max(8, max_points // 4 * 4)
    while True:
        parts = [fixed, m4_positions(values, n_out)]
        if levels is not None and len(values) > n_out:
            parts.append(m4_positions(levels, max(4, n_out // 12 * 4)))
        kept = np.unique(np.concatenate(parts))
        if len(kept) <= max(max_points, 2 * len(fixed)) or n_out <= 8:
            return kept
        n_out = max(8, n_out * 2 // 3 // 4 * 4)
