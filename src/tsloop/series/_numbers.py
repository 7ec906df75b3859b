"""The value column: text and numbers to float64, where NaN is a gap and nothing is guessed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsloop.series._columns import mask
from tsloop.series._repairs import RepairLog, refuse
from tsloop.series.policies import PrepareConfig
from tsloop.series.raw import RawSeries

__all__ = ["parse_values"]

_INFINITE = r"(?i)^[+-]?inf(inity)?$"
_PLAIN = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
_GROUPED_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+$")
_DECIMAL_COMMA = r"^[+-]?\d*(,\d*)+([eE][+-]?\d+)?$"


def parse_values(raw: RawSeries, config: PrepareConfig, log: RepairLog) -> npt.NDArray[np.float64]:
    """Shape ``(n,)``; a cell that is no number is a declared gap or a `SeriesValidationError`."""
    if pa.types.is_timestamp(raw.values.type):
        hint = "Set source.value_column to the column with the values."
        refuse(raw, 0, raw.value_column, "holds times, not numbers", hint)
    if pa.types.is_string(raw.values.type):
        values = _from_text(raw, config, log)
    else:
        values = _gaps_for_infinite(raw, config, log, _to_floats(raw.values))
    missing = np.isnan(values)
    if config.missing == "error" and missing.any():
        row = int(np.argmax(missing))
        refuse(raw, row, raw.value_column, "no value", "Set prepare.missing=gap to keep a gap.")
    return values


def _to_floats(column: Any) -> npt.NDArray[np.float64]:
    """Nulls become NaN; the array is a writable copy."""
    return np.array(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _gaps_for_infinite(
    raw: RawSeries, config: PrepareConfig, log: RepairLog, values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.argmax(infinite))
        if config.infinite == "error":
            found = raw.values[row].as_py()
            what = f"{found!r} is infinite, or too large for float64"
            refuse(raw, row, raw.value_column, what, "Set prepare.infinite=gap to keep a gap.")
        values[infinite] = np.nan
        log.add("infinite", infinite, "read as a gap")
    return values


def _from_text(raw: RawSeries, config: PrepareConfig, log: RepairLog) -> npt.NDArray[np.float64]:
    text = pc.utf8_trim_whitespace(pc.fill_null(raw.values, ""))
    decimal, thousands = raw.decimal or config.decimal, raw.thousands or config.thousands
    if decimal != "," and not thousands and (quick := _all_plain(text)) is not None:
        return quick
    tokens = {token.lower() for token in config.missing_tokens} | {""}
    missing = mask(pc.is_in(pc.utf8_lower(text), value_set=pa.array(sorted(tokens), pa.string())))
    log.add("missing_token", missing & mask(pc.not_equal(text, "")), "text for no sample")
    plain, rewritten = _plain_signs(text, decimal or ".", thousands)
    detail = f"decimal sign {decimal or '.'!r}, thousands sign {thousands!r}"
    log.add("number_format", rewritten & ~missing, detail)
    good = mask(pc.match_substring_regex(plain, _PLAIN)) & ~missing
    good |= mask(pc.match_substring_regex(text, _INFINITE)) & ~missing
    odd = ~(good | missing)
    if odd.any():
        _refuse_odd(raw, config, text, odd, declared=bool(decimal or thousands))
        log.add("text", odd, "read as a gap")
    values = np.full(len(text), np.nan)
    values[good] = _cast(plain.filter(pa.array(good)))
    return _gaps_for_infinite(raw, config, log, values)


def _all_plain(text: Any) -> npt.NDArray[np.float64] | None:
    """The quick way for a clean column: plain finite numbers and empty cells, or ``None``."""
    filled = mask(pc.not_equal(text, ""))
    try:
        numbers = _to_floats(text.filter(pa.array(filled)).cast(pa.float64()))
    except pa.ArrowInvalid:
        return None
    if not np.isfinite(numbers).all():
        return None
    values = np.full(len(text), np.nan)
    values[filled] = numbers
    return values


def _plain_signs(text: Any, decimal: str, thousands: str) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Rewrite declared separators to plain ones, and say where that changed a cell.

    A cell that does not fit the declaration becomes unreadable, so that it is refused and does not
    pass as a plain number by accident.
    """
    if decimal == "." and not thousands:
        return text, np.zeros(len(text), dtype=bool)
    d, t = re.escape(decimal), re.escape(thousands)
    whole = rf"(\d+|\d{{1,3}}({t}\d{{3}})+)" if thousands else r"\d+"
    fits = pc.match_substring_regex(text, rf"^[+-]?({whole}({d}\d*)?|{d}\d+)([eE][+-]?\d+)?$")
    plain = pc.replace_substring(text, thousands, "") if thousands else text
    plain = pc.replace_substring(plain, decimal, ".") if decimal != "." else plain
    changed = mask(fits) & mask(pc.not_equal(text, plain))
    infinite = pc.match_substring_regex(text, _INFINITE)
    return pc.if_else(pc.or_(fits, infinite), plain, "?"), changed


def _cast(text: Any) -> npt.NDArray[np.float64]:
    """Numbers by pattern to float64, correctly rounded; an overflow becomes infinite."""
    try:
        return _to_floats(text.cast(pa.float64()))
    except pa.ArrowInvalid:  # arrow versions differ in whether 1e400 parses
        return np.array([float(cell) for cell in text.to_pylist()], dtype=np.float64)


def _refuse_odd(
    raw: RawSeries, config: PrepareConfig, text: Any, odd: npt.NDArray[np.bool_], declared: bool
) -> None:
    """Refuse the first cell that is no number, unless it may become a gap.

    A number with an undeclared comma is never a gap: it has a value, only not a known one.
    """
    commas = odd & mask(pc.match_substring_regex(text, _DECIMAL_COMMA))
    if commas.any() and not declared:
        row = int(np.argmax(commas))
        cell = text[row].as_py()
        if _GROUPED_COMMA.match(cell):
            what = f"{cell!r} is ambiguous: a decimal comma or a thousands separator"
            hint = "Set source.decimal=',' or source.thousands=','."
        else:
            what = f"{cell!r} looks like a number with a decimal comma"
            hint = "Set source.decimal=','."
        refuse(raw, row, raw.value_column, what, hint)
    if config.text == "error":
        row = int(np.argmax(odd))
        cell = text[row].as_py()
        shown = repr(cell if len(cell) <= 40 else cell[:40] + "…")
        what = f"{shown} is not a number" + (" in the declared format" if declared else "")
        hint = "Set prepare.text=gap to keep a gap, or add it to prepare.missing_tokens."
        refuse(raw, row, raw.value_column, what, hint)
