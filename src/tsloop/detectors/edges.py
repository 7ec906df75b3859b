"""Where exactly an event begins and ends.

Scores over windows find events but smear their edges, and every edge that is off costs the reviewer
a click. An `EdgeRule` looks at the rows themselves: inside a found interval it keeps the rows that
leave the line between the levels on both sides, splits where they pause, and then pads by as many
rows as this team usually does. Its numbers come from labels (`fit_edges`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tsloop.errors import DetectorError
from tsloop.evaluation.clicks import Clicks, count_clicks
from tsloop.evaluation.matching import match_events
from tsloop.intervals import Interval
from tsloop.signals.robust import MAD_TO_SIGMA

__all__ = ["EdgeRule", "fit_edges", "local_deviation", "worth_of"]

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

    def apply(self, values: Values, interval: Interval) -> list[Interval]:
        """The interval's parts, in row order and disjoint; itself where no row deviates."""
        return self.pad(self.cores(values, interval), interval, len(values))

    def cores(self, values: Values, interval: Interval) -> Rows:
        """First and last rows (inclusive) of the deviating parts before padding, shape (m, 2)."""
        deviation = local_deviation(values, interval.start, interval.end, self.context)
        return self.parts(deviation) + interval.start

    def parts(self, deviation: Values) -> Rows:
        """The same, counted from the first row of ``deviation``."""
        rows = np.flatnonzero(deviation >= max(self.level, self.share * deviation.max()))
        if not len(rows):
            return np.empty((0, 2), dtype=np.int64)
        breaks = np.flatnonzero(np.diff(rows) > self.gap)
        first = np.concatenate(([0], breaks + 1))
        last = np.concatenate((breaks, [len(rows) - 1]))
        return np.stack((rows[first], rows[last]), axis=1).astype(np.int64)

    def pad(self, cores: Rows, interval: Interval, n_rows: int) -> list[Interval]:
        """Padded cores as intervals in row order and disjoint; without one, the interval."""
        if not len(cores):
            return [interval]
        out: list[Interval] = []
        for core_start, core_end in cores.tolist():
            start = max(0, core_start - self.pad_start)
            end = min(n_rows - 1, core_end + self.pad_end)
            if start > end:
                start = end = (core_start + core_end) // 2
            if out and start <= out[-1].end:
                start, end = out[-1].start, max(end, out.pop().end)
            out.append(interval.replace(start=start, end=end))
        return out

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
    `worth_of`, averaged with its neighbours in the grid of settings, because with few labels a
    single best setting is luck.
    """
    used = [i for i, truth in enumerate(truths) if truth or predicted[i]]
    values, predicted, truths = (
        [values[i] for i in used],
        [predicted[i] for i in used],
        [truths[i] for i in used],
    )
    if not any(predicted) or not any(truths):
        return None
    deviations = {
        context: [
            [local_deviation(x, one.start, one.end, context) for one in found]
            for x, found in zip(values, predicted, strict=True)
        ]
        for context in CONTEXTS
    }
    lengths = [len(x) for x in values]
    known: dict[bytes, tuple[float, int, int]] = {}
    rules: list[EdgeRule] = []
    worth: list[float] = []
    for level, share, context, gap in itertools.product(LEVELS, SHARES, CONTEXTS, GAPS):
        rule = EdgeRule(level, share, context, gap, 0, 0)
        cores = [
            [rule.parts(d) + one.start for d, one in zip(ds, found, strict=True)]
            for ds, found in zip(deviations[context], predicted, strict=True)
        ]
        # Many settings find the same parts: judge each outcome once.
        key = b"|".join(c.tobytes() for found in cores for c in found)
        if key not in known:
            padded = _padded(rule, cores, truths)
            applied = [
                [part for c, one in zip(cs, found, strict=True) for part in padded.pad(c, one, n)]
                for cs, found, n in zip(cores, predicted, lengths, strict=True)
            ]
            known[key] = (worth_of(applied, truths), padded.pad_start, padded.pad_end)
        value, before, after = known[key]
        rules.append(EdgeRule(level, share, context, gap, before, after))
        worth.append(value)
    smooth = np.array(worth).reshape(len(LEVELS), len(SHARES), len(CONTEXTS), len(GAPS))
    for axis in (0, 1, 3):
        smooth = ndimage.convolve1d(smooth, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
    best = int(np.argmax(smooth))
    return rules[best] if smooth.flat[best] > worth_of(predicted, truths) + MIN_GAIN else None


def _padded(
    rule: EdgeRule, cores: Sequence[Sequence[Rows]], truths: Sequence[Sequence[Interval]]
) -> EdgeRule:
    """The rule with the padding that the true events have around their cores, in the median."""
    starts: list[int] = []
    ends: list[int] = []
    for found, truth in zip(cores, truths, strict=True):
        parts = [Interval(a, b) for core in found for a, b in core.tolist()]
        for t, c in match_events(truth, parts).pairs if truth else ():
            starts.append(parts[c].start - truth[t].start)
            ends.append(truth[t].end - parts[c].end)
    if len(starts) < MIN_PAIRS:
        return rule
    before, after = (int(np.clip(np.median(pads), -2, MAX_PAD)) for pads in (starts, ends))
    return EdgeRule(rule.level, rule.share, rule.context, rule.gap, before, after)


def worth_of(
    predicted: Sequence[Sequence[Interval]], truths: Sequence[Sequence[Interval]]
) -> float:
    clicks = Clicks()
    found = overlapping = n_events = 0
    for ours, truth in zip(predicted, truths, strict=True):
        matching = match_events(truth, ours)
        clicks = clicks + count_clicks(truth, ours, matching=matching)
        found += len(matching.pairs)
        overlapping += len(match_events(truth, ours, iou=0.3).pairs)
        n_events += len(truth) + len(ours)
    saved = clicks.saved
    return (2 * found + overlapping) / max(n_events, 1) + 0.5 * max(
        -1.0, saved if saved is not None else -1.0
    )
