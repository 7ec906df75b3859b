"""What stands in the simulated plant: unit types and their instruments.

The instruments are listed in ``plant_units.json``. Every tag is described in shares of its range:
``level`` is where it sits at nominal load, ``drivers`` say how far each driver of the unit moves it
(see `_plant_drivers`), ``cycle`` gives a tag its own short rhythm. Signs follow the physics: a
pump's head falls as its flow rises, cooling water warms with the load, a filter's pressure drop
jumps while it is washed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources

__all__ = ["UNIT_TYPES", "Cycle", "Tag", "UnitType"]


@dataclass(frozen=True)
class Cycle:
    """A rhythm of one tag: period in minutes, swing in shares of the range, and its shape."""

    minutes: float
    swing: float
    shape: str  # triangle (two-point level control) | sine | bump (regeneration)


@dataclass(frozen=True)
class Tag:
    """One instrument. ``low`` and ``high`` bound its range in ``unit``; ``quantum`` is its step."""

    prefix: str
    text: str
    unit: str
    low: float
    high: float
    quantum: float
    level: float
    drivers: dict[str, float] = field(default_factory=dict)
    lag_min: float = 4.0
    noise: float = 0.004
    wander: float = 0.008
    cycle: Cycle | None = None
    suffix: str = "PV"
    heavy: bool = False  # impulses are part of its normal noise (vibration)
    deadband: float = 0.0  # the historian keeps the last value within this many quanta
    stops: float = 0.0  # share by which the value falls when the machine is stopped
    calibrated: bool = False  # an analyser that is fed zero and span gas now and then
    setpoint: bool = False  # moved by hand, otherwise constant


@dataclass(frozen=True)
class UnitType:
    """A kind of unit: its letter in the plant's numbering, and its instruments."""

    name: str
    letter: str
    tags: tuple[Tag, ...]
    can_stop: bool = False


def _load() -> tuple[UnitType, ...]:
    text = resources.files("tsloop.sources").joinpath("plant_units.json").read_text("utf-8")
    types = []
    for data in json.loads(text):
        tags = [
            Tag(**{**tag, "cycle": Cycle(**tag["cycle"]) if "cycle" in tag else None})
            for tag in data.pop("tags")
        ]
        types.append(UnitType(tags=tuple(tags), **data))
    return tuple(types)


UNIT_TYPES = _load()
"""Unit types in the order in which the plant's units take them."""
