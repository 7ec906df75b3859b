"""Ticks of a true time axis, in the zone in which people read the series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

__all__ = ["TimeTick", "show_time", "time_ticks", "zone_of"]

_SECOND = 1_000_000_000
_STEPS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3600 * n for n in (1, 2, 3, 6, 12)),
    *(86400 * n for n in (1, 2, 7, 14, 28, 91, 182, 365, 730, 1825, 3650)),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TimeTick:
    """A place on the axis (ns since the epoch), its text, and a date where a new day begins."""

    time_ns: int
    text: str
    date: str = ""


def zone_of(name: str) -> tuple[tzinfo, str]:
    """The zone and the name to show; UTC where the name is not a zone."""
    try:
        return ZoneInfo(name), name
    except (KeyError, ValueError, OSError):
        return UTC, "UTC"


def _local(time_ns: int, zone: tzinfo) -> datetime | None:
    """Local time, or ``None`` for a moment that the calendar does not reach (years 1 to 9999)."""
    try:
        return (_EPOCH + timedelta(microseconds=time_ns // 1000)).astimezone(zone)
    except (OverflowError, ValueError):
        return None


def show_time(time_ns: int, zone: str, *, seconds: bool = False) -> str:
    """``2026-03-14 14:30`` in the zone; the bare number where the calendar does not reach."""
    local = _local(time_ns, zone_of(zone)[0])
    if local is None:
        return f"{time_ns} ns"
    return f"{local:%Y-%m-%d %H:%M:%S}" if seconds else f"{local:%Y-%m-%d %H:%M}"


def time_ticks(first_ns: int, last_ns: int, zone: str, about: int = 6) -> list[TimeTick]:
    """Ticks at round local times inside ``first..last``, at most ``about + 1`` of them.

    Spans below a second, or outside the calendar, get no ticks.
    """
    info, _ = zone_of(zone)
    start = _local(first_ns, info)
    span_s = (last_ns - first_ns) / _SECOND
    if start is None or _local(last_ns, info) is None or span_s < 1:
        return []
    step_s = next((s for s in _STEPS_S if s * about >= span_s), _STEPS_S[-1])
    offset = start.utcoffset() or timedelta(0)
    shift_ns = int(offset.total_seconds()) * _SECOND
    step_ns = step_s * _SECOND
    place = -(-(first_ns + shift_ns) // step_ns) * step_ns - shift_ns
    places: list[int] = []
    while place <= last_ns and len(places) <= about + 1:
        places.append(place)
        place += step_ns
    return _dated(places, info, step_s)


def _dated(places: Sequence[int], zone: tzinfo, step_s: int) -> list[TimeTick]:
    ticks: list[TimeTick] = []
    previous = ""
    for place in places:
        local = _local(place, zone)
        if local is None:
            continue
        if step_s >= 86400:
            text, date = f"{local:%m-%d}", f"{local:%Y}"
        else:
            text = f"{local:%H:%M:%S}" if step_s < 60 else f"{local:%H:%M}"
            date = f"{local:%Y-%m-%d}"
        ticks.append(TimeTick(place, text, "" if date == previous else date))
        previous = date
    return ticks
