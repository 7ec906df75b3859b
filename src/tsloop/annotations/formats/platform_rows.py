"""Rows of the labelling platform: as the annotator's second version, but a label is its text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.annotations.formats._annotator import first_annotation, head, read_all
from tsloop.annotations.formats.annotator_v2 import take_v2
from tsloop.annotations.formats.attributes import write_overall
from tsloop.annotations.formats.base import (
    Bases,
    Holds,
    OutFile,
    Reading,
    ReadOptions,
    WriteContext,
)
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.values import origin_of, text_of
from tsloop.annotations.record import DRAFT, AnnotationRecord
from tsloop.intervals import Basis, Interval

__all__ = ["FORMAT", "PlatformRows"]


@dataclass(frozen=True, slots=True)
class PlatformRows:
    """A list of rows, one per series; ``source`` says whether a model or a person wrote it."""

    name = "platform_rows"
    title = "rows of the labelling platform"
    holds = Holds(
        none=True, labels=True, reasons=True, bases=Bases.BY_RECORD, origins=True, overall=True
    )

    def recognises(self, source: Source) -> bool:
        """Annotations with segments and a string as label; or none."""
        first = first_annotation(source)
        if not first:
            return first is not None
        return isinstance(first.get("segments"), list) and isinstance(first.get("label"), str)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record per row."""
        return read_all(self.name, source, options, take_v2)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """One file for all."""
        rows = [_row(record, context) for record in records]
        text = json.dumps(rows, ensure_ascii=False, indent=1, allow_nan=False)
        yield "platform_rows.json", text.encode() + b"\n"


FORMAT = PlatformRows()


def _row(record: AnnotationRecord, context: WriteContext) -> dict[str, Any]:
    groups: dict[tuple[str, str], list[Interval]] = {}
    for interval in record.intervals:
        groups.setdefault((interval.label, interval.reason), []).append(interval)
    model = bool(record.intervals) and all(i.basis is Basis.MODEL for i in record.intervals)
    annotations = [
        {
            "label": text_of(context.label_set[label], context.label_set, context.language),
            "color": context.label_set[label].color,
            "segments": [{"start": i.start, "end": i.end, **origin_of(i)} for i in intervals],
            "question": None,
            "analysis": reason,
        }
        for (label, reason), intervals in groups.items()
    ]
    return {
        **head(record, PlatformRows.name),
        "annotations": annotations,
        "overall_attribute": write_overall(record.overall, context.label_set),
        "source": "inference" if model or DRAFT in record.extra else "annotation",
    }
