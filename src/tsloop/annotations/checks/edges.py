"""Edges that lie far from where the values leave, or regain, their usual course."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tsloop.annotations.checks.findings import Finding
from tsloop.intervals import Interval
from tsloop.signals.surroundings import Surroundings

__all__ = ["TEXTURE_GROUPS", "change_near", "far_edges"]

Values = npt.NDArray[np.float64]

TEXTURE_GROUPS = ("shape", "sensor")
"""Label groups about texture rather than level: there is no change of level to compare with."""
LEVEL = 6.0
"""Sigmas off the line through the surroundings from which a row is part of a change,"""
SHARE = 0.25
"""… and this share of the farthest row."""
MAX_REACH = 256
"""So many rows beside an interval are looked at, at most."""
MIN_REACH = 64


def far_edges(
    series_id: str, values: Values, intervals: Sequence[Interval], rows: int, share: float
) -> Iterator[Finding]:
    """Edges off by more than ``rows`` rows and ``share`` of the length; ``values`` is finite.

    An interval whose values leave their surroundings nowhere near has no edge to compare with: its
    label may be wrong, or about something else than the level; see `tsloop labels suspects`.
    """
    for interval in intervals:
        change = change_near(values, interval)
        if change is None:
            continue
        slack = max(rows, round(share * len(interval)))
        first, last = change
        apart = max(interval.start - last, first - interval.end)
        if apart > max(rows, len(interval)):
            continue  # too far away to be about the same thing
        if apart > 0:
            what = f"{interval.label}: the values change in rows {first} to {last}, beside it"
        elif max(abs(first - interval.start), abs(last - interval.end)) > slack:
            what = f"{interval.label}: the values change in rows {first} to {last} only"
            if first < interval.start or last > interval.end:
                what = f"{interval.label}: the values change in rows {first} to {last} already"
        else:
            continue
        if max(abs(first - interval.start), abs(last - interval.end)) > slack:
            yield Finding("far_edges", series_id, what, interval.start, interval.end)


def change_near(values: Values, interval: Interval) -> tuple[int, int] | None:
    """First and last row of the change that an interval is about; ``None`` where there is none.

    Rows deviate from a line through what surrounds the interval and its neighbourhood. Of several
    runs of such rows those inside the interval count, else the nearest.
    """
    reach = min(MAX_REACH, max(MIN_REACH, 2 * len(interval)))
    low, high = max(0, interval.start - reach), min(len(values), interval.end + 1 + reach)
    around = Surroundings.of(values, low, high)
    heights = np.abs(around.heights(values[low:high]))
    far = np.flatnonzero(heights >= max(LEVEL, SHARE * float(heights.max()))) + low
    if not len(far):
        return None
    gap = max(3, len(interval) // 4)
    breaks = np.flatnonzero(np.diff(far) > gap)
    firsts = far[np.concatenate(([0], breaks + 1))]
    lasts = far[np.concatenate((breaks, [len(far) - 1]))]
    touching = (lasts >= interval.start) & (firsts <= interval.end)
    if touching.any():
        return int(firsts[touching][0]), int(lasts[touching][-1])
    apart = np.maximum(interval.start - lasts, firsts - interval.end)
    nearest = int(np.argmin(apart))
    return int(firsts[nearest]), int(lasts[nearest])
