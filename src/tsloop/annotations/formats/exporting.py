"""Records out: what a format cannot carry is found first, then its files are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tsloop.annotations.formats.base import Format, OutFile, WriteContext
from tsloop.annotations.formats.losses import Loss, check_writable, held_part, losses_of
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError

__all__ = ["Export", "export_records"]


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


def _check_fits(record: AnnotationRecord, context: WriteContext) -> None:
    entry = context.store.entries.get(record.series_id)
    if entry is None or entry.sha256 != record.series_sha256:
        what = "is not in the series store" if entry is None else "has changed since"
        raise AnnotationError(
            f"Series {record.series_id!r} {what}, so its labels cannot be written.",
            hint="Label it again, or bring the series back into the source.",
        )
