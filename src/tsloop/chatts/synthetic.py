"""Seeded synthetic series with exact truth: what the embedded base is trained on.

A series is a sum of plant-like parts (daily and weekly patterns, duty cycles, tank levels,
setpoints, random walks, traffic with level-dependent noise) at one of many sampling rates. Normal
but striking events (scheduled bursts, recurring regimes, lone noise spikes, gaps) are mixed in
*without* a label; anomalies with one. An interval's rows are exactly the rows whose value differs
from the clean series; events that changed too little to be seen are taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.chatts.injections import INJECTIONS, Scene
from tsloop.intervals import Interval
from tsloop.series.types import Series

__all__ = ["SyntheticSeries", "generate", "generate_many"]

Floats = npt.NDArray[np.float64]

_STEPS_S = (1, 5, 10, 30, 60, 60, 60, 120, 300, 300, 600, 900, 1800, 3600)
_SIGNALS = (
    "daily", "daily", "traffic", "traffic", "walk", "ou", "duty", "sawtooth", "setpoint",
    "constant", "fast_wave", "counter", "mixed", "mixed",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SyntheticSeries:
    """``clean`` and ``values`` differ exactly on the rows of ``intervals`` (NaN where missing)."""

    series: Series
    clean: Floats
    intervals: tuple[Interval, ...]

    @property
    def values(self) -> Floats:
        """The values with anomalies."""
        return self.series.values


def generate(seed: int, index: int, n_rows: int | None = None) -> SyntheticSeries:
    """Series ``index`` of the endless collection that belongs to ``seed``."""
    rng = np.random.default_rng([seed, index, 20260])
    n = n_rows or round(np.exp(rng.uniform(np.log(300), np.log(6000))))
    step_s = int(rng.choice(_STEPS_S))
    period = _period(n, step_s, rng)
    smooth = _signal(str(rng.choice(_SIGNALS)), n, period, rng)
    smooth = smooth + _trend(n, rng) * max(float(smooth.std()), 0.3)
    spread = max(float(np.quantile(smooth, 0.98) - np.quantile(smooth, 0.02)), 1e-3)
    noise, level = _noise(n, smooth, spread, rng)
    smooth = smooth + _habits(n, period, spread, level, rng)
    clean = _finish(smooth + noise, rng)
    scene = Scene(clean, _moving_average(clean, 5), _noise_level(clean), _spread(clean), period)
    values, intervals = _inject(scene, rng)
    values, clean, intervals = _display(values, clean, intervals, rng)
    missing = _gaps(n, intervals, rng)
    values[missing], clean[missing] = np.nan, np.nan
    timestamps = 1_600_000_000 * 10**9 + np.arange(n, dtype=np.int64) * step_s * 10**9
    series = Series(f"synthetic-{seed}-{index}", timestamps, values)
    return SyntheticSeries(series, clean, tuple(intervals))


def generate_many(seed: int, count: int, n_rows: int | None = None) -> list[SyntheticSeries]:
    """The first ``count`` series of a collection."""
    return [generate(seed, index, n_rows) for index in range(count)]


def _period(n: int, step_s: int, rng: np.random.Generator) -> int:
    day = 86_400 // step_s
    if day <= n // 3 and rng.random() < 0.6:
        return max(day, 4)
    return round(float(np.exp(rng.uniform(np.log(6), np.log(max(n / 4, 12))))))


def _signal(kind: str, n: int, period: int, rng: np.random.Generator) -> Floats:
    rows = np.arange(n)
    if kind == "mixed":
        first, second = (str(rng.choice(_SIGNALS[:-2])) for _ in range(2))
        return _signal(first, n, period, rng) + rng.uniform(0.1, 0.8) * _signal(
            second, n, max(4, round(period * rng.uniform(0.05, 0.6))), rng
        )
    if kind in ("daily", "traffic"):
        wave = _daily(rows, period, rng)
        return np.exp(0.8 * wave) if kind == "traffic" else wave
    if kind == "walk":
        walk = np.cumsum(rng.normal(size=n)) * rng.uniform(0.01, 0.08)
        return _moving_average(walk, int(rng.integers(1, 30)))
    if kind == "ou":
        return _autoregressive(n, 1 - 1 / rng.uniform(5, 200), rng) * rng.uniform(0.2, 1.0)
    if kind == "duty":
        on = (rows / period + rng.uniform()) % 1.0 < rng.uniform(0.1, 0.9)
        return _moving_average(on.astype(float), int(rng.integers(1, max(2, period // 8) + 1)))
    if kind == "sawtooth":
        ramp = (rows / period + rng.uniform()) % 1.0
        return ramp if rng.random() < 0.5 else 1.0 - ramp
    if kind == "setpoint":
        return _setpoints(n, rng)
    if kind == "fast_wave":
        short = rng.uniform(4, 40)
        found: Floats = np.sin(2 * np.pi * rows / short + rng.uniform(0, 6)) * rng.uniform(0.5, 1.0)
        return found
    if kind == "counter":
        rate = np.exp(rng.uniform(-1.5, 2.0) + 0.6 * _daily(rows, period, rng))
        return rng.poisson(rate).astype(float)
    return np.full(n, rng.normal())


def _daily(rows: npt.NDArray[np.int64], period: int, rng: np.random.Generator) -> Floats:
    """A few harmonics; each cycle has its own size, weekends may be quieter."""
    phase = 2 * np.pi * rows / period
    wave = np.zeros(len(rows))
    for harmonic in range(1, int(rng.integers(1, 6)) + 1):
        wave += rng.normal() / harmonic * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    wave /= max(float(np.abs(wave).max()), 1e-6)
    cycles = rows // period
    size = 1.0 + rng.uniform(0.0, 0.15) * rng.normal(size=int(cycles[-1]) + 2)
    if rng.random() < 0.3:
        size[np.arange(len(size)) % 7 >= 5] *= rng.uniform(0.4, 0.9)
    at = np.interp(rows / period, np.arange(len(size)), size)
    return wave * at


def _setpoints(n: int, rng: np.random.Generator) -> Floats:
    """Levels out of a small set, each visited again and again: such changes are normal."""
    levels = rng.normal(size=int(rng.integers(2, 5)))
    cuts = np.flatnonzero(rng.random(n) < rng.uniform(6, 30) / n)
    state = np.zeros(n, dtype=int)
    for cut in cuts:
        state[cut:] = rng.integers(len(levels))
    return _moving_average(levels[state], int(rng.integers(1, 20)))


def _autoregressive(n: int, rho: float, rng: np.random.Generator) -> Floats:
    from scipy.signal import lfilter

    innovations = rng.normal(size=n) * np.sqrt(1 - rho * rho)
    out: Floats = lfilter([1.0], [1.0, -rho], innovations)
    return out


def _trend(n: int, rng: np.random.Generator) -> Floats:
    kind = rng.integers(5)
    rows = np.linspace(0, 1, n)
    if kind == 0:
        return rows * rng.normal()
    if kind == 1:
        knots = rng.normal(size=int(rng.integers(3, 6)))
        return np.interp(rows, np.linspace(0, 1, len(knots)), knots) * 0.7
    return np.zeros(n)


def _noise(n: int, smooth: Floats, spread: float, rng: np.random.Generator) -> tuple[Floats, float]:
    """Noise and its level; sometimes heavy-tailed, coloured or growing with the signal."""
    level = spread * float(np.exp(rng.uniform(np.log(0.003), np.log(0.2))))
    kind = rng.integers(6)
    if kind == 0:
        shape = rng.standard_t(4, size=n) * 0.7
    elif kind == 1:
        shape = rng.laplace(size=n) * 0.7
    elif kind == 2:
        shape = _autoregressive(n, rng.uniform(0.3, 0.9), rng)
    elif kind == 3:
        low = smooth - smooth.min()
        shape = rng.normal(size=n) * (0.2 + 1.6 * low / max(float(low.max()), 1e-9))
    else:
        shape = rng.normal(size=n)
    if rng.random() < 0.1:
        level = 0.0
    return level * shape, level


def _habits(n: int, period: int, spread: float, level: float, rng: np.random.Generator) -> Floats:
    """Normal events that look striking: scheduled bursts, noisy regimes that recur."""
    extra = np.zeros(n)
    if rng.random() < 0.25 and n >= 4 * period and period >= 12:  # scheduled, every cycle
        length = int(rng.integers(1, max(2, period // 8) + 1))
        phase = int(rng.integers(period - length))
        size = rng.choice([-1.0, 1.0]) * spread * rng.uniform(0.3, 1.5)
        for start in range(phase, n, period):
            stop = min(start + length, n)
            extra[start:stop] += size * rng.uniform(0.85, 1.15)
    if rng.random() < 0.15:  # a noisier mode that comes and goes
        state = np.floor(np.arange(n) / max(n / rng.uniform(4, 12), 1.0)).astype(int) % 2
        extra += state * rng.normal(size=n) * max(level, 0.02 * spread) * rng.uniform(1.0, 3.0)
    return extra


def _finish(x: Floats, rng: np.random.Generator) -> Floats:
    if rng.random() < 0.25:
        x = np.maximum(x, np.quantile(x, rng.uniform(0.0, 0.05)))  # a natural floor
    offset = rng.choice([0.0, rng.uniform(0, 3), rng.uniform(3, 30)])
    found: Floats = x - x.min() + offset * max(float(x.std()), 1e-3)
    return found


def _moving_average(x: Floats, width: int) -> Floats:
    if width <= 1:
        return x
    padded = np.pad(x, (width // 2, width - 1 - width // 2), mode="edge")
    total = np.cumsum(np.concatenate(([0.0], padded)))
    found: Floats = (total[width:] - total[:-width]) / width
    return found


def _noise_level(x: Floats) -> float:
    residual = x - _moving_average(x, 5)
    return 1.6 * float(np.median(np.abs(residual - np.median(residual)))) + 1e-9


def _spread(x: Floats) -> float:
    return max(float(np.quantile(x, 0.95) - np.quantile(x, 0.05)), 2 * _noise_level(x), 1e-3)


def _inject(scene: Scene, rng: np.random.Generator) -> tuple[Floats, list[Interval]]:
    values, n = scene.clean.copy(), len(scene.clean)
    found: list[Interval] = []
    if rng.random() < 0.2:
        return values, found
    names = list(INJECTIONS)
    weights = np.array([INJECTIONS[name].weight for name in names])
    favourite = str(rng.choice(names)) if rng.random() < 0.3 else ""
    for _ in range(int(rng.integers(1, 3 + n // 500))):
        name = favourite or str(rng.choice(names, p=weights / weights.sum()))
        kind = INJECTIONS[name]
        longest = max(kind.shortest, min(kind.longest, n // 12))
        length = round(np.exp(rng.uniform(np.log(kind.shortest), np.log(longest + 0.5))))
        if length + 2 >= n:
            continue
        start = int(rng.integers(1, n - length - 1))
        margin = 8 + length // 4
        if any(i.start - margin < start + length and start < i.end + margin for i in found):
            continue
        part = kind.apply(scene, start, length, rng)
        if part is not None and _visible(part, scene, start, name):
            values[start : start + length] = part
            found.append(Interval(start, start + length - 1, name))
    return values, sorted(found)


def _visible(part: Floats, scene: Scene, start: int, name: str) -> bool:
    """Whether a careful person would see it; otherwise the label would teach nothing."""
    change = np.abs(part - scene.clean[start : start + len(part)])
    if name == "flatline":
        return float(change.std()) > 0 and scene.noise > 1e-4 * scene.spread
    if name in ("variance_change", "clipping"):
        return float(np.sqrt(np.mean(change**2))) > 0.4 * scene.noise
    return float(change.max()) > max(3.5 * scene.noise, 0.2 * scene.spread)


def _display(
    values: Floats, clean: Floats, intervals: Sequence[Interval], rng: np.random.Generator
) -> tuple[Floats, Floats, list[Interval]]:
    """Unit and resolution of the sensor, and the truth trimmed to the rows that differ."""
    unit = 10.0 ** rng.uniform(-3, 5)
    values, clean = values * unit, clean * unit
    if rng.random() < 0.3:
        digit = _spread(clean) * rng.choice([0.002, 0.01, 0.05])
        values, clean = np.round(values / digit) * digit, np.round(clean / digit) * digit
    kept: list[Interval] = []
    for interval in intervals:
        rows = slice(interval.start, interval.end + 1)
        differs = np.flatnonzero(values[rows] != clean[rows])
        if len(differs):
            first, last = int(differs[0]), int(differs[-1])
            kept.append(Interval(interval.start + first, interval.start + last, interval.label))
    return values, clean, kept


def _gaps(n: int, intervals: Sequence[Interval], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    missing = np.zeros(n, dtype=bool)
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(1, 5))):
            start = int(rng.integers(0, n - 1))
            missing[start : start + int(rng.integers(1, max(2, n // 60)))] = True
    for interval in intervals:
        missing[max(0, interval.start - 1) : interval.end + 2] = False
    return missing
