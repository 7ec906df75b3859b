"""The canonical record: what somebody said of one whole series.

Every foreign format is converted to and from this one at the border. There is no record for "not
looked at yet": a record says ``ok`` (these intervals) or ``none`` (looked and found nothing).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from tsloop.errors import AnnotationError
from tsloop.intervals import Interval, Status

__all__ = ["DRAFT", "IMPORTED", "SCHEMA", "AnnotationRecord"]

SCHEMA = "tsloop.annotation/1"

DRAFT = "draft"
"""A record with this key is a proposal that nobody has looked at; no journal takes it."""

IMPORTED = "imported"
"""The key of ``extra`` that says where a record came from and what else the file said."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LABEL_SET = re.compile(r"[^@\s]+@\d+")

_KINDS: dict[str, tuple[type[Any], ...]] = {
    "series_id": (str,),
    "series_sha256": (str,),
    "n_rows": (int,),
    "result": (str,),
    "label_set": (str,),
    "intervals": (list,),
    "overall": (dict,),
    "revision": (int,),
    "author": (str,),
    "time": (str,),
    "comment": (str,),
    "queue": (dict, type(None)),
}
_REQUIRED = ("series_id", "series_sha256", "n_rows", "result", "label_set", "intervals")
_INTERVAL_KINDS: dict[str, tuple[type[Any], ...]] = {
    "start": (int,),
    "end": (int,),
    "label": (str,),
    "score": (int, float, type(None)),
    "reason": (str,),
    "basis": (str, type(None)),
    "author": (str,),
    "time": (str,),
    "t_start": (int, type(None)),
    "t_end": (int, type(None)),
}


@dataclass(frozen=True, slots=True)
class AnnotationRecord:
    """One judgement of one series; a correction is a record of a later ``revision``.

    ``series_sha256`` and ``n_rows`` describe the content that was looked at, ``label_set`` names
    set and version (``tsloop@1``), ``overall`` holds statements on the whole series (attribute →
    value), ``time`` is ISO 8601 in UTC or empty, ``queue`` is the queue row that was answered, and
    ``extra`` keeps keys that this version does not know. Intervals are sorted on construction.
    """

    series_id: str
    series_sha256: str
    n_rows: int
    result: Status
    label_set: str
    intervals: tuple[Interval, ...] = ()
    overall: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 1
    author: str = ""
    time: str = ""
    comment: str = ""
    queue: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.result not in (Status.OK, Status.NONE):
            raise self._error(f"result is {str(self.result)!r}; a judgement is 'ok' or 'none'")
        object.__setattr__(self, "result", Status(self.result))
        ordered = tuple(sorted(self.intervals, key=lambda i: (i.start, i.end, i.label)))
        object.__setattr__(self, "intervals", ordered)
        if not self.series_id:
            raise AnnotationError("An annotation record needs a non-empty series_id.")
        if not _SHA256.fullmatch(self.series_sha256):
            raise self._error(f"series_sha256 is {self.series_sha256!r}, not 64 hex digits")
        if self.n_rows < 0 or self.revision < 1:
            raise self._error(
                f"n_rows is {self.n_rows} and revision {self.revision}; "
                "rows cannot be negative and revisions count from 1"
            )
        if not _LABEL_SET.fullmatch(self.label_set):
            raise self._error(f"label_set is {self.label_set!r}, not of the form name@version")
        self._check_intervals()
        self._check_times()
        if clash := sorted({*_KINDS, "schema"} & set(self.extra)):
            raise self._error(f"extra holds {clash}, which are keys of the record itself")

    def _check_intervals(self) -> None:
        if (self.result is Status.OK) != bool(self.intervals):
            raise self._error(
                f"result {str(self.result)!r} does not go with {len(self.intervals)} intervals: "
                "'ok' needs some, 'none' must have none"
            )
        for interval in self.intervals:
            place = f"interval [{interval.start}, {interval.end}]"
            if interval.end >= self.n_rows:
                raise self._error(f"{place} lies outside the {self.n_rows} rows")
            if not interval.label:
                raise self._error(f"{place} has an empty label")
            if interval.score is not None and not 0.0 <= interval.score <= 1.0:
                raise self._error(f"{place} has the score {interval.score}, not in [0, 1]")

    def _check_times(self) -> None:
        for text in (self.time, *(interval.time for interval in self.intervals)):
            if not text:
                continue
            try:
                offset = datetime.fromisoformat(text).utcoffset()
            except ValueError:
                offset = None
            if offset is None or offset != UTC.utcoffset(None):
                raise self._error(f"time {text!r} is not ISO 8601 in UTC (2024-05-01T08:30:00Z)")

    def _error(self, what: str) -> AnnotationError:
        return AnnotationError(
            f"Annotation of series {self.series_id!r} (revision {self.revision}): {what}."
        )

    def replace(self, **changes: Any) -> AnnotationRecord:
        """A copy with some fields changed, checked like a new one."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; fields that say nothing are left out, unknown ones come back."""
        out: dict[str, Any] = {
            "schema": SCHEMA,
            "series_id": self.series_id,
            "series_sha256": self.series_sha256,
            "n_rows": self.n_rows,
            "result": str(self.result),
            "label_set": self.label_set,
            "intervals": [interval.to_dict() for interval in self.intervals],
            "revision": self.revision,
        }
        for key in ("overall", "author", "time", "comment"):
            if value := getattr(self, key):
                out[key] = value
        if self.queue is not None:
            out["queue"] = self.queue
        return {**out, **self.extra}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; unknown keys go to ``extra``, wrong types are errors."""
        if data.get("schema") != SCHEMA:
            raise AnnotationError(f"Schema is {data.get('schema')!r}, but must be {SCHEMA!r}.")
        if missing := [key for key in _REQUIRED if key not in data]:
            raise AnnotationError(f"Annotation record lacks the keys {missing}.")
        if DRAFT in data:
            raise AnnotationError(
                f"The record of series {data['series_id']!r} is still a draft: nobody looked.",
                hint=f'Correct its result and intervals and delete its key "{DRAFT}"; delete the '
                "lines of series that you did not look at.",
            )
        known = {key: data[key] for key in _KINDS if key in data}
        _check_kinds(known, _KINDS, "")
        intervals = tuple(_interval(item) for item in known.pop("intervals"))
        extra = {key: value for key, value in data.items() if key not in {*_KINDS, "schema"}}
        _check_writable(data)
        return cls(intervals=intervals, extra=extra, **known)


def _interval(item: Any) -> Interval:
    if not isinstance(item, dict):
        raise AnnotationError(f"An interval must be an object, but is {item!r}.")
    if missing := [key for key in ("start", "end", "label") if key not in item]:
        raise AnnotationError(f"Interval {item!r} lacks the keys {missing}.")
    _check_kinds(item, _INTERVAL_KINDS, "interval ")
    try:
        return Interval.from_dict(item)
    except ValueError as error:  # a basis that does not exist
        raise AnnotationError(f"Interval {item!r}: {error}.") from error


def _check_kinds(
    values: Mapping[str, Any], kinds: Mapping[str, tuple[type[Any], ...]], where: str
) -> None:
    for key, value in values.items():
        wanted = kinds.get(key, (object,))
        fits = isinstance(value, wanted) and not (isinstance(value, bool) and bool not in wanted)
        if not fits and wanted != (object,):
            names = " or ".join(kind.__name__ for kind in wanted)
            raise AnnotationError(f"Key {where}{key} must be {names}, but is {value!r}.")


def _check_writable(value: Any) -> None:
    """JSON has no NaN and UTF-8 no half characters: such a record could never be written again."""
    if isinstance(value, float) and not math.isfinite(value):
        raise AnnotationError(f"Annotation record holds the number {value}, which JSON lacks.")
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise AnnotationError(f"Annotation record holds broken text: {value!r}.") from error
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_writable(key)
            _check_writable(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_writable(item)
