"""Which windows of a series are asked about, and how their answers become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from tsloop.chatts.windows import window_starts
from tsloop.intervals import Interval

__all__ = [
    "MIN_WINDOW",
    "Window",
    "describe_rows",
    "halves",
    "merge_same",
    "plan_windows",
    "row_scores",
]

MIN_WINDOW = 64
"""Rows below which models of this kind are unreliable; no window is split into smaller ones."""

Window = tuple[int, int]
"""Rows ``start..stop-1``."""


def plan_windows(n_rows: int, window: int, overlap: int) -> list[Window]:
    """Windows of ``window`` rows that cover ``0..n_rows-1``; neighbours share ``overlap`` rows.

    The last one ends with the series and may share more. A shorter series is one window.
    """
    starts = window_starts(n_rows, window, window - overlap)
    return [(start, min(start + window, n_rows)) for start in starts]


def halves(window: Window, overlap: int) -> tuple[Window, Window] | None:
    """The two halves of a window, which share up to ``overlap`` rows.

    ``None`` where they would have fewer than `MIN_WINDOW` rows.
    """
    start, stop = window
    size = stop - start
    if size < 2 * MIN_WINDOW:
        return None
    middle = (start + stop) // 2
    shared = min(overlap, size // 4)
    return (start, middle + (shared + 1) // 2), (middle - shared // 2, stop)


def merge_same(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Intervals of one label that overlap or touch become one; others stay as they are.

    So an event that a window's border cuts is whole again. The joined interval has the highest
    score, and the reason of the longest part. The result is in order of rows.
    """
    by_label: dict[str, list[Interval]] = {}
    for interval in sorted(intervals, key=lambda i: (i.start, i.end)):
        found = by_label.setdefault(interval.label, [])
        if found and interval.start <= found[-1].end + 1:
            found[-1] = _joined(found[-1], interval)
        else:
            found.append(interval)
    every = [interval for found in by_label.values() for interval in found]
    return tuple(sorted(every, key=lambda i: (i.start, i.end, i.label)))


def _joined(one: Interval, other: Interval) -> Interval:
    longest = max(one, other, key=lambda i: (bool(i.reason), len(i)))
    scores = [score for score in (one.score, other.score) if score is not None]
    return one.replace(
        end=max(one.end, other.end),
        reason=longest.reason,
        score=max(scores) if scores else None,
    )


def row_scores(intervals: Sequence[Interval], n_rows: int) -> npt.NDArray[np.float64]:
    """Shape ``(n_rows,)``: the highest score of the intervals over each row, 0 outside them.

    An interval without a score counts 1.
    """
    scores = np.zeros(n_rows)
    for interval in intervals:
        rows = slice(interval.start, interval.end + 1)
        scores[rows] = np.maximum(scores[rows], 1.0 if interval.score is None else interval.score)
    return scores


def describe_rows(windows: Sequence[Window]) -> str:
    """``0..99, 200..299``: the rows of the first five windows, and how many more there are."""
    text = ", ".join(f"{start}..{stop - 1}" for start, stop in windows[:5])
    return f"{text} and {len(windows) - 5} more" if len(windows) > 5 else text
