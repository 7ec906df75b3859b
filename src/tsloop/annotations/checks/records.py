"""What single records say against themselves: contradictions, overlaps, lasting single rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

from tsloop.annotations.checks.findings import Finding
from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Interval
from tsloop.labels import LabelSet

__all__ = [
    "LASTING_GROUPS",
    "NORMAL_GROUP",
    "contradictions",
    "merged_overlaps",
    "one_row_intervals",
    "overlaps",
    "unknown_attributes",
]

LASTING_GROUPS = ("drift", "shape")
"""Label groups whose events last: one single row is suspicious."""
NORMAL_GROUP = "normal"
"""Label group that says "nothing unusual here": it may not share a row with an anomaly."""
SAME_ROWS = 0.5
"""IoU from which two labels claim the same event."""


def contradictions(records: Iterable[AnnotationRecord], label_set: LabelSet) -> Iterator[Finding]:
    """Two kinds on mostly the same rows; "normal" on any row of an anomaly."""
    normal = {label.id for label in label_set.labels if label.group == NORMAL_GROUP}
    for record, first, second in _sharing(records):
        if first.label == second.label:
            continue
        if (first.label in normal) != (second.label in normal):
            yield _pair("contradictions", record, first, second, "are called both normal and not")
        elif first.iou(second) >= SAME_ROWS:
            yield _pair("contradictions", record, first, second, "have two labels")


def overlaps(records: Iterable[AnnotationRecord], label_set: LabelSet) -> Iterator[Finding]:
    """Rows that two labels share, where that is no contradiction."""
    clashes = {(f.series_id, f.start, f.end, f.what) for f in contradictions(records, label_set)}
    for record, first, second in _sharing(records):
        found = _pair("overlaps", record, first, second, "are shared")
        same_place = (found.series_id, found.start, found.end)
        if not any(clash[:3] == same_place for clash in clashes):
            yield found


def merged_overlaps(merged: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Overlapping intervals of one kind, which `fit_record` has joined (its ``merged``)."""
    for row in merged:
        what = f"{row['parts']} overlapping intervals of {row['label']} were joined"
        yield Finding("overlaps", row["series_id"], what, row["start"], row["end"])


def one_row_intervals(
    records: Iterable[AnnotationRecord], label_set: LabelSet
) -> Iterator[Finding]:
    """A kind that lasts, on a single row."""
    lasting = {label.id for label in label_set.labels if label.group in LASTING_GROUPS}
    for record in records:
        for interval in record.intervals:
            if interval.label in lasting and len(interval) == 1:
                what = f"{interval.label} lasts, but only one row is labelled"
                yield Finding(
                    "one_row_intervals", record.series_id, what, interval.start, interval.end
                )


def unknown_attributes(
    records: Iterable[AnnotationRecord], label_set: LabelSet
) -> Iterator[Finding]:
    """Attributes of a whole series, and values, that the label set does not define."""
    known = {a.id: {value.id for value in a.values} for a in label_set.attributes}
    for record in records:
        for key in sorted(record.overall):
            if record.overall[key] not in known.get(key, set()):
                what = f"{key} = {record.overall[key]!r} is not in label set {label_set.ref}"
                yield Finding("unknown_attributes", record.series_id, what)


def _sharing(
    records: Iterable[AnnotationRecord],
) -> Iterator[tuple[AnnotationRecord, Interval, Interval]]:
    for record in records:
        for first, second in combinations(record.intervals, 2):
            if first.overlap(second):
                yield record, first, second


def _pair(
    check: str, record: AnnotationRecord, first: Interval, second: Interval, what: str
) -> Finding:
    names = " and ".join(sorted((first.label, second.label)))
    start, end = max(first.start, second.start), min(first.end, second.end)
    return Finding(check, record.series_id, f"rows {what}: {names}", start, end)
