"""The rows around a stretch: what would be there if nothing unusual were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.signals.robust import robust_scale

__all__ = ["Surroundings"]

_MIN_CONTEXT = 32
_MAX_CONTEXT = 256
_NEAR_ROWS = 12  # rows beside a stretch that tell the level from which it leaves

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The rows around a stretch: where they would lead through it, and how much they vary.

    ``left`` and ``right`` are the levels at which a robust line through the rows before the stretch
    ends and one through the rows after it begins; ``slope`` is their mean slope per row, ``scale``
    the robust spread about them, ``noise`` that of row-to-row differences, ``flat_share`` the share
    of rows that repeat the row before, ``low`` and ``high`` the range, ``center`` the median.
    """

    left: float
    right: float
    slope: float
    center: float
    scale: float
    noise: float
    flat_share: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Values, start: int, stop: int) -> Surroundings:
        """Of rows ``start..stop-1``; where nothing lies around them, of the whole series."""
        reach = min(_MAX_CONTEXT, max(_MIN_CONTEXT, 2 * (stop - start)))
        before = np.asarray(values[max(0, start - reach) : start], dtype=np.float64)
        after = np.asarray(values[stop : stop + reach], dtype=np.float64)
        if len(before) + len(after) < 4:
            before = after = np.asarray(values, dtype=np.float64)
        sides = [side for side in (before, after) if len(side) >= 2]
        lines = [_line(side) for side in (before, after) if len(side)]
        rest = np.concatenate([rest for _, _, rest in lines])
        steps = np.concatenate([np.diff(side) for side in sides]) if sides else np.zeros(1)
        around = np.concatenate((before, after))
        left, right = _levels_at(before, after)
        return cls(
            left,
            right,
            float(np.mean([slope for slope, _, _ in lines])),
            float(np.median(around)),
            robust_scale(rest)[1],
            robust_scale(steps)[1],
            float(np.mean(steps == 0.0)),
            float(around.min()),
            float(around.max()),
        )

    def heights(self, inside: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Distance of the stretch's rows from the line between its two borders, in sigmas."""
        n = len(inside)
        share = (np.arange(n) + 1.0) / (n + 1.0)
        return np.asarray((inside - self.left - (self.right - self.left) * share) / self.scale)

    def step(self, n: int) -> float:
        """Sigmas by which the level after ``n`` rows is off, with and without the slope around.

        The smaller of both: over a bend the slope explains too much, on a ramp too little.
        """
        plain = self.right - self.left
        sloped = plain - self.slope * n
        if plain * sloped <= 0.0:
            return 0.0
        return (plain if abs(plain) < abs(sloped) else sloped) / self.scale


def _line(side: npt.NDArray[np.float64]) -> tuple[float, float, npt.NDArray[np.float64]]:
    """Robust line through equally spaced rows: slope per row, middle level, and what is left."""
    n = len(side)
    half = n // 2
    slope = 0.0
    if half >= 4:
        slope = (float(np.median(side[-half:])) - float(np.median(side[:half]))) / (n - half)
    rest = side - slope * (np.arange(n) - (n - 1) / 2)
    middle = float(np.median(rest))
    return slope, middle, rest - middle


def _levels_at(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """The levels of the rows next to the stretch, carried to its borders along their slopes."""
    levels = []
    for side, near, direction in (
        (before, before[-_NEAR_ROWS:], 0.5),
        (after, after[:_NEAR_ROWS], -0.5),
    ):
        if len(side):
            slope = _line(side)[0]
            levels.append(float(np.median(near)) + direction * slope * (len(near) + 1))
    return levels[0], levels[-1]
