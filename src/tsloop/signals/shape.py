"""What an unusual stretch looks like: a label by simple rules, and the reason in one line.

The rules compare a stretch with its surroundings on both sides. They are meant for detectors that
know *where* but not *what*; a detector with labels learns which of its team's labels a shape gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.signals.robust import robust_scale

__all__ = ["FEATURE_NAMES", "Shape", "Surroundings", "describe_shape", "shape_features"]

_MIN_CONTEXT = 32
_MAX_CONTEXT = 256
_NEAR_ROWS = 12  # rows beside a stretch that tell the level from which it leaves
_DRIFT_ROWS = 24  # shorter stretches are spikes, however steady they are
_FLAT_ROWS = 5  # a stuck sensor repeats its value at least this often
_SIGMAS = 4.0
_TINY = 1e-9

FEATURE_NAMES = (
    "up",
    "down",
    "middle",
    "shift_after",
    "trend",
    "flat_share",
    "edge_share",
    "zero_share",
    "roughness",
    "turns",
    "log_rows",
)
"""What `shape_features` returns, in order."""

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Shape:
    """A label id of the built-in label set, and why."""

    label: str
    reason: str


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
        """Sigmas by which the level after the stretch is off what the slope around it explains."""
        return (self.right - self.left - self.slope * n) / self.scale


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


def shape_features(values: Values, start: int, stop: int) -> npt.NDArray[np.float64]:
    """Features of rows ``start..stop-1``, shape ``(len(FEATURE_NAMES),)``, without units.

    ``values`` is the whole finite series. Heights are in robust sigmas of the surroundings, on a
    signed logarithmic scale; the rest are shares in [0, 1] or logarithms.
    """
    around = Surroundings.of(values, start, stop)
    inside = np.asarray(values[start:stop], dtype=np.float64)
    n = len(inside)
    heights = around.heights(inside)
    rows = np.arange(n) - (n - 1) / 2
    slope = float(rows @ (inside - inside.mean()) / max(rows @ rows, 1.0)) * n / around.scale
    steps = np.diff(inside)
    turns = float(np.mean(np.sign(steps[1:]) * np.sign(steps[:-1]) < 0)) if n > 2 else 0.0
    rough = float(np.std(steps)) if n > 1 else 0.0
    top, bottom = float(inside.max()), float(inside.min())
    at_edge = np.maximum(np.mean(inside >= top), np.mean(inside <= bottom)) if n > 1 else 0.0
    size = np.array(
        [
            heights.max(),
            -heights.min(),
            float(np.median(heights)),
            around.step(n),
            slope,
        ]
    )
    return np.concatenate(
        [
            np.sign(size) * np.log1p(np.abs(size)),
            [
                float(np.mean(steps == 0.0)) if n > 1 else 0.0,
                float(at_edge),
                float(np.mean(np.abs(inside) <= _TINY * (1.0 + abs(around.center)))),
                np.log((rough + _TINY) / (around.noise + _TINY)) if n > 1 else 0.0,
                turns,
                np.log(n),
            ],
        ]
    )


def describe_shape(values: Values, start: int, stop: int) -> Shape:
    """Label and reason of rows ``start..stop-1`` (not empty) of a finite series."""
    around = Surroundings.of(values, start, stop)
    inside = np.asarray(values[start:stop], dtype=np.float64)
    rows = "1 row" if len(inside) == 1 else f"{len(inside)} rows"
    return (
        _stuck(inside, around, rows)
        or _levels(inside, around, rows)
        or _peaks(inside, around, rows)
        or _texture(inside, around, rows)
        or Shape("contextual", f"unusual in its place for {rows}, though within the usual values")
    )


def _stuck(inside: npt.NDArray[np.float64], around: Surroundings, rows: str) -> Shape | None:
    """Zeros, one repeated value, or a flat top."""
    n = len(inside)
    zeros = float(np.mean(np.abs(inside) <= _TINY * (1.0 + abs(around.center))))
    if zeros >= 0.5 and abs(around.center) > _SIGMAS * around.scale:
        return Shape("dropout", f"zero for {rows}, while the level around is {around.center:.4g}")
    if n < _FLAT_ROWS or around.flat_share > 0.5:
        return None
    for limit, usual in ((inside.max(), around.high), (inside.min(), around.low)):
        held = float(np.mean(inside == limit))
        if held >= 0.4 and limit == usual:
            return Shape("clipping", f"held at the limit {limit:.4g} in {held:.0%} of {rows}")
    if float(np.mean(np.diff(inside) == 0.0)) >= 0.8:
        return Shape("flatline", f"stuck at {float(np.median(inside)):.4g} for {rows}")
    return None


def _levels(inside: npt.NDArray[np.float64], around: Surroundings, rows: str) -> Shape | None:
    """A level that stays: steps and drifts."""
    n = len(inside)
    heights = around.heights(inside)
    step = around.step(n)
    if abs(step) > _SIGMAS and 1.5 * abs(step) > float(np.abs(heights).max()):
        kind = "step_up" if step > 0 else "step_down"
        return Shape(kind, f"the level moves by {step:+.1f}σ across {rows}")
    if n < _DRIFT_ROWS:
        return None
    middle = float(np.median(heights))
    ramp = np.linspace(-1.0, 1.0, n)
    change = 2.0 * float(ramp @ (heights - heights.mean()) / (ramp @ ramp))
    rest = heights - heights.mean() - 0.5 * change * ramp
    explained = 1.0 - float(rest.var()) / max(float(heights.var()), _TINY)
    if explained > 0.7 and abs(change) > _SIGMAS:
        return Shape("gradual_drift", f"drifts by {change:+.1f}σ over {rows}")
    steady = float(np.mean(np.abs(heights - middle))) < 0.5 * abs(middle)
    if abs(middle) > _SIGMAS and steady:
        side = "above" if middle > 0 else "below"
        return Shape("sudden_drift", f"{middle:+.1f}σ {side} the local level for {rows}")
    return None


def _peaks(inside: npt.NDArray[np.float64], around: Surroundings, rows: str) -> Shape | None:
    heights = around.heights(inside)
    up, down = float(heights.max()), -float(heights.min())
    if max(up, down) <= _SIGMAS:
        return None
    if _swings(heights):
        return Shape("oscillation", f"swings by {np.ptp(heights):.1f}σ for {rows}")
    if min(up, down) > _SIGMAS and min(up, down) > 0.5 * max(up, down):
        return Shape("double_spike", f"+{up:.1f}σ and -{down:.1f}σ within {rows}")
    if up > down:
        return Shape("upward_spike", f"+{up:.1f}σ above the local level for {rows}")
    return Shape("downward_spike", f"-{down:.1f}σ below the local level for {rows}")


def _swings(heights: npt.NDArray[np.float64]) -> bool:
    """Several swings about their own middle, each over a few rows."""
    n = len(heights)
    centred = heights - np.median(heights)
    if n < 12 or min(centred.max(), -centred.min()) <= 0.75 * _SIGMAS:
        return False
    crossings = int(np.count_nonzero(np.diff(np.sign(centred)) != 0))
    return 4 <= crossings <= n // 2


def _texture(inside: npt.NDArray[np.float64], around: Surroundings, rows: str) -> Shape | None:
    if len(inside) < 8:
        return None
    ratio = robust_scale(np.diff(inside))[1] / around.noise
    if ratio > 2.0 or ratio < 0.5:
        return Shape(
            "variance_change", f"row-to-row noise is {ratio:.1f} times the usual for {rows}"
        )
    return None
