"""Instants that people write, and the whole numbers in which a server counts them."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

from tsloop.errors import ConfigError
from tsloop.series.policies import EPOCH_UNITS

__all__ = ["from_unit", "parse_instant", "to_unit"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_instant(text: str, zone: str, key: str) -> int | None:
    """Nanoseconds since the epoch of ISO 8601 text, ``None`` of an empty one.

    Text without an offset is local time in ``zone``. Where the clock went over that time twice, or
    left it out, the text must carry an offset; a guess would be an hour wrong.
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{key}={text!r} is not a time.",
            hint="Write it like 2023-07-18 12:00:00 or 2023-07-18T12:00:00+08:00.",
        ) from None
    if found.tzinfo is None:
        found = _in_zone(found, zone, text, key)
    return ((found - _EPOCH) // _MICROSECOND) * 1000


def _in_zone(local: datetime, zone: str, text: str, key: str) -> datetime:
    if not zone:
        raise ConfigError(
            f"{key}={text!r} has no time zone.",
            hint="Set source.zone, for example to Asia/Shanghai, or add an offset: "
            f"{local.isoformat()}+08:00.",
        )
    earlier, later = (local.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=fold) for fold in (0, 1))
    if earlier.utcoffset() != later.utcoffset():
        raise ConfigError(
            f"{key}={text!r} comes twice or never in {zone}: the clock is changed then.",
            hint="Add the UTC offset that is meant, as in 2023-10-29T02:30:00+02:00.",
        )
    return earlier


def to_unit(instant_ns: int, unit: str, *, up: bool) -> int:
    """Nanoseconds in the server's unit; what lies between two of its numbers goes up or down."""
    factor = EPOCH_UNITS[unit]
    return -(-instant_ns // factor) if up else instant_ns // factor


def from_unit(number: int, unit: str) -> str:
    """An instant of the server as text in UTC, for messages."""
    seconds, rest = divmod(number * EPOCH_UNITS[unit], 10**9)
    try:
        text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return f"{number} {unit}"
    return f"{text}.{rest:09d}".rstrip("0").rstrip(".") + " UTC"
