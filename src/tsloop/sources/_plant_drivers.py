"""What moves a whole unit: load, weather, grades, and everything that its people call normal.

Each driver is one array over the rows, and the rows in which it does something sudden are marked
*busy*: anomalies keep away from them, so that a label always means one thing. None of these events
is an anomaly, however much it stands out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Clock", "Drivers", "Floats", "Rows", "lag", "unit_drivers", "wandering"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Clock:
    """Rows in time: ``minutes`` per row, local ``hours`` since a Monday midnight."""

    minutes: float
    hours: Floats

    def __len__(self) -> int:
        return len(self.hours)

    def rows(self, hours: float) -> int:
        """That time as a number of rows, at least one."""
        return max(1, round(hours * 60 / self.minutes))

    @property
    def spans(self) -> float:
        """Length of the simulation in spans of ten days, the unit of all event rates."""
        return len(self) * self.minutes / 14_400


@dataclass(frozen=True)
class Drivers:
    """``signals`` by name, centred on zero; ``busy`` rows by name; ``running`` in [0, 1]."""

    signals: dict[str, Floats]
    busy: dict[str, Rows]
    running: Floats
    outage: Rows


def lag(signal: Floats, minutes_per_row: float, lag_minutes: float) -> Floats:
    """First-order response with time constant ``lag_minutes``, starting in balance."""
    from scipy.signal import lfilter

    keep = float(np.exp(-minutes_per_row / max(lag_minutes, 1e-6)))
    out, _ = lfilter([1 - keep], [1, -keep], signal, zi=[keep * signal[0]])
    return np.asarray(out, dtype=np.float64)


def wandering(rng: np.random.Generator, clock: Clock, hours: float) -> Floats:
    """A slow random process of unit variance that forgets itself within ``hours``."""
    from scipy.signal import lfilter

    keep = float(np.exp(-clock.minutes / (60 * hours)))
    noise = rng.standard_normal(len(clock)) * np.sqrt(1 - keep * keep)
    out, _ = lfilter([1], [1, -keep], noise, zi=[keep * rng.standard_normal()])
    return np.asarray(out, dtype=np.float64)


def unit_drivers(rng: np.random.Generator, clock: Clock, can_stop: bool) -> Drivers:
    """All drivers of one unit; a unit whose tags do not use one is not moved by it."""
    n_rows = len(clock)
    signals: dict[str, Floats] = {}
    busy: dict[str, Rows] = {}
    load = _daily_load(rng, clock)
    turndown, busy["load"] = _turndowns(rng, clock)
    signals["load"] = load * turndown - 0.8
    signals["ambient"] = np.sin(2 * np.pi * (clock.hours - 9) / 24) + 0.6 * wandering(
        rng, clock, 30
    )
    signals["grade"], busy["grade"] = _grades(rng, clock)
    period = rng.uniform(20, 44)
    signals["backwash"], busy["backwash"] = _pulses(rng, clock, period, (0.2, 0.35), 0.25)
    signals["fouling"] = _since(busy["backwash"], clock) / 30 - 0.5
    signals["blowdown"], busy["blowdown"] = _pulses(rng, clock, 8, (0.15, 0.3), 0.1)
    signals["salt"] = _since(busy["blowdown"], clock) / 8 - 0.5
    busy["salt"] = busy["blowdown"]
    signals["filling"], signals["filling_level"], busy["filling"] = _filling(rng, clock)
    busy["filling_level"] = busy["filling"]
    running, busy["running"] = _stops(rng, clock, can_stop)
    outage = np.zeros(n_rows, dtype=bool)
    if rng.random() < 0.35 * clock.spans:
        start = int(rng.integers(0, n_rows))
        outage[start : start + clock.rows(rng.uniform(0.5, 2))] = True
    return Drivers(signals, busy, running, outage)


def _daily_load(rng: np.random.Generator, clock: Clock) -> Floats:
    """Around 0.8: day and night, three shifts, a quieter weekend, and slow changes of plan."""
    hours = clock.hours
    depth = rng.uniform(0.04, 0.10)
    day = depth * np.sin(2 * np.pi * (hours - 8) / 24) + 0.3 * depth * np.sin(
        4 * np.pi * (hours - rng.uniform(4, 8)) / 24
    )
    shift = np.floor(((hours - 6) % 24) / 8).astype(int)
    crews = np.array([0.012, 0.004, -0.016]) * rng.uniform(0.5, 1.5)
    weekend = np.where((hours // 24) % 7 >= 5, -rng.uniform(0.02, 0.06), 0.0)
    plan = 0.025 * wandering(rng, clock, 24)
    return 0.8 + day + lag(crews[shift] + weekend, clock.minutes, 50) + plan


def _turndowns(rng: np.random.Generator, clock: Clock) -> tuple[Floats, Rows]:
    """Planned reductions: an hour's ramp down, some hours low, an hour's ramp up."""
    factor = np.ones(len(clock))
    busy = np.zeros(len(clock), dtype=bool)
    for _ in range(int(rng.poisson(0.9 * clock.spans))):
        ramp, hold = clock.rows(rng.uniform(0.7, 1.6)), clock.rows(rng.uniform(3, 8))
        start = int(rng.integers(0, len(clock)))
        depth = rng.uniform(0.15, 0.35)
        down = np.linspace(0, 1, ramp)
        shape = 1 - depth * np.concatenate((down, np.ones(hold), down[::-1]))
        stop = min(start + len(shape), len(clock))
        factor[start:stop] = np.minimum(factor[start:stop], shape[: stop - start])
        busy[start : start + ramp + 3] = True
        busy[start + ramp + hold : stop + 3] = True
    return factor, busy


def _grades(rng: np.random.Generator, clock: Clock) -> tuple[Floats, Rows]:
    """Product grades: levels that change a few times within ten days."""
    n_rows = len(clock)
    grade = np.full(n_rows, rng.uniform(-1, 1))
    busy = np.zeros(n_rows, dtype=bool)
    for start in np.sort(rng.integers(0, n_rows, int(rng.poisson(2.2 * clock.spans)))):
        grade[start:] = rng.choice((-1.0, -0.3, 0.4, 1.0)) * rng.uniform(0.7, 1.0)
        busy[start : start + clock.rows(2)] = True
    return lag(grade, clock.minutes, 40), busy


def _pulses(
    rng: np.random.Generator,
    clock: Clock,
    every_hours: float,
    length_hours: tuple[float, float],
    jitter: float,
) -> tuple[Floats, Rows]:
    """Routine actions at fairly regular times; their height and length differ a little."""
    signal = np.zeros(len(clock))
    busy = np.zeros(len(clock), dtype=bool)
    at = clock.rows(every_hours) * rng.random()
    while at < len(clock):
        start, length = int(at), clock.rows(rng.uniform(*length_hours))
        signal[start : start + length] = rng.uniform(0.75, 1.1)
        busy[start : start + length + 3] = True
        at += clock.rows(every_hours) * (1 + jitter * rng.uniform(-1, 1))
    return signal, busy


def _since(busy: Rows, clock: Clock) -> Floats:
    """Hours since the last busy row."""
    rows = np.arange(len(busy))
    last = np.maximum.accumulate(np.where(busy, rows, 0))
    return (rows - last) * clock.minutes / 60


def _filling(rng: np.random.Generator, clock: Clock) -> tuple[Floats, Floats, Rows]:
    """A tank that is filled within an hour or two and drawn down over half a day."""
    n_rows = len(clock)
    filling, level = np.zeros(n_rows), np.zeros(n_rows)
    busy = np.zeros(n_rows, dtype=bool)
    at, height = -int(rng.integers(0, clock.rows(8))), 0.5
    while at < n_rows:
        fill, draw = clock.rows(rng.uniform(1.2, 2.2)), clock.rows(rng.uniform(7, 13))
        full, empty = rng.uniform(0.38, 0.5), rng.uniform(-0.5, -0.35)
        profile = np.concatenate(
            (np.linspace(height, full, fill), np.linspace(full, empty, draw, endpoint=False))
        )
        rows = np.arange(at, at + len(profile))
        inside = (rows >= 0) & (rows < n_rows)
        level[rows[inside]] = profile[inside]
        filling[rows[inside & (rows < at + fill)]] = rng.uniform(0.9, 1.05)
        for edge in (at, at + fill):
            busy[max(0, edge - 1) : max(0, edge + 3)] = True
        at, height = at + len(profile), empty
    return filling, level, busy


def _stops(rng: np.random.Generator, clock: Clock, can_stop: bool) -> tuple[Floats, Rows]:
    """Changes to the standby machine: coasting down, hours at rest, a start with an overshoot."""
    running = np.ones(len(clock))
    busy = np.zeros(len(clock), dtype=bool)
    if not can_stop or rng.random() > 0.6 * clock.spans:
        return running, busy
    start = int(rng.integers(len(clock) // 10, max(len(clock) // 10 + 1, len(clock) * 9 // 10)))
    length = clock.rows(rng.uniform(3, 9))
    running[start : start + length] = 0.0
    running = lag(running, clock.minutes, 5)
    if start + length < len(clock):
        running[start + length] = 1.25
    busy[max(0, start - 2) : start + length + 24] = True
    return running, busy
