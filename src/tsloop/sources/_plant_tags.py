"""One tag of the simulated plant: from the drivers of its unit to values with gaps and faults."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tsloop.intervals import Basis, Interval
from tsloop.sources._plant_anomalies import Fault, draw, free_rows, trim
from tsloop.sources._plant_drivers import Clock, Drivers, lag, wandering
from tsloop.sources._plant_units import Cycle, Tag

__all__ = ["Floats", "Rows", "TagModel"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]


@dataclass
class TagModel:
    """A tag with everything random about it drawn; `render` turns it into values.

    ``busy`` are rows where an anomaly would not be told from a normal event or a gap.
    """

    tag: Tag
    clock: Clock
    drivers: Drivers
    rng: np.random.Generator
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        tag, rng, clock = self.tag, self.rng, self.clock
        self._level = tag.level + min(0.04, tag.level / 8) * rng.uniform(-1, 1)
        self._weights = {name: w * rng.uniform(0.85, 1.15) for name, w in tag.drivers.items()}
        self._noise = _noise(rng, tag, len(clock))
        self._wander = tag.wander * wandering(rng, clock, 5)
        self._phase = rng.random()
        self._period = tag.cycle.minutes * rng.uniform(0.8, 1.25) if tag.cycle else 0.0
        self._jitter = 1 + 0.05 * wandering(rng, clock, 6)
        self._moves = _moves(rng, clock) if tag.setpoint else np.zeros(len(clock))
        self._calibration, calibrating = _calibrations(rng, clock, tag.calibrated)
        self.busy = calibrating | self.drivers.outage
        for name, weight in tag.drivers.items():
            if abs(weight) > 0.02 and name in self.drivers.busy:
                self.busy |= self.drivers.busy[name]
        if abs(tag.stops) > 0.02:
            self.busy |= self.drivers.busy["running"]
        self.missing = self.drivers.outage.copy()
        self._add_gaps()

    @property
    def clean_scale(self) -> float:
        """What the undisturbed tag does from one row to the next, in shares of its range."""
        steps = np.diff(self._undisturbed)
        quantum = self.tag.quantum / (self.tag.high - self.tag.low)
        typical = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / 2**0.5
        return max(typical, quantum * (1 + self.tag.deadband) / 2, self.tag.noise / 2)

    @property
    def rhythm(self) -> bool:
        """Whether the tag has a rhythm that can change."""
        return self.tag.cycle is not None

    @property
    def loaded(self) -> bool:
        """Whether the tag follows the load clearly."""
        return abs(self.tag.drivers.get("load", 0.0)) >= 0.1

    def render(self) -> tuple[Floats, tuple[Interval, ...]]:
        """Values in engineering units (NaN where missing), and the rows of each visible fault."""
        self._undisturbed = self._compose([])
        scale = self.clean_scale
        made_below = [f for f in self.faults if f.label in ("contextual", "frequency_change")]
        values = self._compose(made_below)
        truth = []
        planned = sorted(self.faults, key=lambda f: f.start)
        for place, fault in enumerate(planned):
            before = self._in_range(self._undisturbed if fault in made_below else values)
            if fault not in made_below:
                draw(self.rng, values, fault, scale)
            limit = planned[place + 1].start - 2 if fault is not planned[-1] else len(values) - 1
            rows = self._affected(fault, before, self._in_range(values), scale, limit)
            if rows is None:
                values[fault.start : fault.end + 1] = before[fault.start : fault.end + 1]
            else:
                truth.append(Interval(*rows, fault.label, basis=Basis.SIMULATED))
        out = self._measure(values)
        out[self.missing] = np.nan
        return out, tuple(truth)

    def _affected(
        self, fault: Fault, before: Floats, after: Floats, scale: float, limit: int
    ) -> tuple[int, int] | None:
        """Rows that a reviewer could see changed, up to ``limit``; ``None``: nobody could."""
        start, end = fault.start, fault.end
        if fault.label in ("flatline", "frequency_change"):
            return start, end
        if fault.label == "contextual":  # the lag carries it on for a while
            end = min(end + self.clock.rows(3 * self.tag.lag_min / 60), limit)
        change = float(np.abs(after[start : end + 1] - before[start : end + 1]).max())
        needed = {"clipping": 2.0, "variance_change": 2.0, "contextual": 7.0}.get(fault.label, 4.0)
        if change < needed * scale:
            return None
        if fault.label == "variance_change":
            return start, end
        tolerance = {"contextual": 2.0, "gradual_drift": 1.0, "clipping": 0.0}
        return trim(before, after, start, end, tolerance.get(fault.label, 0.5) * scale)

    def _compose(self, faults: list[Fault]) -> Floats:
        """Shares of the range, with those faults that change load or rhythm."""
        signals = dict(self.drivers.signals)
        factor = self._jitter.copy()
        for fault in faults:
            rows = slice(fault.start, fault.end + 1)
            if fault.label == "contextual":
                signals["load"] = _another_hour(signals["load"], self.clock, fault)
            else:
                factor[rows] *= fault.size if fault.size * fault.start % 2 < 1 else 1 / fault.size
        values = self._level + self._wander + self._moves
        for name, weight in self._weights.items():
            values = values + weight * lag(signals[name], self.clock.minutes, self.tag.lag_min)
        if self.tag.cycle is not None:
            turns = self._phase + np.cumsum(self.clock.minutes / self._period * factor)
            values = values + _cycle(self.tag.cycle, turns)
        values = values + self._noise
        running = lag(self.drivers.running, self.clock.minutes, self.tag.lag_min)
        values = values * (1 - self.tag.stops * (1 - running))
        return np.where(np.isnan(self._calibration), values, self._calibration + self._noise / 3)

    def _in_range(self, values: Floats) -> Floats:
        return np.clip(values, 0.0 if self.tag.suffix == "OUT" else -0.02, 1.0)

    def _measure(self, values: Floats) -> Floats:
        """Engineering units in steps of the quantum; the historian's dead band holds values."""
        tag = self.tag
        steps = np.rint((tag.low + self._in_range(values) * (tag.high - tag.low)) / tag.quantum)
        if tag.deadband:
            held = steps[0]
            for row, step in enumerate(steps):
                if abs(step - held) >= tag.deadband:
                    held = step
                steps[row] = held
        return np.round(steps * tag.quantum, 4)

    def _add_gaps(self) -> None:
        """Missing samples, in rows where nothing else happens."""
        if self.rng.random() < 0.3:
            return
        for _ in range(int(self.rng.poisson(2.0 * self.clock.spans))):
            length = round(float(np.exp(self.rng.uniform(0, np.log(20)))))
            start = free_rows(self.rng, self.busy, length, margin=5)
            if start is not None:
                self.missing[start : start + length] = True
                self.busy[start : start + length] = True


def _noise(rng: np.random.Generator, tag: Tag, n_rows: int) -> Floats:
    noise = tag.noise * rng.standard_normal(n_rows)
    if tag.heavy:
        impulses = rng.random(n_rows) < 0.015
        noise[impulses] += tag.noise * rng.exponential(2.0, int(impulses.sum()))
    return noise


def _moves(rng: np.random.Generator, clock: Clock) -> Floats:
    """A setpoint: moved by hand now and then, constant in between."""
    moves = np.zeros(len(clock))
    for start in rng.integers(0, len(clock), int(rng.poisson(5 * clock.spans))):
        moves[start:] += rng.choice((-1, 1)) * rng.uniform(0.005, 0.03)
    return moves


def _calibrations(rng: np.random.Generator, clock: Clock, wanted: bool) -> tuple[Floats, Rows]:
    """Values that an analyser shows while it is fed zero gas, then span gas; else NaN."""
    shown = np.full(len(clock), np.nan)
    busy = np.zeros(len(clock), dtype=bool)
    if not wanted:
        return shown, busy
    every, zero, span = rng.uniform(30, 50), rng.uniform(0.02, 0.06), rng.uniform(0.88, 0.95)
    at = clock.rows(every) * rng.random()
    while at < len(clock):
        start, half = int(at), clock.rows(rng.uniform(0.12, 0.2))
        shown[start : start + half] = zero
        shown[start + half : start + 2 * half] = span
        busy[max(0, start - 2) : start + 2 * half + 3] = True
        at += clock.rows(every) * rng.uniform(0.9, 1.1)
    return shown, busy


def _cycle(cycle: Cycle, turns: Floats) -> Floats:
    part = turns % 1.0
    match cycle.shape:
        case "triangle":  # slow fill, quick empty
            shape = np.where(part < 0.7, part / 0.7, (1 - part) / 0.3) - 0.5
        case "bump":  # regeneration: a short excursion, long rest
            shape = np.exp(-(((part - 0.2) / 0.09) ** 2)) - 0.15
        case _:
            shape = 0.5 * np.sin(2 * np.pi * part)
    return cycle.swing * shape


def _another_hour(load: Floats, clock: Clock, fault: Fault) -> Floats:
    """The load as if the fault's rows had another time of day: the most different of some."""
    rows = np.arange(fault.start, fault.end + 1)
    shifted = [load[(rows + clock.rows(hours)) % len(load)] for hours in (7, 9, 11, 13, 15)]
    out = load.copy()
    out[rows] = max(shifted, key=lambda other: float(np.abs(other - load[rows]).mean()))
    return out
