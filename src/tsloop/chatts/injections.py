"""Anomalies of every kind in the label set, put into a clean synthetic signal.

Each function gets the clean series, the rows it may change and how strong the anomaly shall be, and
returns the new values of exactly these rows. What counts as affected is decided afterwards, by
comparing with the clean series (`tsloop.chatts.synthetic`), never by intention.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["INJECTIONS", "Injection", "Scene"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """What an injection may know: the clean values, their noise level, spread and period."""

    clean: Floats
    smooth: Floats
    noise: float
    spread: float
    period: int

    def amplitude(self, rng: np.random.Generator) -> float:
        """A jump that a person would see: several noise sigmas, and not lost in the daily swing."""
        return max(rng.uniform(5.0, 14.0) * self.noise, rng.uniform(0.25, 1.6) * self.spread)


@dataclass(frozen=True)
class Injection:
    """One kind: the shortest and longest number of rows, and the function that makes it."""

    shortest: int
    longest: int
    weight: float
    apply: Callable[[Scene, int, int, np.random.Generator], Floats | None]


def _bump(length: int, rng: np.random.Generator) -> Floats:
    """A positive shape of peak 1 that is above zero on all of its rows."""
    if length <= 2:
        return np.ones(length) if length == 1 else np.array([1.0, rng.uniform(0.4, 1.0)])
    kind = rng.integers(4)
    rise = max(1, int(length * rng.uniform(0.1, 0.5)))
    if kind == 0:  # sudden rise, slow decay
        shape = np.exp(-np.arange(length) / (length * rng.uniform(0.2, 0.6)))
    elif kind == 1:  # triangle
        up = np.linspace(0.3, 1.0, rise + 1)
        shape = np.concatenate((up, np.linspace(1.0, 0.3, length - rise)[1:]))[:length]
    elif kind == 2:  # plateau with ragged top
        shape = rng.uniform(0.6, 1.0, length)
    else:
        shape = np.hanning(length + 2)[1:-1]
    shape = np.resize(shape, length)
    peak: Floats = shape / shape.max()
    return np.maximum(peak, 0.15)


def _upward_spike(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    part = scene.clean[start : start + length]
    return part + scene.amplitude(rng) * rng.uniform(1.0, 2.5) * _bump(length, rng)


def _downward_spike(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    part = scene.clean[start : start + length]
    return part - scene.amplitude(rng) * rng.uniform(1.0, 2.5) * _bump(length, rng)


def _double_spike(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    part = scene.clean[start : start + length]
    half = length // 2
    first, second = _bump(half, rng), _bump(length - half, rng)
    sign = float(rng.choice([-1.0, 1.0]))
    size = scene.amplitude(rng) * rng.uniform(1.0, 2.0)
    return part + sign * size * np.concatenate((first, -rng.uniform(0.6, 1.0) * second))


def _step(sign: float) -> Callable[[Scene, int, int, np.random.Generator], Floats]:
    def apply(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
        offset = np.full(length, sign * scene.amplitude(rng))
        ramp = min(int(rng.integers(0, 4)), length // 4)
        if ramp:
            offset[:ramp] *= np.arange(1, ramp + 1) / (ramp + 1)
        found: Floats = scene.clean[start : start + length] + offset
        return found

    return apply


def _gradual_drift(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    sign = float(rng.choice([-1.0, 1.0]))
    curve = np.linspace(0.04, 1.0, length) ** rng.uniform(0.7, 1.6)
    if rng.random() < 0.3:  # comes back as slowly as it went
        curve = np.minimum(curve, curve[::-1]) * 2.0
    return scene.clean[start : start + length] + sign * 1.5 * scene.amplitude(rng) * curve


def _sudden_drift(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    sign = float(rng.choice([-1.0, 1.0]))
    fast = max(2, length // 6)
    curve = np.concatenate((np.linspace(0.2, 1.0, fast), np.linspace(1.0, 0.15, length - fast)))
    return scene.clean[start : start + length] + sign * 1.5 * scene.amplitude(rng) * curve


def _oscillation(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    period = rng.uniform(3.0, max(4.0, min(length / 3.0, 24.0)))
    wave = np.sin(2 * np.pi * np.arange(length) / period + rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.3:
        wave = np.sign(wave)
    wave = wave * np.linspace(rng.uniform(0.4, 1.0), 1.0, length)
    found: Floats = scene.clean[start : start + length] + 0.8 * scene.amplitude(rng) * wave
    return found


def _variance_change(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    part, smooth = scene.clean[start : start + length], scene.smooth[start : start + length]
    residual = part - smooth
    if rng.random() < 0.2 and scene.noise > 0.05 * scene.spread:  # suddenly calm
        return smooth + residual * rng.uniform(0.02, 0.15)
    extra = max(scene.noise * rng.uniform(2.5, 7.0), 0.15 * scene.spread)
    return part + rng.normal(0.0, extra, length)


def _frequency_change(
    scene: Scene, start: int, length: int, rng: np.random.Generator
) -> Floats | None:
    if scene.period < 6 or length < scene.period:
        return None
    factor = float(rng.choice([rng.uniform(1.7, 3.0), rng.uniform(0.4, 0.6)]))
    rows = start + np.arange(length) * factor
    span = len(scene.clean) - 1
    rows = np.abs(rows - 2 * span * np.round(rows / (2 * span)))  # reflected at the ends
    warped = np.interp(rows, np.arange(len(scene.smooth)), scene.smooth)
    found: Floats = warped + (
        scene.clean[start : start + length] - scene.smooth[start : start + length]
    )
    return found


def _contextual(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats | None:
    """Values that are usual at another phase, not at this one."""
    if scene.period < 12 or length > scene.period // 2:
        return None
    kind = rng.integers(3)
    smooth = scene.smooth[start : start + length]
    noise = scene.clean[start : start + length] - smooth
    if kind == 0:  # another phase of the pattern
        shift = int(scene.period * rng.uniform(0.3, 0.7))
        source = start + shift if start + shift + length <= len(scene.smooth) else start - shift
        if source < 0 or source + length > len(scene.smooth):
            return None
        return scene.smooth[source : source + length] + noise
    if kind == 1:  # mirrored at its own mean
        found: Floats = 2 * smooth.mean() - smooth + noise
        return found
    level = float(np.median(scene.smooth))
    return level + (smooth - level) * rng.uniform(-0.3, 0.2) + noise  # the peak is missing


def _flatline(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    return np.full(length, scene.clean[start - 1] if start else scene.clean[0])


def _clipping(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    part = scene.clean[start : start + length]
    if rng.random() < 0.5:
        return np.minimum(part, np.quantile(part, rng.uniform(0.2, 0.5)))
    return np.maximum(part, np.quantile(part, rng.uniform(0.5, 0.8)))


def _dropout(scene: Scene, start: int, length: int, rng: np.random.Generator) -> Floats:
    part = np.zeros(length)
    if length > 6 and rng.random() < 0.2:  # short moments of life in between
        alive = rng.random(length) < 0.2
        alive[[0, -1]] = False
        part[alive] = scene.clean[start : start + length][alive]
    return part


INJECTIONS: dict[str, Injection] = {
    "upward_spike": Injection(1, 24, 2.6, _upward_spike),
    "downward_spike": Injection(1, 24, 2.2, _downward_spike),
    "double_spike": Injection(2, 24, 0.8, _double_spike),
    "step_up": Injection(8, 240, 1.0, _step(1.0)),
    "step_down": Injection(8, 240, 1.0, _step(-1.0)),
    "gradual_drift": Injection(32, 300, 1.0, _gradual_drift),
    "sudden_drift": Injection(12, 200, 0.9, _sudden_drift),
    "oscillation": Injection(16, 200, 0.9, _oscillation),
    "variance_change": Injection(16, 200, 1.0, _variance_change),
    "frequency_change": Injection(24, 300, 1.2, _frequency_change),
    "contextual": Injection(6, 150, 1.6, _contextual),
    "flatline": Injection(8, 200, 0.9, _flatline),
    "clipping": Injection(12, 200, 0.7, _clipping),
    "dropout": Injection(1, 80, 0.9, _dropout),
}
"""Every label id of the built-in set except ``anomaly``, which says only "of unknown kind"."""
