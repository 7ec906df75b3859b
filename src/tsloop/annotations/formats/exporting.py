"""Records out: what a format cannot carry is found first, then its files are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tsloop.annotations.formats.base import Format, OutFile, WriteContext
from tsloop.annotations.formats.losses import Loss, check_writable, held_part, losses_of
from tsloop.annotations.record import IMPORTED, AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Interval
from tsloop.labels import Label, LabelSet

__all__ = ["Export", "export_records", "with_original_labels"]


@dataclass(frozen=True)
class Export:
    """Files to write, one after the other, and what they lack.

    ``left_out`` are series of which the format can say nothing at all.
    """

    files: Iterator[OutFile]
    losses: tuple[Loss, ...]
    left_out: tuple[str, ...]
    n_records: int


def export_records(
    target: Format, records: Sequence[AnnotationRecord], context: WriteContext
) -> Export:
    """Prepare an export; records that the format cannot express at all are an `AnnotationError`.

    Each record must be in rows of the stored series (`tsloop.annotations.fitting.fit_record`).
    """
    for record in records:
        _check_fits(record, context)
    check_writable(records, target.holds, target.name)
    held = [(r.series_id, held_part(r, target.holds, context.label_set)) for r in records]
    kept = [record for _, record in held if record is not None]
    return Export(
        target.write(kept, context),
        tuple(losses_of(records, target.holds, context.label_set)),
        tuple(series_id for series_id, record in held if record is None),
        len(kept),
    )


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
