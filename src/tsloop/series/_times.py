"""The timestamp column: numbers, text or datetimes to UTC nanoseconds, without a guess."""

from __future__ import annotations

import zoneinfo
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsloop.series._columns import mask
from tsloop.series._local_times import Times, to_utc
from tsloop.series._repairs import RepairLog, refuse
from tsloop.series.policies import EPOCH_UNITS, PrepareConfig, near_zone
from tsloop.series.raw import RawSeries

__all__ = ["parse_times"]

_OFFSET = r"[T ]\d{2}.*?(?P<offset>[Zz]|[+-]\d{2}(?::?\d{2})?)$"
_NUMBER = r"^-?\d+(\.\d+)?$"
_DATES = {
    8: "20240131, prepare.timestamp_format='%Y%m%d'",
    12: "202401312359, prepare.timestamp_format='%Y%m%d%H%M'",
    14: "20240131235900, prepare.timestamp_format='%Y%m%d%H%M%S'",
}
"""Examples of dates in digits, by their number, and how to read them."""


def parse_times(
    raw: RawSeries, config: PrepareConfig, log: RepairLog
) -> tuple[Times, str, dict[str, Any]]:
    """UTC nanoseconds, shape ``(n,)``, in the order found; the zone for readers; what was found."""
    column = raw.timestamps
    zone = raw.zone or config.zone
    empty = mask(column.is_null())
    if pa.types.is_string(column.type):
        empty |= mask(pc.equal(pc.utf8_trim_whitespace(column), "").fill_null(True))
    if empty.any():
        refuse(raw, int(np.argmax(empty)), raw.timestamp_column, "no timestamp", _NO_TIME)
    if pa.types.is_timestamp(column.type):
        zone = zone or (column.type.tz or "")
        times = np.array(column.cast(pa.timestamp("ns")).cast(pa.int64()), dtype=np.int64)
        facts = {"found": "datetimes"}
        if column.type.tz is None:
            times = to_utc(raw, times, _need_zone(raw, zone), config, log)
    elif pa.types.is_string(column.type):
        times, facts = _from_text(raw, config, log, zone)
    else:
        times, facts = _from_numbers(raw, config, log, column)
    if facts["found"] != "sample numbers":
        _check_years(raw, config, times)
    return times, _known_zone(raw, zone or "UTC"), facts


_NO_TIME = "A row without a time has no place in the series: remove it at the source."


def _known_zone(raw: RawSeries, zone: str) -> str:
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        what = f"{zone!r} is not a time zone of the IANA database"
        near = near_zone(zone)
        hint = f"Did you mean {near}?" if near else "Write it like Asia/Shanghai or UTC."
        refuse(raw, None, raw.timestamp_column, what, hint)
    return zone


def _need_zone(raw: RawSeries, zone: str) -> str:
    if not zone:
        found = raw.timestamps[0].as_py()
        what = f"{str(found)!r} has no time zone"
        hint = "Set source.zone (or prepare.zone), for example to Asia/Shanghai or UTC."
        refuse(raw, 0, raw.timestamp_column, what, hint)
    return _known_zone(raw, zone)


def _bounds(config: PrepareConfig) -> tuple[int, int]:
    first, last = (
        int(np.datetime64(f"{year}-01-01", "s").astype(np.int64))
        for year in (config.min_year, config.max_year)
    )
    # The last instant that nanoseconds can count lies in the year 2262.
    return max(first * 10**9, -(2**63) + 1), min(last * 10**9, 2**63 - 1)


def _check_years(raw: RawSeries, config: PrepareConfig, times: Times) -> None:
    first, last = _bounds(config)
    outside = (times < first) | (times >= last)
    if outside.any():
        row = int(np.argmax(outside))
        what = (
            f"{raw.timestamps[row].as_py()!r} is {np.datetime64(int(times[row]), 'ns')} UTC, "
            f"outside the years {config.min_year} to {config.max_year}"
        )
        hint = "Check the epoch unit (source.epoch_unit), or widen prepare.min_year and max_year."
        refuse(raw, row, raw.timestamp_column, what, hint)


def _from_numbers(
    raw: RawSeries, config: PrepareConfig, log: RepairLog, column: Any
) -> tuple[Times, dict[str, Any]]:
    numbers = np.asarray(column.to_numpy(zero_copy_only=False))
    if numbers.dtype.kind == "f":
        return _from_floats(raw, config, log, numbers)
    unit = raw.epoch_unit or config.epoch_unit or _infer_unit(config, numbers)
    if unit in EPOCH_UNITS:
        factor = EPOCH_UNITS[unit]
        limit = (2**63 - 1) // factor
        if (over := np.abs(numbers) > limit).any():
            row = int(np.argmax(over))
            what = f"{int(numbers[row])} {unit} is beyond the year 2262"
            refuse(raw, row, raw.timestamp_column, what, "Check source.epoch_unit.")
        return numbers * np.int64(factor), {"found": "epoch", "unit": unit}
    if unit:
        what = f"epoch unit {unit!r} is not known"
        refuse(raw, None, raw.timestamp_column, what, f"Choose one of {list(EPOCH_UNITS)}.")
    return _from_samples(raw, config, log, numbers)


def _plausible(config: PrepareConfig, numbers: Times, unit: str) -> npt.NDArray[np.bool_]:
    """Which numbers lie in plausible years if they count ``unit``."""
    first, last = _bounds(config)
    factor = EPOCH_UNITS[unit]
    return np.asarray((numbers >= -(-first // factor)) & (numbers < last // factor))


def _infer_unit(config: PrepareConfig, numbers: Times) -> str:
    """The one unit that puts all numbers into plausible years; "" where there is none."""
    for unit in EPOCH_UNITS:
        if _plausible(config, numbers, unit).all():
            return unit
    return ""


def _from_samples(
    raw: RawSeries, config: PrepareConfig, log: RepairLog, numbers: Times
) -> tuple[Times, dict[str, Any]]:
    first, _ = _bounds(config)
    small = (numbers >= 0) & (numbers < first // 10**9)
    step_s = raw.step_s or config.sample_step_s
    if not small.all():
        row = int(np.argmax(~small)) if small[0] else _first_misfit(config, numbers)
        what = (
            f"{int(numbers[row])} is no time between {config.min_year} and {config.max_year} "
            "in the unit of the other rows (tried s, ms, us, ns)"
        )
        hint = (
            "Mend the row, state source.epoch_unit, or, if these are dates such as "
            f"{_DATES.get(len(str(numbers[row])), _DATES[8])}."
        )
        refuse(raw, row, raw.timestamp_column, what, hint)
    if config.sample_step_s is None or not step_s:
        what = f"{int(numbers[0])} is a sample number, not a time"
        hint = (
            "Set prepare.sample_step_s to the seconds between two samples for a synthetic time "
            "base, or prepare.timestamp_format if these are dates such as 20240131."
        )
        refuse(raw, 0, raw.timestamp_column, what, hint)
    step_ns = round(step_s * 1e9)
    if int(numbers.max()) > (2**63 - 1) // step_ns:
        row = int(np.argmax(numbers))
        what = f"sample {int(numbers[row])} x {step_s} s is beyond the year 2262"
        refuse(raw, row, raw.timestamp_column, what, "Check prepare.sample_step_s.")
    every = np.ones(len(numbers), dtype=bool)
    log.add("synthetic_time_base", every, f"sample number x {step_s:g} s after 1970-01-01")
    return numbers * np.int64(step_ns), {"found": "sample numbers", "sample_step_s": step_s}


def _first_misfit(config: PrepareConfig, numbers: Times) -> int:
    """The first row that does not fit the unit of the first row."""
    unit = _infer_unit(config, numbers[:1])
    return int(np.argmin(_plausible(config, numbers, unit))) if unit else 0


def _from_floats(
    raw: RawSeries, config: PrepareConfig, log: RepairLog, numbers: npt.NDArray[np.float64]
) -> tuple[Times, dict[str, Any]]:
    """Whole numbers as such; fractions only of seconds, kept to the microsecond."""
    odd = ~np.isfinite(numbers) | (np.abs(numbers) >= 2**62)
    if odd.any():
        row = int(np.argmax(odd))
        refuse(raw, row, raw.timestamp_column, f"{numbers[row]} is no timestamp", _NO_TIME)
    if (numbers == np.rint(numbers)).all():
        return _from_numbers(raw, config, log, pa.array(numbers.astype(np.int64)))
    unit = raw.epoch_unit or config.epoch_unit or _infer_unit(config, numbers.astype(np.int64))
    if unit != "s":
        row = int(np.argmax(numbers != np.rint(numbers)))
        what = f"{float(numbers[row])!r} has a fraction, and the unit is not known to be seconds"
        refuse(raw, row, raw.timestamp_column, what, "Set source.epoch_unit=s if it is.")
    whole = np.floor(numbers)
    micros = np.rint((numbers - whole) * 1e6).astype(np.int64)
    times = whole.astype(np.int64) * 10**9 + micros * 1000
    return times, {"found": "epoch", "unit": "s"}


def _from_text(
    raw: RawSeries, config: PrepareConfig, log: RepairLog, zone: str
) -> tuple[Times, dict[str, Any]]:
    text = pc.utf8_trim_whitespace(raw.timestamps)
    numeric = mask(pc.match_substring_regex(text, _NUMBER))
    if not config.timestamp_format and numeric[0]:
        if not numeric.all():
            row = int(np.argmin(numeric))
            what = f"{text[row].as_py()!r} is no number where the rows before are numbers"
            refuse(raw, row, raw.timestamp_column, what, "Mend the row at the source.")
        whole = not mask(pc.match_substring(text, ".")).any()
        try:
            numbers = text.cast(pa.int64() if whole else pa.float64())
        except pa.ArrowInvalid:  # more than 64 bits: out of every unit's range
            numbers = text.cast(pa.float64())
        return _from_numbers(raw, config, log, numbers)
    fmt = config.timestamp_format
    aware = "%z" in fmt if fmt else _aware(raw, config, log, text)
    times = _parse(raw, text if fmt else pc.utf8_upper(text), fmt, aware)
    if not aware:
        times = to_utc(raw, times, _need_zone(raw, zone), config, log)
    return times, {"found": "text"}


def _aware(raw: RawSeries, config: PrepareConfig, log: RepairLog, text: Any) -> bool:
    """Whether the texts carry UTC offsets: all or none of them, and one offset unless declared."""
    found = pc.extract_regex(text, _OFFSET)
    offsets = pc.struct_field(found, "offset").fill_null("")
    offsets = pc.replace_substring(pc.utf8_upper(offsets), ":", "")
    has = mask(pc.not_equal(offsets, ""))
    if has.any() and not has.all():
        row = int(np.argmax(has != has[0]))
        what = f"{text[row].as_py()!r} " + (
            "has a UTC offset where the rows before have none"
            if has[row]
            else "has no UTC offset where the rows before have one"
        )
        refuse(raw, row, raw.timestamp_column, what, "Mend the row at the source.")
    if not has.any():
        return False
    utc = pa.array(["Z", "+00", "-00", "-0000"])
    kinds = pc.if_else(pc.is_in(offsets, value_set=utc), "+0000", offsets)
    differs = mask(pc.not_equal(kinds, kinds[0]))
    if differs.any():
        if config.mixed_offsets == "error":
            row = int(np.argmax(differs))
            what = f"{text[row].as_py()!r} has another UTC offset than row 0"
            hint = "Set prepare.mixed_offsets=utc to read each text as the instant it names."
            refuse(raw, row, raw.timestamp_column, what, hint)
        log.add("mixed_offsets", differs, "offset differs from the first row's; read as UTC")
    return True


def _parse(raw: RawSeries, text: Any, fmt: str, aware: bool) -> Times:
    if not fmt:
        try:
            target = pa.timestamp("ns", "UTC" if aware else None)
            return np.array(text.cast(target).cast(pa.int64()), dtype=np.int64)
        except pa.ArrowInvalid:
            pass  # the slower parser reads more spellings, and names the row
    import pandas as pd

    cells = text.to_pandas()
    parsed = pd.to_datetime(cells, format=fmt or "ISO8601", errors="coerce", utc=aware)
    bad = parsed.isna().to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        cell = str(cells.iloc[row])[:40]
        what = f"{cell!r} is no time" + (f" of format {fmt!r}" if fmt else " as ISO 8601 writes it")
        hint = "Set prepare.timestamp_format, for example to '%d.%m.%Y %H:%M:%S'."
        refuse(raw, row, raw.timestamp_column, what, hint)
    naive = parsed.dt.tz_localize(None) if aware else parsed
    return np.asarray(naive.to_numpy(dtype="datetime64[ns]").astype(np.int64))
