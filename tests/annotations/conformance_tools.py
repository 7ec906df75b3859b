"""Records at random, and a store to read them against, for the formats' conformance suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from tsloop.annotations.formats.base import Format, Reading, ReadOptions, WriteContext
from tsloop.annotations.formats.binding import Binder, Bound
from tsloop.annotations.formats.exporting import export_records
from tsloop.annotations.formats.source import Source
from tsloop.annotations.record import DRAFT, IMPORTED, AnnotationRecord
from tsloop.intervals import Basis, Interval, Status
from tsloop.labels import LabelSet, builtin_label_set
from tsloop.series.types import Series

LABELS = builtin_label_set()
START = 1_700_000_000_000_000_000
MS = 10**6


@dataclass(frozen=True)
class Entry:
    """What the store's manifest says."""

    sha256: str
    n_rows: int
    group: str
    role: str


class MemoryStore:
    """The part of the series store that annotations need, in memory."""

    def __init__(self, *series: Series) -> None:
        self.series = {item.id: item for item in series}
        self.entries: Mapping[str, Entry] = {
            item.id: Entry(item.sha256, len(item), item.group, str(item.role)) for item in series
        }

    def __getitem__(self, series_id: str) -> Series:
        return self.series[series_id]


def make_series(series_id: str, n_rows: int = 60, step_ns: int = 250 * MS, seed: int = 0) -> Series:
    """Noise with one gap, four samples a second: stamps have a fraction."""
    values = np.random.default_rng(seed).normal(size=n_rows).round(4)
    values[n_rows // 3] = np.nan
    return Series(series_id, START + step_ns * np.arange(n_rows), values)


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12).map(str.strip)
SCORES = st.none() | st.floats(0, 1)


@st.composite
def intervals_of(draw: st.DrawFn, series: Series) -> Interval:
    """An interval, often of one row, often at an edge."""
    last = len(series) - 1
    start = draw(st.integers(0, last))
    end = min(last, start + draw(st.sampled_from([0, 0, 0, 1, 5, last])))
    return Interval(
        start,
        end,
        draw(st.sampled_from(LABELS.ids)),
        score=draw(SCORES),
        reason=draw(TEXTS),
        basis=draw(st.sampled_from([None, *Basis])),
        author=draw(st.sampled_from(["", "li"])),
        t_start=int(series.timestamps[start]),
        t_end=int(series.timestamps[end]),
    )


@st.composite
def records_of(draw: st.DrawFn, series: Series, label_set: LabelSet = LABELS) -> AnnotationRecord:
    """A judgement with everything that a record may hold; no interval stands in it twice."""
    found = draw(st.lists(intervals_of(series), max_size=5))
    unique = {(i.start, i.end, i.label): i for i in found}
    overall = {
        attribute.id: draw(st.sampled_from(attribute.values)).id
        for attribute in label_set.attributes
        if draw(st.booleans())
    }
    return AnnotationRecord(
        series.id,
        series.sha256,
        len(series),
        Status.OK if unique else Status.NONE,
        label_set.ref,
        tuple(unique.values()),
        overall=overall,
        revision=draw(st.integers(1, 3)),
        author=draw(st.sampled_from(["", "li", "alice, bob"])),
        time=draw(st.sampled_from(["", "2026-01-05T08:30:00Z", "2026-01-05T08:30:00.5Z"])),
        comment=draw(TEXTS),
        extra=draw(st.sampled_from([{}, {"machine": "P-101"}, {DRAFT: "nobody looked"}])),
    )


def round_trip(
    target: Format,
    records: list[AnnotationRecord],
    store: MemoryStore,
    directory: Path,
    language: str = "zh",
    window: int = 25,
) -> tuple[list[Bound], Reading]:
    """Write records, read every file that the format recognises, and bind what was found."""
    context = WriteContext(store, LABELS, language, window, (90, 30))
    files = list(export_records(target, records, context).files)
    for name, data in files:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    binder = Binder(store, LABELS, format=target.name)
    options = ReadOptions(zone="UTC")
    parts: list[Reading] = []
    for name, _ in files:
        source = Source.open(directory / name)
        if target.recognises(source):
            parts.append(target.read(source, options))
    whole = Reading(
        target.name,
        tuple(record for part in parts for record in part.records),
        tuple(failure for part in parts for failure in part.failures),
        tuple(skip for part in parts for skip in part.skipped),
        tuple(repair for part in parts for repair in part.repairs),
    )
    return [binder.bind(record) for record in whole.records], whole


def without_origin(record: AnnotationRecord) -> AnnotationRecord:
    """The record without what says where it came from, and what writers are free to leave out."""
    extra = {k: v for k, v in record.extra.items() if k not in (IMPORTED, DRAFT, "machine")}
    return record.replace(extra=extra)
