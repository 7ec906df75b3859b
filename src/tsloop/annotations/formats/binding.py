"""Foreign records become canonical ones: series, rows, labels and attributes looked up here.

Nothing is guessed. A record whose series, rows or labels are not certain is an `AnnotationError`
that says what to state; what has no place in the canonical record is kept under
``extra["imported"]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tsloop.annotations.blind import BLIND
from tsloop.annotations.fitting import SeriesLookup
from tsloop.annotations.formats.base import ForeignRecord, Span
from tsloop.annotations.formats.mapping import (
    How,
    Mapped,
    as_dict,
    find_label,
    find_value,
)
from tsloop.annotations.formats.naming import find_by_values, find_series
from tsloop.annotations.record import IMPORTED, AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Basis, Interval
from tsloop.labels import LabelSet
from tsloop.series.types import Series

__all__ = ["Binder", "Bound", "said_by_file"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A canonical record, whether somebody has judged it, and what to know about it.

    ``doubts`` are reasons to look at it before it counts, ``notes`` what was done or left out.
    ``part`` are the rows (inclusive) that were judged, where those are not all.
    """

    record: AnnotationRecord
    proposed: bool
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    part: tuple[int, int] | None = None

    @property
    def partial(self) -> str:
        """The doubt that a part of a series leaves; empty where all of it was judged."""
        if self.part is None:
            return ""
        first, last = self.part
        return f"only rows {first} to {last} of {self.record.n_rows} were judged"


@dataclass(frozen=True)
class Binder:
    """Ties foreign records to the series store and the label set.

    ``snap`` lets times that are no samples move to the nearest one. ``format`` is the name that
    goes into ``extra``.
    """

    store: SeriesLookup
    label_set: LabelSet
    mapped: Mapped = field(default_factory=Mapped)
    snap: bool = False
    format: str = ""
    author: str = ""

    def bind(self, foreign: ForeignRecord) -> Bound:
        """The canonical record; an `AnnotationError` names the place and what is missing."""
        try:
            return self._bind(foreign)
        except AnnotationError as error:
            raise type(error)(f"{foreign.place}: {error.message}", hint=error.hint) from error

    def series_id(self, foreign: ForeignRecord) -> tuple[str, int]:
        """The series that a record speaks of, and the row of it that the record counts as 0."""
        table = self.mapped.series
        if foreign.name:
            try:
                return find_series(foreign.name, self.store.entries, table), 0
            except AnnotationError:
                if foreign.values is None:
                    raise
        if foreign.values is None:
            raise AnnotationError("The record names no series.")
        found = find_by_values(foreign.values, self.store)
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} places, as {found[:3]}," if found else "no stored series"
        raise AnnotationError(
            f"The {len(foreign.values)} values of the record are in {what} so that its series is "
            "not certain.",
            hint="Bring the series into the source, with the values that were labelled.",
        )

    def _bind(self, foreign: ForeignRecord) -> Bound:
        series_id, offset = self.series_id(foreign)
        entry = self.store.entries[series_id]
        whole = foreign.values is None or len(foreign.values) == entry.n_rows
        if whole and foreign.n_rows is not None and foreign.n_rows != entry.n_rows:
            raise AnnotationError(
                f"The file counts {foreign.n_rows} rows, but series {series_id!r} has "
                f"{entry.n_rows}.",
                hint="Import into a store that has the series as it was labelled.",
            )
        series = self.store[series_id]
        notes: list[str] = []
        intervals: list[Interval] = []
        renamed: list[dict[str, Any]] = []
        for span in foreign.spans:
            interval, said = self._interval(span, foreign, series, offset, notes)
            intervals.append(interval)
            renamed += [said] if said else []
        overall, unplaced = self._overall(foreign)
        more: dict[str, Any] = {"format": self.format, "place": foreign.place}
        # Whoever makes a judgement of a proposal has seen it, whatever its file says.
        blind = False if foreign.proposed else foreign.blind
        more |= {} if blind is None else {BLIND: blind}
        more |= {"labels": renamed} if renamed else {}
        more |= {"overall": unplaced} if unplaced else {}
        more |= {"fields": dict(foreign.fields)} if foreign.fields else {}
        record = AnnotationRecord(
            series_id,
            entry.sha256,
            entry.n_rows,
            foreign.result,
            self.label_set.ref,
            tuple(intervals),
            overall=overall,
            author=foreign.author or self.author,
            time=foreign.time,
            extra={IMPORTED: more},
        )
        notes += [f"{attribute} {value} has no place here" for attribute, value in unplaced.items()]
        part = _part(foreign, offset, entry.n_rows)
        bound = Bound(record, foreign.proposed, foreign.doubts, (*foreign.repairs, *notes), part)
        return replace(bound, doubts=(*bound.doubts, bound.partial)) if part else bound

    def _interval(
        self, span: Span, foreign: ForeignRecord, series: Series, offset: int, notes: list[str]
    ) -> tuple[Interval, dict[str, Any]]:
        start, end = self._rows(span, series, offset, notes)
        found = find_label(span.label, foreign.label_set, self.label_set, self.mapped)
        if not found.to:
            why = "has another text in" if found.how is How.DRIFTED else "is not in"
            raise AnnotationError(
                f"The label {span.label} {why} the label set {self.label_set.ref}.",
                hint="Say what it means in a mapping: tsloop labels import FILE --write-mapping "
                "NEW.json, then --mapping NEW.json",
            )
        interval = Interval(
            start,
            end,
            found.to,
            score=span.score,
            reason=span.reason,
            basis=Basis.MODEL if span.model else span.basis or Basis.IMPORTED,
            t_start=int(series.timestamps[start]),
            t_end=int(series.timestamps[end]),
        )
        ours = self.label_set[found.to]
        known = span.label.text in (ours.zh, ours.en, ours.id)
        if found.how is How.SAME or (known and not span.label.id):
            return interval, {}
        said = {"start": start, "end": end, "to": found.to, **as_dict(span.label)}
        return interval, said

    def _rows(self, span: Span, series: Series, offset: int, notes: list[str]) -> tuple[int, int]:
        if span.start is not None and span.end is not None:
            start, end = span.start + offset, span.end + offset
            if not 0 <= start <= end < len(series):
                raise AnnotationError(
                    f"Interval [{span.start}, {span.end}] lies outside the {len(series)} rows of "
                    f"{series.id!r}."
                )
            return start, end
        start, end = (self._row(moment, series, notes) for moment in (span.t_start, span.t_end))
        if start > end:
            raise AnnotationError(f"An interval ends ({span.t_end} ns) before it begins.")
        return start, end

    def _row(self, moment: int | None, series: Series, notes: list[str]) -> int:
        if moment is None:
            raise AnnotationError("An interval has neither rows nor times.")
        stamps = series.timestamps
        row = int(np.searchsorted(stamps, moment))
        if row < len(series) and stamps[row] == moment:
            return row
        near = [r for r in (row - 1, row) if 0 <= r < len(series)]
        best = min(near, key=lambda r: abs(int(stamps[r]) - moment))
        distance = abs(int(stamps[best]) - moment)
        if self.snap and distance <= max(series.step_ns, 1):
            notes.append(f"a time moved to the nearest sample, {distance / 1e9:g} s away")
            return best
        text = np.datetime64(moment, "ns")
        raise AnnotationError(
            f"{text} UTC is no sample of {series.id!r}; the nearest one is {distance / 1e9:g} s "
            "away.",
            hint="Check --zone, or let times move to the nearest sample with --snap.",
        )

    def _overall(self, foreign: ForeignRecord) -> tuple[dict[str, Any], dict[str, Any]]:
        placed: dict[str, Any] = {}
        unplaced: dict[str, Any] = {}
        for attribute, value in sorted(foreign.overall.items()):
            to = find_value(attribute, value, self.label_set, self.mapped)
            if to is not None:
                placed[attribute] = to
            else:
                unplaced[attribute] = as_dict(value)
        return placed, unplaced


def _part(foreign: ForeignRecord, offset: int, n_rows: int) -> tuple[int, int] | None:
    """The rows that were judged, or ``None`` where those are all."""
    part = foreign.part
    if part is None and foreign.values is not None:
        part = (0, len(foreign.values) - 1)
    if part is None or (offset == 0 and part == (0, n_rows - 1)):
        return None
    return part[0] + offset, part[1] + offset


def said_by_file(record: AnnotationRecord, format_name: str) -> Mapping[str, Any]:
    """The foreign fields that a record of the same format brought along."""
    imported = record.extra.get(IMPORTED)
    if not isinstance(imported, Mapping) or imported.get("format") != format_name:
        return {}
    fields = imported.get("fields")
    return fields if isinstance(fields, Mapping) else {}
