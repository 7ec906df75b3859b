"""Checks that a record fits the series that it speaks of, and the project's label set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError, LabelSetError, TsloopError
from tsloop.intervals import Interval
from tsloop.labels import LabelSet
from tsloop.series.types import Role, Series

__all__ = ["Fitted", "SeriesEntry", "SeriesLookup", "fit_record", "raise_all", "stored_series"]


class SeriesEntry(Protocol):
    """What the series store knows of a series without reading it."""

    @property
    def sha256(self) -> str: ...
    @property
    def n_rows(self) -> int: ...
    @property
    def group(self) -> str: ...
    @property
    def role(self) -> Role: ...


class SeriesLookup(Protocol):
    """The part of the series store that annotations need."""

    @property
    def entries(self) -> Mapping[str, Any]: ...
    def __getitem__(self, series_id: str) -> Series: ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """A record in rows of the stored series, with all timestamps, and what was done to it.

    ``merged`` has one item for each interval that was made of several overlapping ones of one
    label; ``remapped`` says that the content had changed and the rows were found by time.
    """

    record: AnnotationRecord
    remapped: bool
    merged: tuple[dict[str, Any], ...]


def stored_series(record: AnnotationRecord, store: SeriesLookup) -> Series:
    """The series that a record speaks of; one that the store lacks is an `AnnotationError`."""
    if record.series_id not in store.entries:
        raise AnnotationError(
            f"Series {record.series_id!r} is labelled, but the series store does not have it.",
            hint="Bring it back into the source: labels are never dropped silently.",
        )
    return store[record.series_id]


def fit_record(record: AnnotationRecord, series: Series, label_set: LabelSet) -> Fitted:
    """Check one record against its series; what cannot be mended is an `AnnotationError`.

    A record of other content than the stored one is carried over by the true timestamps of its
    intervals, if the series still has a sample at each of them. Overlapping intervals of one label
    become one interval with the fields of the first; where a part started from a model's proposal,
    so did the whole.
    """
    _check_labels(record, label_set)
    remapped = record.series_sha256 != series.sha256
    if not remapped and record.n_rows != len(series):
        raise _error(record, f"it counts {record.n_rows} rows, but the series has {len(series)}")
    place = _remap if remapped else _stamp
    intervals, merged = _merge([place(record, i, series) for i in record.intervals])
    if remapped and not intervals:
        raise _error(
            record,
            "the series has changed since it was found to be without anomalies",
            f"Look at it again: its content is now {series.sha256[:12]}….",
        )
    fitted = record.replace(
        series_sha256=series.sha256, n_rows=len(series), intervals=tuple(intervals)
    )
    found = tuple({"series_id": record.series_id, **item} for item in merged)
    return Fitted(fitted, remapped, found)


def raise_all(errors: list[TsloopError], what: str) -> None:
    """Raise one error of the first one's type that lists the first five; none: do nothing."""
    if errors:
        shown = " ".join(f"({n}) {error.message}" for n, error in enumerate(errors[:5], start=1))
        more = f" … and {len(errors) - 5} more." if len(errors) > 5 else ""
        raise type(errors[0])(f"{len(errors)} {what}: {shown}{more}", hint=errors[0].hint)


def _check_labels(record: AnnotationRecord, label_set: LabelSet) -> None:
    if record.label_set != label_set.ref:
        raise LabelSetError(
            f"The record of series {record.series_id!r} speaks of label set {record.label_set}, "
            f"but the project uses {label_set.ref}.",
            hint="Set labels.set to that set, or convert the labels.",
        )
    try:
        label_set.check(interval.label for interval in record.intervals)
    except LabelSetError as error:
        raise LabelSetError(
            f"Series {record.series_id!r}: {error.message}", hint=error.hint
        ) from error


def _stamp(record: AnnotationRecord, interval: Interval, series: Series) -> Interval:
    """The interval with its true timestamps; other timestamps than the series has are an error."""
    start, end = (int(series.timestamps[row]) for row in (interval.start, interval.end))
    if interval.t_start not in (None, start) or interval.t_end not in (None, end):
        raise _error(
            record,
            f"the timestamps of interval [{interval.start}, {interval.end}] are "
            f"{interval.t_start}, {interval.t_end}, but these rows have {start}, {end}",
        )
    return interval.replace(t_start=start, t_end=end)


def _remap(record: AnnotationRecord, interval: Interval, series: Series) -> Interval:
    """The interval in rows of changed content, found by its timestamps."""
    rows: list[int] = []
    for moment in (interval.t_start, interval.t_end):
        row = -1 if moment is None else int(np.searchsorted(series.timestamps, moment))
        if not 0 <= row < len(series) or series.timestamps[row] != moment:
            why = (
                "has no timestamps" if moment is None else f"begins or ends at {moment} ns, a time"
            )
            gone = "" if moment is None else " that the series no longer has"
            raise _error(
                record,
                f"the series has changed, and interval [{interval.start}, {interval.end}] "
                f"{why}{gone}",
                "Restore the series or label it again.",
            )
        rows.append(row)
    return interval.replace(start=rows[0], end=rows[1])


def _merge(intervals: list[Interval]) -> tuple[list[Interval], list[dict[str, Any]]]:
    out: list[Interval] = []
    parts: dict[int, int] = {}
    last: dict[str, int] = {}
    for interval in sorted(intervals, key=lambda i: (i.start, i.end, i.label)):
        at = last.get(interval.label)
        if at is None or interval.start > out[at].end:
            last[interval.label] = len(out)
            out.append(interval)
            continue
        held = out[at]
        scores = [score for score in (held.score, interval.score) if score is not None]
        latest_end = interval if interval.end > held.end else held
        # Where one of them was a model's idea, the whole was not drawn blind.
        proposed = interval.basis is not None and interval.basis.proposed
        out[at] = held.replace(
            end=latest_end.end,
            t_end=latest_end.t_end,
            score=max(scores) if scores else None,
            basis=interval.basis if proposed else held.basis,
        )
        parts[at] = parts.get(at, 1) + 1
    merged = [
        {"label": out[at].label, "start": out[at].start, "end": out[at].end, "parts": n}
        for at, n in sorted(parts.items())
    ]
    return out, merged


def _error(record: AnnotationRecord, what: str, hint: str = "") -> AnnotationError:
    return AnnotationError(
        f"The record of series {record.series_id!r} (revision {record.revision}) does not fit: "
        f"{what}.",
        hint=hint,
    )
