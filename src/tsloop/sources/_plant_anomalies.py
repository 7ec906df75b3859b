"""Faults and upsets of the simulated plant, of every kind in the built-in label set.

Planning and drawing are separate: a plan fixes kind, rows and size, drawing changes the values. The
size counts in units of what the tag does from row to row anyway, from just visible to obvious.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "KINDS",
    "UPSETS",
    "Fault",
    "Floats",
    "Kind",
    "Rows",
    "draw",
    "free_rows",
    "plan_faults",
    "plan_one",
    "trim",
]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Kind:
    """How often a fault happens (weight), its length in rows and its size in row-to-row scales."""

    weight: float
    rows: tuple[int, int]
    size: tuple[float, float] = (1.0, 1.0)


KINDS = {
    "upward_spike": Kind(3.0, (1, 3), (8, 36)),
    "downward_spike": Kind(2.5, (1, 3), (8, 36)),
    "double_spike": Kind(1.5, (2, 6), (7, 28)),
    "step_up": Kind(1.6, (12, 120), (6, 20)),
    "step_down": Kind(1.6, (12, 120), (6, 20)),
    "gradual_drift": Kind(1.5, (60, 240), (7, 20)),
    "sudden_drift": Kind(1.3, (36, 150), (7, 20)),
    "oscillation": Kind(1.5, (18, 110), (3.5, 10)),
    "variance_change": Kind(1.4, (30, 150), (2.5, 6)),
    "frequency_change": Kind(6.0, (48, 160), (1.7, 2.6)),
    "contextual": Kind(2.2, (24, 72)),
    "flatline": Kind(1.6, (12, 96)),
    "clipping": Kind(1.4, (24, 120)),
    "dropout": Kind(1.6, (1, 12)),
}
"""Kinds by label id. Frequencies need a rhythm of the tag, contexts a daily load."""

UPSETS = ("oscillation", "sudden_drift", "step_up", "step_down", "contextual")
"""What happens to several tags of a unit at the same time."""


@dataclass(frozen=True)
class Fault:
    """One anomaly as planned: label id, rows (inclusive), and size."""

    label: str
    start: int
    end: int
    size: float = 1.0


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def free_rows(
    rng: np.random.Generator, busy: Rows, length: int, margin: int, tries: int = 60
) -> int | None:
    """A first row of ``length`` rows, ``margin`` rows away from everything busy, or ``None``."""
    if length + 2 * margin >= len(busy):
        return None
    taken = np.concatenate(([0], np.cumsum(busy)))
    for start in rng.integers(margin, len(busy) - length - margin, tries):
        if taken[start + length + margin] == taken[start - margin]:
            return int(start)
    return None


def plan_faults(
    rng: np.random.Generator, count: int, busy: Rows, *, rhythm: bool, loaded: bool, stepped: bool
) -> list[Fault]:
    """Up to ``count`` faults in free rows; ``busy`` is updated in place.

    ``rhythm`` and ``loaded`` allow the kinds that need them, ``stepped`` leaves out what cannot be
    told from the tag's own way of standing still.
    """
    allowed = [
        label
        for label in KINDS
        if (rhythm or label != "frequency_change")
        and (loaded or label != "contextual")
        and not (stepped and label == "flatline")
    ]
    weights = np.array([KINDS[label].weight for label in allowed])
    faults = []
    for label in rng.choice(allowed, count, p=weights / weights.sum()):
        fault = plan_one(rng, str(label), busy)
        if fault is not None:
            faults.append(fault)
            busy[fault.start : fault.end + 1] = True
    return faults


def plan_one(rng: np.random.Generator, label: str, busy: Rows) -> Fault | None:
    """One fault of a kind in free rows, shorter where the whole simulation is short."""
    kind = KINDS[label]
    longest = max(kind.rows[0], min(kind.rows[1], len(busy) // 14))
    length = round(_log_uniform(rng, kind.rows[0], longest))
    start = free_rows(rng, busy, length, margin=10)
    if start is None:
        return None
    return Fault(label, start, start + length - 1, _log_uniform(rng, *kind.size))


def draw(rng: np.random.Generator, values: Floats, fault: Fault, scale: float) -> None:
    """Change ``values`` (shares of the range) in place; ``scale`` is the tag's row-to-row scale.

    Frequency changes and contextual anomalies are made where rhythm and load are, not here.
    """
    rows = slice(fault.start, fault.end + 1)
    here = values[rows]
    length, size = len(here), fault.size * scale
    part = np.arange(length) / max(length - 1, 1)
    match fault.label:
        case "upward_spike" | "downward_spike":
            sign = 1 if fault.label == "upward_spike" else -1
            here += sign * size * _peak(rng, length)
        case "double_spike":
            half = length // 2
            first = np.concatenate((_peak(rng, half), -_peak(rng, length - half)))
            here += size * rng.choice((-1, 1)) * first
        case "step_up" | "step_down":
            here += size if fault.label == "step_up" else -size
        case "gradual_drift":
            here += size * rng.choice((-1, 1)) * part ** rng.uniform(0.8, 1.5)
        case "sudden_drift":
            rise = np.minimum(1, np.arange(1, length + 1) / rng.integers(2, 6))
            here += size * rng.choice((-1, 1)) * rise * np.exp(-1.6 * part)
        case "oscillation":
            turns = 2 * np.pi * np.arange(length) / rng.uniform(4, 12)
            fade = np.minimum(1, np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)) / 3)
            here += size * fade * np.sin(turns + rng.uniform(0, 6))
        case "variance_change":
            here += size * rng.standard_normal(length)
        case "flatline":
            here[:] = values[fault.start - 1]
        case "clipping":
            share = rng.uniform(0.3, 0.6)
            if rng.random() < 0.7:
                np.minimum(here, np.quantile(here, share), out=here)
            else:
                np.maximum(here, np.quantile(here, 1 - share), out=here)
        case "dropout":
            here[:] = rng.choice((0.0, 0.0, -0.02, 0.04)) + 0.0005 * rng.standard_normal(length)


def _peak(rng: np.random.Generator, length: int) -> Floats:
    """Positive, with one row of height 1."""
    peak = rng.uniform(0.45, 0.9, length)
    if length:
        peak[int(rng.integers(0, length))] = 1.0
    return peak


def trim(before: Floats, after: Floats, start: int, end: int, tolerance: float) -> tuple[int, int]:
    """The first and last row of ``start..end`` that changed by more than ``tolerance``.

    ``(start, start - 1)``, an empty range, where none did.
    """
    changed = np.flatnonzero(np.abs(after[start : end + 1] - before[start : end + 1]) > tolerance)
    if len(changed) == 0:
        return start, start - 1
    return start + int(changed[0]), start + int(changed[-1])
