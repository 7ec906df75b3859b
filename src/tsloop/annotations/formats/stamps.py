"""Single timestamps of foreign files: text to UTC nanoseconds and back, to the nanosecond."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsloop.errors import AnnotationError

__all__ = ["digits_needed", "from_ns", "local_ns", "record_time", "texts_from_ns", "to_ns"]

_STAMP = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(text: str, zone: str = "") -> int:
    """Nanoseconds since the epoch of a stamp such as ``2014-02-26 13:45:00.000000``.

    A stamp without offset is read in ``zone``; without a zone, or where a clock change skips or
    repeats it, it is an `AnnotationError`, as is what is no stamp.
    """
    match = _STAMP.fullmatch(text.strip())
    if match is None:
        raise AnnotationError(f"{text!r} is no timestamp (2014-02-26 13:45:00).")
    *parts, fraction, offset = match.groups()
    try:
        wall = datetime(*(int(part or 0) for part in parts))  # type: ignore[arg-type]
    except ValueError as error:
        raise AnnotationError(f"{text!r} is no timestamp: {error}.") from error
    moment = wall.replace(tzinfo=UTC) - _offset(offset) if offset else _in_zone(wall, zone, text)
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return seconds * 10**9 + int((fraction or "").ljust(9, "0"))


def from_ns(ns: int, digits: int = 0, separator: str = "T", suffix: str = "Z") -> str:
    """The stamp of UTC nanoseconds with ``digits`` places of seconds; what is finer is cut off."""
    seconds, rest = divmod(ns, 10**9)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime(f"%Y-%m-%d{separator}%H:%M:%S")
    text = text.rjust(19, "0")  # years before 1000 come without leading zeros on some systems
    return text + (f".{rest:09d}"[: digits + 1] if digits else "") + suffix


def texts_from_ns(
    stamps: npt.NDArray[np.int64], digits: int = 0, separator: str = "T", suffix: str = "Z"
) -> list[str]:
    """`from_ns` for many stamps at once; ``digits`` is 0, 3, 6 or 9."""
    unit = {0: "s", 3: "ms", 6: "us", 9: "ns"}[digits]
    whole = stamps // 10 ** (9 - digits)
    texts = np.datetime_as_string(whole.astype(f"datetime64[{unit}]")).tolist()
    return [text.replace("T", separator) + suffix for text in texts]


def local_ns(stamps: npt.NDArray[np.int64], zone: str) -> npt.NDArray[np.int64]:
    """What clocks in ``zone`` showed at UTC nanoseconds, counted like those.

    An hour that a clock change repeats comes twice.
    """
    shown = pd.DatetimeIndex(stamps, tz="UTC").tz_convert(zone).tz_localize(None)
    return shown.to_numpy("datetime64[ns]").astype(np.int64)


def digits_needed(stamps: npt.ArrayLike) -> int:
    """How many places of seconds it takes (0, 3, 6 or 9) so that none of the stamps is cut."""
    found = np.asarray(stamps, dtype=np.int64)
    return next(d for d in (0, 3, 6, 9) if not (found % 10 ** (9 - d)).any())


def record_time(text: object, zone: str) -> str:
    """A stamp as records keep it (ISO 8601 in UTC), or empty where the file does not know it."""
    if not isinstance(text, str) or not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and moment.utcoffset() == timedelta(0):
            return text
        ns = to_ns(text, zone)
    except (AnnotationError, ValueError):
        return ""
    return from_ns(ns, digits_needed((ns,)))


def _offset(text: str) -> timedelta:
    if text in "Zz":
        return timedelta(0)
    digits = text[1:].replace(":", "").ljust(4, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -size if text[0] == "-" else size


def _in_zone(wall: datetime, zone: str, text: str) -> datetime:
    if not zone:
        raise AnnotationError(
            f"{text!r} has no time zone.", hint="State it: --zone Asia/Shanghai (or UTC)."
        )
    try:
        local = wall.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise AnnotationError(
            f"{zone!r} is not a time zone of the IANA database.", hint="As Asia/Shanghai or UTC."
        ) from None
    first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if first != second:
        raise AnnotationError(
            f"{text!r} happens twice in {zone}, or never: a clock change.",
            hint="Write the stamp with its offset.",
        )
    return first
