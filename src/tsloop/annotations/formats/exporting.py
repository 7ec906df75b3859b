"""Records out: what a format cannot carry is found first, then its files are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tsloop.annotations.formats.base import Format, OutFile, WriteContext
from tsloop.annotations.formats.losses import Loss, held_part, losses_of, why_unwritable
from tsloop.annotations.record import IMPORTED, AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Interval
from tsloop.labels import Label, LabelSet

__all__ = ["Export", "export_records", "with_original_labels"]


@dataclass(frozen=True)
class Export:
    """Files to write, one after the other, and what they lack.

    ``left_out`` are the series of which the format can say nothing at all, and why.
    """

    files: Iterator[OutFile]
    losses: tuple[Loss, ...]
    left_out: Mapping[str, str]
    n_records: int


def export_records(
    target: Format, records: Sequence[AnnotationRecord], context: WriteContext
) -> Export:
    """Prepare an export of all that the format can hold; the rest is among its losses.

    Each record must be in rows of the stored series (`tsloop.annotations.fitting.fit_record`).
    """
    for record in records:
        _check_fits(record, context)
    left_out = {
        record.series_id: why
        for record in records
        if (why := why_unwritable(record, target.holds, context.store))
    }
    writable = [record for record in records if record.series_id not in left_out]
    losses = losses_of(writable, target.holds, context.label_set)
    if left_out:
        losses.insert(0, Loss("records", len(left_out), next(iter(left_out)), substance=True))
    kept: list[AnnotationRecord] = []
    for record in writable:
        held = held_part(record, target.holds, context.label_set)
        if held is None:
            left_out[record.series_id] = '"no anomaly" cannot be said'
        else:
            kept.append(held)
    return Export(target.write(kept, context), tuple(losses), left_out, len(kept))


def with_original_labels(
    records: Sequence[AnnotationRecord], label_set: LabelSet
) -> tuple[list[AnnotationRecord], LabelSet]:
    """Records whose imported labels are what they were in the foreign file, and a set with them.

    A mapping may have led several foreign labels to one of ours; what they were stands beside the
    record. An interval that was moved, or labelled anew, since then keeps our label.
    """
    added: dict[str, Label] = {}
    out: list[AnnotationRecord] = []
    for record in records:
        imported = record.extra.get(IMPORTED)
        said = imported.get("labels", []) if isinstance(imported, Mapping) else []
        original = {(i["start"], i["end"], i.get("to")): i for i in said}
        intervals: list[Interval] = []
        for interval in record.intervals:
            foreign = original.get((interval.start, interval.end, interval.label))
            if foreign is not None:
                label = _foreign_label(foreign, label_set[interval.label])
                added.setdefault(label.id, label)
                interval = interval.replace(label=label.id)
            intervals.append(interval)
        out.append(record.replace(intervals=tuple(intervals)))
    kept = tuple(label for label in label_set.labels if label.id not in added)
    return out, replace(label_set, labels=(*kept, *added.values()))


def _foreign_label(said: Mapping[str, Any], ours: Label) -> Label:
    text = said.get("text") or said["id"]
    return Label(said.get("id") or text, text, text, ours.color, ours.group)


def _check_fits(record: AnnotationRecord, context: WriteContext) -> None:
    entry = context.store.entries.get(record.series_id)
    if entry is None or entry.sha256 != record.series_sha256:
        what = "is not in the series store" if entry is None else "has changed since"
        raise AnnotationError(
            f"Series {record.series_id!r} {what}, so its labels cannot be written.",
            hint="Label it again, or bring the series back into the source.",
        )
