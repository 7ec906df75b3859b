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
    """Robust centre and scale of the rows around a stretch, and the medians on its two sides."""

    center: float
    scale: float
    before: float
    after: float
    noise: float
    """Robust scale of the row-to-row differences around the stretch."""
    flat_share: float
    """Share of rows around the stretch that repeat the row before them."""
    low: float
    high: float

    @classmethod
    def of(cls, values: Values, start: int, stop: int) -> Surroundings:
        """Of rows ``start..stop-1``; where nothing lies around them, of the whole series."""
        reach = min(_MAX_CONTEXT, max(_MIN_CONTEXT, 2 * (stop - start)))
        left, right = values[max(0, start - reach) : start], values[stop : stop + reach]
        sides = [side for side in (left, right) if len(side)]
        around = np.concatenate(sides) if sum(map(len, sides)) >= 4 else np.asarray(values)
        center, scale = robust_scale(around)
        before = float(np.median(left)) if len(left) else center
        after = float(np.median(right)) if len(right) else center
        steps = np.concatenate([np.diff(side) for side in sides]) if sides else np.empty(0)
        flat = float(np.mean(steps == 0.0)) if len(steps) else 0.0
        low, high = float(np.min(around)), float(np.max(around))
        return cls(center, scale, before, after, robust_scale(steps)[1], flat, low, high)


def shape_features(values: Values, start: int, stop: int) -> npt.NDArray[np.float64]:
    """Features of rows ``start..stop-1``, shape ``(len(FEATURE_NAMES),)``, without units.

    ``values`` is the whole finite series. Heights are in robust sigmas of the surroundings, on a
    signed logarithmic scale; the rest are shares in [0, 1] or logarithms.
    """
    around = Surroundings.of(values, start, stop)
    inside = np.asarray(values[start:stop], dtype=np.float64)
    n = len(inside)
    heights = (inside - around.center) / around.scale
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
            (around.after - around.before) / around.scale,
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
        return Shape("dropout", f"zero for {rows}, while the local median is {around.center:.4g}")
    if n < _FLAT_ROWS or around.flat_share > 0.5:
        return None
    repeats = np.diff(inside) == 0.0
    if np.mean(repeats) >= 0.8:
        value = float(np.median(inside))
        return Shape("flatline", f"stuck at {value:.4g} for {rows}")
    for limit, usual in ((inside.max(), around.high), (inside.min(), around.low)):
        held = float(np.mean(inside == limit))
        if held >= 0.4 and abs(limit - usual) <= 0.05 * (around.high - around.low + _TINY):
            return Shape("clipping", f"held at {limit:.4g} in {held:.0%} of {rows}")
    return None


def _levels(inside: npt.NDArray[np.float64], around: Surroundings, rows: str) -> Shape | None:
    """A level that stays: steps and drifts."""
    n = len(inside)
    shift = (around.after - around.before) / around.scale
    if abs(around.after - around.before) > _SIGMAS * around.noise and abs(shift) > 1.0:
        kind = "step_up" if shift > 0 else "step_down"
        return Shape(kind, f"the local median moves by {shift:+.1f}σ across {rows}")
    if n < 8:
        return None
    ramp = np.linspace(-1.0, 1.0, n)
    slope = float(ramp @ (inside - inside.mean()) / (ramp @ ramp))
    rest = inside - inside.mean() - slope * ramp
    explained = 1.0 - float(rest.var()) / max(float(inside.var()), _TINY)
    change = 2.0 * slope / around.scale
    if explained > 0.7 and abs(change) > _SIGMAS:
        return Shape("gradual_drift", f"drifts by {change:+.1f}σ over {rows}")
    height = (float(np.median(inside)) - around.center) / around.scale
    steady = float(np.mean(np.abs(inside - np.median(inside)))) < 0.5 * abs(
        float(np.median(inside)) - around.center
    )
    if abs(height) > _SIGMAS and steady and n >= 16:
        side = "above" if height > 0 else "below"
        return Shape("sudden_drift", f"{height:+.1f}σ {side} the local median for {rows}")
    return None


def _peaks(inside: npt.NDArray[np.float64], around: Surroundings, rows: str) -> Shape | None:
    up = (float(inside.max()) - around.center) / around.scale
    down = (around.center - float(inside.min())) / around.scale
    if max(up, down) <= _SIGMAS:
        return None
    if min(up, down) > _SIGMAS and min(up, down) > 0.5 * max(up, down):
        if (
            len(inside) >= 12
            and float(np.mean(np.diff(np.sign(inside - around.center)) != 0)) > 0.2
        ):
            return Shape("oscillation", f"swings between +{up:.1f}σ and -{down:.1f}σ for {rows}")
        return Shape("double_spike", f"+{up:.1f}σ and -{down:.1f}σ within {rows}")
    if up > down:
        return Shape("upward_spike", f"+{up:.1f}σ above the local median for {rows}")
    return Shape("downward_spike", f"-{down:.1f}σ below the local median for {rows}")


def _texture(inside: npt.NDArray[np.float64], around: Surroundings, rows: str) -> Shape | None:
    if len(inside) < 8:
        return None
    ratio = robust_scale(np.diff(inside))[1] / around.noise
    if ratio > 2.0 or ratio < 0.5:
        return Shape(
            "variance_change", f"row-to-row noise is {ratio:.1f} times the usual for {rows}"
        )
    return None
