"""A seeded simulator of an industrial plant, with the truth about its anomalies.

Units of six types (pump, heat exchanger, compressor, reactor, tank, boiler), each with some ten
instruments that follow the unit's load, weather and grades with their own lags, noise and
resolution. Missing samples and historian dead bands included.

What counts as an anomaly is partly this plant's own convention, as in every real plant. The
following are *normal* here, although they stand out, and are never in the truth: changes of grade,
planned turndowns and stops, filter backwash, blowdown, analyser calibration, filling of tanks,
setpoint moves, impulses in vibration, missing samples, values held by the historian, a valve at its
end stop. The anomalies are faults of single instruments and upsets of a unit, of every kind in the
built-in label set except the generic one, from just visible to obvious. A detector that does not
know the convention raises false alarms on the former; labels can teach it.
"""

from __future__ import annotations

import datetime
import zoneinfo
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from tsloop.errors import ConfigError, SourceError
from tsloop.series.policies import check_zone
from tsloop.series.raw import RawSeries
from tsloop.series.types import Role
from tsloop.sources._plant_anomalies import UPSETS, plan_faults, plan_one
from tsloop.sources._plant_drivers import Clock, unit_drivers
from tsloop.sources._plant_tags import TagModel
from tsloop.sources._plant_units import UNIT_TYPES, UnitType
from tsloop.sources.base import Source

__all__ = ["PlantConfig", "PlantSource"]

_FIRST_UNIT = 101


@dataclass(frozen=True)
class PlantConfig:
    """The simulated plant. A unit depends on the seed and its number alone."""

    # Another seed is another plant; its convention of what is normal stays the same.
    seed: int = 0
    # Number of units, ten tags each; they take the six unit types in turn.
    units: int = 24
    # Simulated time in days.
    days: float = 10.0
    # Seconds between two samples.
    step_s: int = 300
    # First sample (ISO 8601 with offset); a Monday keeps weekends at the end of the week.
    start: str = "2024-03-04T00:00:00+08:00"
    # Time zone of the plant: shifts and weekends follow its clock.
    zone: str = "Asia/Shanghai"
    # Mean number of anomalies per tag, tags without any included.
    anomalies_per_tag: float = 3.0
    # Share of tags without an anomaly of their own.
    clean_share: float = 0.25
    # Share of units that are gold (only ever scored); the others are pool.
    gold_share: float = 1 / 3

    def __post_init__(self) -> None:
        positive = {"units": self.units, "days": self.days, "step_s": self.step_s}
        for key, value in positive.items():
            if not value > 0:
                raise ConfigError(f"source.{key}={value} is not positive.", hint="Set it above 0.")
        if self.n_rows < 48:
            raise ConfigError(
                f"source.days={self.days} at source.step_s={self.step_s} gives {self.n_rows} rows.",
                hint="Simulate at least 48 rows.",
            )
        for key in ("clean_share", "gold_share"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(
                    f"source.{key}={getattr(self, key)} is not a share.", hint="Use 0 to 1."
                )
        if self.anomalies_per_tag < 0 or self.seed < 0:
            raise ConfigError(
                f"source.anomalies_per_tag={self.anomalies_per_tag} and source.seed={self.seed} "
                "must not be negative."
            )
        check_zone("source.zone", self.zone)
        try:
            aware = datetime.datetime.fromisoformat(self.start).utcoffset() is not None
        except ValueError as error:
            raise ConfigError(f"source.start is not valid: {error}.") from error
        if not aware:
            raise ConfigError(
                f"source.start={self.start!r} has no UTC offset.", hint="Add one, such as +08:00."
            )

    @property
    def n_rows(self) -> int:
        """Samples of each tag."""
        return round(self.days * 86_400 / self.step_s)


class PlantSource(Source):
    """Simulates unit by unit; reading one tag never changes another."""

    kind: ClassVar[str] = "plant"
    config_class: ClassVar[type[Any]] = PlantConfig

    def __init__(self, config: PlantConfig) -> None:
        self.config = config
        self._unit = lru_cache(maxsize=512)(self._simulate)

    def list(self) -> list[str]:
        return sorted(
            _tag_id(unit, position)
            for unit in range(self.config.units)
            for position in range(len(_unit_type(unit).tags))
        )

    def read(self, name: str) -> RawSeries:
        for unit in range(self.config.units):
            for position in range(len(_unit_type(unit).tags)):
                if _tag_id(unit, position) == name:
                    return self._unit(unit)[position]
        raise SourceError(
            f"The plant has no tag {name!r}.",
            hint=f"It has {self.config.units} units, from {self.list()[0]} on.",
        )

    def _simulate(self, unit: int) -> tuple[RawSeries, ...]:
        config, kind = self.config, _unit_type(unit)
        clock, epoch_s = _clock(config)
        rng = np.random.default_rng([config.seed, unit])
        drivers = unit_drivers(rng, clock, kind.can_stop)
        models = [
            TagModel(tag, clock, drivers, np.random.default_rng([config.seed, unit, position]))
            for position, tag in enumerate(kind.tags)
        ]
        wanted = [_count(config, model) for model in models]
        _plan_upsets(rng, clock, config, [m for m, n in zip(models, wanted, strict=True) if n])
        group = f"{kind.letter}-{_FIRST_UNIT + unit}"
        series = []
        for position, (model, count) in enumerate(zip(models, wanted, strict=True)):
            own = max(0, count - len(model.faults))
            tag = model.tag
            model.faults += plan_faults(
                model.rng,
                own,
                model.busy,
                rhythm=model.rhythm,
                loaded=model.loaded,
                stepped=tag.deadband > 0,
            )
            values, truth = model.render()
            series.append(
                RawSeries(
                    _tag_id(unit, position),
                    epoch_s,
                    values,
                    group=group,
                    role=Role.GOLD if _is_gold(unit, config.gold_share) else Role.POOL,
                    unit=tag.unit,
                    zone=config.zone,
                    epoch_unit="s",
                    intervals=truth,
                    meta={"unit_type": kind.name, "description": f"{group} {tag.text}"},
                )
            )
        return tuple(series)


def _unit_type(unit: int) -> UnitType:
    return UNIT_TYPES[unit % len(UNIT_TYPES)]


def _tag_id(unit: int, position: int) -> str:
    """ISA style, such as ``FI_10101A.PV``: letters, unit, loop, and what is stored."""
    tag = _unit_type(unit).tags[position]
    return f"{tag.prefix}_{_FIRST_UNIT + unit}{position + 1:02d}A.{tag.suffix}"


def _is_gold(unit: int, share: float) -> bool:
    """Spread evenly over the units and over the unit types, whatever the number of units."""
    place = unit + unit // len(UNIT_TYPES)
    return int((place + 1) * share + 1e-9) > int(place * share + 1e-9)


def _clock(config: PlantConfig) -> tuple[Clock, Any]:
    """Rows in local hours since a Monday midnight, and their epoch seconds."""
    first = datetime.datetime.fromisoformat(config.start)
    epoch_s = int(first.timestamp()) + config.step_s * np.arange(config.n_rows, dtype=np.int64)
    local = first.astimezone(zoneinfo.ZoneInfo(config.zone))
    since_monday = 24 * local.weekday() + local.hour + local.minute / 60 + local.second / 3600
    hours = since_monday + np.arange(config.n_rows) * config.step_s / 3600
    return Clock(config.step_s / 60, hours), epoch_s


def _count(config: PlantConfig, model: TagModel) -> int:
    """How many anomalies a tag gets; setpoints have none, being the operators' own doing."""
    clean = model.rng.random() < config.clean_share
    mean = config.anomalies_per_tag / max(1 - config.clean_share, 1e-9)
    more = int(model.rng.poisson(max(mean - 1, 0)))
    if clean or model.tag.setpoint or config.anomalies_per_tag == 0:
        return 0
    return 1 + more


def _plan_upsets(
    rng: np.random.Generator, clock: Clock, config: PlantConfig, models: list[TagModel]
) -> None:
    """Some upsets hit two to four tags that follow the load, in the same rows."""
    able = [model for model in models if model.loaded]
    if len(able) < 2:
        return
    for _ in range(int(rng.poisson(0.5 * config.anomalies_per_tag * clock.spans))):
        members = rng.choice(len(able), min(len(able), int(rng.integers(2, 5))), replace=False)
        hit = [able[int(index)] for index in members]
        together = np.logical_or.reduce([model.busy for model in hit])
        fault = plan_one(rng, str(rng.choice(UPSETS)), together)
        if fault is not None:
            for model in hit:
                model.faults.append(fault)
                model.busy[fault.start : fault.end + 1] = True
