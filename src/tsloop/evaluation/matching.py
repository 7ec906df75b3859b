"""Which predicted event answers which true event: one to one, greedily by overlap.

Pairs are taken in order of falling intersection over union (IoU). A true event that several
predictions cut into pieces is found once, and the other pieces are false; a prediction that spans
several true events finds one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.errors import EvaluationError
from tsloop.intervals import Interval

__all__ = ["Matching", "match_arrays", "match_events"]

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matching:
    """Indices into the two lists that were matched.

    ``pairs`` holds (index of the true event, index of the predicted one), sorted; ``missed`` the
    true events without a partner, ``false`` the predictions without one.
    """

    pairs: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    false: tuple[int, ...]


def match_events(
    truth: Sequence[Interval], predicted: Sequence[Interval], iou: float = 0.0
) -> Matching:
    """One-to-one greedy matching; ``iou`` is the least IoU of a pair, 0 means any shared row.

    Labels play no part. Neither list needs to be sorted or free of overlaps.
    """
    if not 0.0 <= iou <= 1.0:
        raise EvaluationError(f"The least IoU of a match must lie in [0, 1], got {iou}.")
    t, p = match_arrays(*_rows(truth), *_rows(predicted), iou)
    order = np.argsort(t)
    pairs = tuple(zip(t[order].tolist(), p[order].tolist(), strict=True))
    missed = np.setdiff1d(np.arange(len(truth)), t).tolist()
    false = np.setdiff1d(np.arange(len(predicted)), p).tolist()
    return Matching(pairs, tuple(missed), tuple(false))


def _rows(intervals: Sequence[Interval]) -> tuple[Rows, Rows]:
    starts = np.fromiter((i.start for i in intervals), np.int64, len(intervals))
    ends = np.fromiter((i.end for i in intervals), np.int64, len(intervals))
    return starts, ends


def match_arrays(
    t_start: Rows, t_end: Rows, p_start: Rows, p_end: Rows, iou: float = 0.0
) -> tuple[Rows, Rows]:
    """`match_events` on first and last rows (inclusive); returns the matched indices of both."""
    t, p = _overlapping(t_start, t_end, p_start, p_end)
    if not len(t):
        return t, p
    shared = np.minimum(t_end[t], p_end[p]) - np.maximum(t_start[t], p_start[p]) + 1
    union = (t_end[t] - t_start[t] + 1) + (p_end[p] - p_start[p] + 1) - shared
    quality = shared / union
    if iou > 0.0:
        keep = quality >= iou
        t, p, quality = t[keep], p[keep], quality[keep]
    # A pair whose two sides have no other candidate needs no thought; loop over the rest only.
    alone = (np.bincount(t, minlength=1)[t] == 1) & (np.bincount(p, minlength=1)[p] == 1)
    if alone.all():
        return t, p
    rest = np.flatnonzero(~alone)
    chosen = rest[_greedy(t[rest], p[rest], quality[rest], t_start, p_start)]
    kept = np.sort(np.concatenate((np.flatnonzero(alone), chosen)))
    return t[kept], p[kept]


def _greedy(t: Rows, p: Rows, quality: npt.NDArray[np.float64], ts: Rows, ps: Rows) -> Rows:
    # Equal IoUs are taken from the left, in a way that does not depend on which side is which.
    order = np.lexsort((p, t, np.abs(ts[t] - ps[p]), ts[t] + ps[p], -quality))
    used_t: set[int] = set()
    used_p: set[int] = set()
    chosen = []
    for index in order.tolist():
        a, b = int(t[index]), int(p[index])
        if a not in used_t and b not in used_p:
            used_t.add(a)
            used_p.add(b)
            chosen.append(index)
    return np.array(chosen, dtype=np.int64)


def _overlapping(t_start: Rows, t_end: Rows, p_start: Rows, p_end: Rows) -> tuple[Rows, Rows]:
    """All pairs that share a row, by true index, then by predicted start."""
    none = np.empty(0, dtype=np.int64)
    if not len(t_start) or not len(p_start):
        return none, none
    order = np.argsort(p_start, kind="stable")
    starts, ends = p_start[order], p_end[order]
    # Where predictions overlap each other their ends need not rise: search in the running maximum.
    first = np.searchsorted(np.maximum.accumulate(ends), t_start, side="left")
    stop = np.searchsorted(starts, t_end, side="right")
    count = np.maximum(stop - first, 0)
    t = np.repeat(np.arange(len(t_start)), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    place = np.repeat(first, count) + offset
    keep = ends[place] >= t_start[t]
    return t[keep], order[place[keep]]
