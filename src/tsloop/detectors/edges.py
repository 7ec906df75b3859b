"""Where exactly an event begins and ends.

Scores over windows find events but smear their edges, and every edge that is off costs the reviewer
a click. An `EdgeRule` looks at the rows themselves: inside a found interval it keeps the rows that
leave the line between the levels on both sides, splits where they pause, and then pads by as many
rows as this team usually does. Its numbers come from labels (`fit_edges`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tsloop.errors import DetectorError
from tsloop.evaluation.clicks import EDGE_TOLERANCE
from tsloop.evaluation.matching import match_arrays
from tsloop.intervals import Interval
from tsloop.signals.robust import MAD_TO_SIGMA

__all__ = ["EdgeRule", "edge_worth", "fit_edges", "local_deviation"]

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

LEVELS = (2.0, 3.0, 4.0, 6.0, 9.0)
SHARES = (0.0, 0.25, 0.5)
CONTEXTS = (32, 128)
GAPS = (3, 10, 30, 100_000)
MIN_GAIN = 0.02
"""A rule must be worth so much more than leaving the intervals alone."""
MIN_PAIRS = 3
"""Padding is learned from at least so many found events."""
MAX_PAD = 40


@dataclass(frozen=True, slots=True)
class EdgeRule:
    """Rows inside an interval count where they deviate by ``level`` sigmas of the ``context`` rows
    on each side, and by ``share`` of the largest deviation; pauses longer than ``gap`` rows split;
    ``pad_start`` and ``pad_end`` rows are added (or, if negative, cut)."""

    level: float = 3.0
    share: float = 0.25
    context: int = 32
    gap: int = 30
    pad_start: int = 1
    pad_end: int = 1

    def apply(self, values: Values, intervals: Sequence[Interval]) -> list[Interval]:
        """The parts of the intervals, in row order and disjoint; parts that touch are joined.

        An interval in which no row deviates stays as it is. Other fields come from the (first)
        interval that a part belongs to.
        """
        found = _Found.of([values], [intervals], (self.context,))
        starts, ends, owners = found.parts(self)
        return [
            found.intervals[owner].replace(start=start, end=end)
            for start, end, owner in zip(
                starts.tolist(), ends.tolist(), owners.tolist(), strict=True
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; an unknown key is an error."""
        if unknown := sorted(set(data) - set(cls.__dataclass_fields__)):
            raise DetectorError(f"Unknown keys {unknown} in an edge rule.")
        return cls(**data)


def local_deviation(values: Values, start: int, end: int, context: int) -> Values:
    """How many sigmas each row of ``start..end`` lies off the line between the two sides.

    The line joins the medians of ``context`` rows before and after; a sigma is the robust spread
    of those rows about their own median. ``values`` is finite; shape ``(end - start + 1,)``.
    """
    before, after = values[max(0, start - context) : start], values[end + 1 : end + 1 + context]
    if len(before) + len(after) < 4:
        before = after = values[start : end + 1]
    before = before if len(before) else after
    after = after if len(after) else before
    left, right = float(np.median(before)), float(np.median(after))
    rest = np.concatenate((before - left, after - right))
    floor = 1e-9 * max(1.0, abs(left), abs(right))
    scale = MAD_TO_SIGMA * float(np.median(np.abs(rest)))
    if scale <= floor:
        scale = float(rest.std())
    if scale <= floor:
        scale = 0.1 * float(values.std()) or 1.0
    n = end - start + 1
    line = left + (right - left) * (np.arange(n) + 0.5) / n
    return np.abs(values[start : end + 1] - line) / scale


def fit_edges(
    values: Sequence[Values],
    predicted: Sequence[Sequence[Interval]],
    truths: Sequence[Sequence[Interval]],
) -> EdgeRule | None:
    """The rule that serves these labelled series best, or ``None``: leave the intervals alone.

    One array of finite values, found intervals and true intervals per series. A rule is judged by
    `edge_worth`, averaged with its neighbours in the grid of settings, because with few labels a
    single best setting is luck.
    """
    if not any(predicted) or not any(truths):
        return None
    found = _Found.of(values, predicted, CONTEXTS)
    truth = _Found.of(values, truths, ())
    rules = [
        _padded(EdgeRule(level, share, context, gap, 0, 0), found, truth)
        for level, share, context, gap in itertools.product(LEVELS, SHARES, CONTEXTS, GAPS)
    ]
    worth = [_worth(*found.parts(rule)[:2], truth.start, truth.end) for rule in rules]
    smooth = np.array(worth).reshape(len(LEVELS), len(SHARES), len(CONTEXTS), len(GAPS))
    for axis in (0, 1, 3):
        smooth = ndimage.convolve1d(smooth, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
    best = int(np.argmax(smooth))
    alone = _worth(found.start, found.end, truth.start, truth.end)
    return rules[best] if smooth.flat[best] > alone + MIN_GAIN else None


def edge_worth(
    rule: EdgeRule | None,
    values: Sequence[Values],
    predicted: Sequence[Sequence[Interval]],
    truths: Sequence[Sequence[Interval]],
) -> float:
    """Event-F1, half the event-F1 at IoU 0.3 and half the clicks saved (no worse than -1).

    Of the found intervals, after the rule where there is one; larger is better, at most 2.
    """
    found = _Found.of(values, predicted, () if rule is None else (rule.context,))
    truth = _Found.of(values, truths, ())
    start, end = (found.start, found.end) if rule is None else found.parts(rule)[:2]
    return _worth(start, end, truth.start, truth.end)


@dataclass(frozen=True)
class _Found:
    """Intervals of several series on one axis of rows, on which the series keep their distance.

    ``start`` and ``end`` are the rows of the intervals, ``low`` and ``high`` the first and last row
    of their series. ``row`` and ``owner`` list every row of every interval, and ``deviation`` its
    `local_deviation` for each context asked for.
    """

    intervals: list[Interval]
    start: Rows
    end: Rows
    low: Rows
    high: Rows
    row: Rows
    owner: Rows
    deviation: dict[int, Values]

    @classmethod
    def of(
        cls,
        values: Sequence[Values],
        intervals: Sequence[Sequence[Interval]],
        contexts: Sequence[int],
    ) -> Self:
        """One array of values and one list of intervals per series."""
        flat: list[Interval] = []
        place: list[tuple[int, int]] = []
        deviation: dict[int, list[Values]] = {context: [np.empty(0)] for context in contexts}
        low = 0
        for x, some in zip(values, intervals, strict=True):
            for one in sorted(some, key=lambda i: (i.start, i.end)):
                flat.append(one)
                place.append((low, low + len(x) - 1))
                for context in contexts:
                    deviation[context].append(local_deviation(x, one.start, one.end, context))
            low += len(x) + 2
        lows, highs = np.array(place, dtype=np.int64).reshape(-1, 2).T
        starts = lows + np.array([i.start for i in flat], dtype=np.int64)
        ends = lows + np.array([i.end for i in flat], dtype=np.int64)
        lengths = ends - starts + 1
        owner = np.repeat(np.arange(len(flat)), lengths)
        row = np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        joined = {context: np.concatenate(parts) for context, parts in deviation.items()}
        return cls(flat, starts, ends, lows, highs, row, owner, joined)

    def cores(self, rule: EdgeRule) -> tuple[Rows, Rows, Rows]:
        """First and last rows of the deviating parts before padding, and their intervals."""
        deviation = self.deviation[rule.context]
        if not len(deviation):
            return self.row, self.row, self.owner
        peaks = np.maximum.reduceat(deviation, np.flatnonzero(np.diff(self.owner, prepend=-1)))
        inside = deviation >= np.maximum(rule.level, rule.share * peaks)[self.owner]
        row, owner = self.row[inside], self.owner[inside]
        fresh = (np.diff(row, prepend=-1) > rule.gap) | (np.diff(owner, prepend=-1) != 0)
        first = np.flatnonzero(fresh)
        last = np.append(first[1:], len(row))[: len(first)] - 1
        return row[first], row[last], owner[first]

    def parts(self, rule: EdgeRule) -> tuple[Rows, Rows, Rows]:
        """The same after padding, with the intervals that have no part; touching ones joined."""
        core_start, core_end, owner = self.cores(rule)
        start = np.maximum(self.low[owner], core_start - rule.pad_start)
        end = np.minimum(self.high[owner], core_end + rule.pad_end)
        middle = (core_start + core_end) // 2
        start, end = np.where(start > end, middle, start), np.where(start > end, middle, end)
        silent = np.setdiff1d(np.arange(len(self.start)), owner)
        owner = np.concatenate((owner, silent))
        start = np.concatenate((start, self.start[silent]))
        end = np.concatenate((end, self.end[silent]))
        order = np.lexsort((end, start))
        start, end, owner = start[order], end[order], owner[order]
        if not len(start):
            return start, end, owner
        fresh = np.ones(len(start), dtype=bool)
        fresh[1:] = start[1:] > np.maximum.accumulate(end)[:-1] + 1
        first = np.flatnonzero(fresh)
        return start[first], np.maximum.reduceat(end, first), owner[first]


def _padded(rule: EdgeRule, found: _Found, truth: _Found) -> EdgeRule:
    """The rule with the padding that the true events have around their cores, in the median."""
    start, end, _ = found.cores(rule)
    t, p = match_arrays(truth.start, truth.end, start, end)
    if len(t) < MIN_PAIRS:
        return rule
    before, after = (
        int(np.clip(np.median(pads), -2, MAX_PAD))
        for pads in (start[p] - truth.start[t], truth.end[t] - end[p])
    )
    return replace(rule, pad_start=before, pad_end=after)


def _worth(start: Rows, end: Rows, true_start: Rows, true_end: Rows) -> float:
    """See `edge_worth`."""
    if not len(true_start):
        return -0.5
    t, p = match_arrays(true_start, true_end, start, end)
    overlapping = len(match_arrays(true_start, true_end, start, end, 0.3)[0])
    slack = np.maximum(1.0, EDGE_TOLERANCE * (true_end[t] - true_start[t] + 1))
    off = np.count_nonzero(np.abs(start[p] - true_start[t]) > slack)
    off += np.count_nonzero(np.abs(end[p] - true_end[t]) > slack)
    clicks = 2 * (len(true_start) - len(t)) + (len(start) - len(t)) + off
    saved = 1.0 - clicks / (2 * len(true_start))
    return (2 * len(t) + overlapping) / (len(true_start) + len(start)) + 0.5 * max(-1.0, saved)
