"""What an unusual stretch looks like: a label by simple rules, and the reason in one line.

The rules compare a stretch with its surroundings on both sides. They are meant for detectors that
know *where* but not *what*; a detector with labels learns which of its team's labels a shape gets.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.signals.period import autocorrelation
from tsloop.signals.robust import robust_scale
from tsloop.signals.surroundings import Surroundings

__all__ = ["FEATURE_NAMES", "Shape", "describe_shape", "shape_features"]

_SIGMAS = 4.0
_FLAT_ROWS = 5  # a stuck sensor repeats its value at least this often
_PLATEAU_ROWS = 8  # shorter stretches are spikes, however steady they are
_TEXTURE_ROWS = 12
_DRIFT_ROWS = 24
_TINY = 1e-9

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Shape:
    """A label id of the built-in label set, and why."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Look:
    """Measurements of a stretch; heights are in sigmas off the line between its two sides."""

    n: int
    up: float
    down: float
    middle: float
    first: float
    """Median height of the first fifth."""
    last: float
    step: float
    """Sigmas between the levels after and before the stretch, beyond their slope."""
    wander: float
    """Mean distance from ``middle``."""
    repeats: float
    """Share of rows that repeat the row before."""
    held: float
    """Share of rows at the largest or at the smallest value, whichever is more."""
    near_zero: float
    """Largest absolute value, as a share of the level around."""
    roughness: float
    """Robust size of row-to-row differences, in units of that around."""
    crossings: float
    """Share of rows at which the heights cross their median."""
    rhythm: float
    """Highest autocorrelation beyond the first dip."""

    @classmethod
    def of(cls, values: Values, start: int, stop: int, around: Surroundings) -> Look:
        """Measure rows ``start..stop-1``."""
        inside = np.asarray(values[start:stop], dtype=np.float64)
        n = len(inside)
        heights = around.heights(inside)
        fifth = max(1, n // 5)
        middle = float(np.median(heights))
        steps = np.diff(inside) if n > 1 else np.zeros(1)
        level = abs(around.center)
        crossed = np.diff(np.sign(heights - middle)) != 0
        return cls(
            n=n,
            up=float(heights.max()),
            down=-float(heights.min()),
            middle=middle,
            first=float(np.median(heights[:fifth])),
            last=float(np.median(heights[-fifth:])),
            step=around.step(n),
            wander=float(np.mean(np.abs(heights - middle))),
            repeats=float(np.mean(steps == 0.0)) if n > 1 else 0.0,
            held=float(max(np.mean(inside == inside.max()), np.mean(inside == inside.min()))),
            near_zero=float(np.abs(inside).max()) / level if level > _TINY else 1.0,
            roughness=robust_scale(steps)[1] / around.noise if steps.any() else 0.0,
            crossings=float(np.mean(crossed)) if n > 1 else 0.0,
            rhythm=_rhythm(heights),
        )


_HEIGHTS = ("up", "down", "middle", "first", "last", "step", "wander")
FEATURE_NAMES = tuple(field.name for field in dataclasses.fields(Look))
"""What `shape_features` returns, in order."""


def shape_features(values: Values, start: int, stop: int) -> npt.NDArray[np.float64]:
    """Features of rows ``start..stop-1``, shape ``(len(FEATURE_NAMES),)``, without units.

    ``values`` is the whole finite series. Heights and sizes are on a (signed) logarithmic scale.
    """
    look = Look.of(values, start, stop, Surroundings.of(values, start, stop))
    out = []
    for name in FEATURE_NAMES:
        value = float(getattr(look, name))
        if name in _HEIGHTS:
            value = float(np.sign(value) * np.log1p(abs(value)))
        elif name == "n":
            value = float(np.log(value))
        elif name in ("roughness", "near_zero"):
            value = float(np.log(min(value, 1e6) + 0.05))
        out.append(value)
    return np.array(out)


def describe_shape(values: Values, start: int, stop: int) -> Shape:
    """Label and reason of rows ``start..stop-1`` (not empty) of a finite series."""
    around = Surroundings.of(values, start, stop)
    look = Look.of(values, start, stop, around)
    rows = "1 row" if look.n == 1 else f"{look.n} rows"
    return (
        _sensor(look, around, rows)
        or _levels(look, rows)
        or _texture(look, rows)
        or _peaks(look, rows)
        or Shape("contextual", f"unusual in its place for {rows}, though within the usual values")
    )


def _sensor(look: Look, around: Surroundings, rows: str) -> Shape | None:
    """Zeros, one repeated value, or a flat top."""
    fallen = look.near_zero < 0.1 and abs(around.center) > 1.5 * _SIGMAS * around.scale
    if fallen:
        return Shape("dropout", f"zero for {rows}, while the level around is {around.center:.4g}")
    if look.n < _FLAT_ROWS or around.flat_share > 0.5:
        return None
    if look.repeats >= 0.9:
        return Shape("flatline", f"stuck at one value for {rows}")
    if look.held >= 0.3 and look.n >= _PLATEAU_ROWS:
        return Shape("clipping", f"held at one limit in {look.held:.0%} of {rows}")
    return None


def _levels(look: Look, rows: str) -> Shape | None:
    """Levels that are left for a while or for good: steps and drifts."""
    if abs(look.step) > _SIGMAS and 1.5 * abs(look.step) > max(look.up, look.down):
        kind = "step_up" if look.step > 0 else "step_down"
        return Shape(kind, f"the level moves by {look.step:+.1f}σ across {rows}")
    if look.n < _PLATEAU_ROWS:
        return None
    first, last = abs(look.first), abs(look.last)
    if look.n >= _DRIFT_ROWS:
        if last > _SIGMAS and first < 0.4 * last:
            return Shape("gradual_drift", f"drifts away by {look.last:+.1f}σ over {rows}")
        if first > _SIGMAS and last < 0.6 * first:
            return Shape("sudden_drift", f"jumps by {look.first:+.1f}σ and returns over {rows}")
    if abs(look.middle) > 0.75 * _SIGMAS and look.wander < 0.5 * abs(look.middle):
        side = "above" if look.middle > 0 else "below"
        kind = "step_up" if look.middle > 0 else "step_down"
        return Shape(kind, f"{look.middle:+.1f}σ {side} the local level for {rows}")
    return None


def _texture(look: Look, rows: str) -> Shape | None:
    """Swings and noise about an ordinary level."""
    if look.n < _TEXTURE_ROWS:
        return None
    if look.rhythm > 0.4 and look.up + look.down > 1.5 * _SIGMAS and look.crossings > 0.1:
        return Shape("oscillation", f"swings by {look.up + look.down:.1f}σ for {rows}")
    if look.roughness > 2.0 or look.roughness < 0.5:
        ratio = f"row-to-row noise is {look.roughness:.1f} times the usual"
        return Shape("variance_change", f"{ratio} for {rows}")
    return None


def _peaks(look: Look, rows: str) -> Shape | None:
    up, down = look.up, look.down
    if max(up, down) <= _SIGMAS:
        return None
    if min(up, down) > _SIGMAS and min(up, down) > 0.5 * max(up, down):
        return Shape("double_spike", f"+{up:.1f}σ and -{down:.1f}σ within {rows}")
    if up > down:
        return Shape("upward_spike", f"+{up:.1f}σ above the local level for {rows}")
    return Shape("downward_spike", f"-{down:.1f}σ below the local level for {rows}")


def _rhythm(heights: npt.NDArray[np.float64]) -> float:
    """Highest autocorrelation after it has first fallen below zero; 0 for short stretches."""
    n = len(heights)
    if n < _TEXTURE_ROWS:
        return 0.0
    correlation = autocorrelation(heights, n // 2)
    below = np.flatnonzero(correlation < 0.0)
    return float(max(0.0, correlation[below[0] :].max())) if len(below) else 0.0
