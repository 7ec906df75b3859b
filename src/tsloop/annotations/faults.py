"""All faults of one record, where reading and fitting stop at the first.

Each part of a record is tried by itself, in surroundings that are in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tsloop.annotations.fitting import fit_record
from tsloop.annotations.record import SCHEMA, AnnotationRecord
from tsloop.errors import TsloopError
from tsloop.intervals import Status
from tsloop.labels import LabelSet
from tsloop.series.types import Series

__all__ = ["fitting_faults", "in_one_line", "record_faults"]

_SHOWN = 5
_IN_ORDER: dict[str, Any] = {
    "schema": SCHEMA,
    "series_id": "?",
    "series_sha256": "0" * 64,
    "n_rows": 1 << 62,
    "label_set": "any@1",
    "result": "none",
    "intervals": [],
}


def record_faults(row: Mapping[str, Any]) -> list[str]:
    """Why an object of a journal is no record; empty where it is one."""
    try:
        AnnotationRecord.from_dict(row)
    except TsloopError as error:
        return list(dict.fromkeys(_of_parts(row))) or [error.message]
    return []


def fitting_faults(record: AnnotationRecord, series: Series, label_set: LabelSet) -> list[str]:
    """Why a record does not fit its series and the label set; empty where it does."""
    try:
        fit_record(record, series, label_set)
    except TsloopError as error:
        found = dict.fromkeys(_of_intervals(record, series, label_set))
        return [error.message, *(message for message in found if message != error.message)]
    return []


def in_one_line(faults: Sequence[str]) -> str:
    """The first five, and how many more there are."""
    more = f" … and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return " ".join(faults[:_SHOWN]) + more


def _of_parts(row: Mapping[str, Any]) -> Iterator[str]:
    name = row.get("series_id")
    base = _IN_ORDER | ({"series_id": name} if isinstance(name, str) and name else {})
    for key in ("schema", *(key for key in row if key != "schema")):
        if key not in ("intervals", "result"):
            value = row.get(key)
            yield from _said({**base, key: value})
    rows = row.get("n_rows")
    known = {"n_rows": rows} if type(rows) is int and rows >= 0 else {}
    intervals = row.get("intervals")
    for interval in intervals if isinstance(intervals, list) else []:
        yield from _said({**base, **known, "result": "ok", "intervals": [interval]})


def _said(row: Mapping[str, Any]) -> Iterator[str]:
    try:
        AnnotationRecord.from_dict(row)
    except TsloopError as error:
        yield error.message


def _of_intervals(record: AnnotationRecord, series: Series, label_set: LabelSet) -> Iterator[str]:
    some = label_set.ids[0]
    for interval in record.intervals:
        one = record.replace(result=Status.OK, intervals=(interval,), label_set=label_set.ref)
        try:
            label_set.check([interval.label])
        except TsloopError as error:
            yield error.message
        try:
            fit_record(one.replace(intervals=(interval.replace(label=some),)), series, label_set)
        except TsloopError as error:
            yield error.message
