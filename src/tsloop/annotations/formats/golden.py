"""Golden samples: a CSV file and a label file per series, whose intervals end *before* their end.

``[120, 145]`` holds row 144 and not row 145; an empty list is an explicit negative.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsloop.annotations.blind import BLIND
from tsloop.annotations.formats._annotator import read_blind, said_blind
from tsloop.annotations.formats.attributes import read_overall
from tsloop.annotations.formats.base import (
    Failure,
    ForeignLabel,
    ForeignRecord,
    Holds,
    OutFile,
    Reading,
    ReadOptions,
    Span,
    WriteContext,
)
from tsloop.annotations.formats.binding import said_by_file
from tsloop.annotations.formats.naming import FileNames
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.stamps import digits_needed, texts_from_ns
from tsloop.annotations.formats.values import as_basis, as_row, as_score, as_text, origin_of, plain
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Status
from tsloop.series.types import Series

__all__ = ["FORMAT", "GoldenSample"]

_SUFFIX = ".label.json"
_KNOWN = ("intervals", "annotators", "series_id", "label_set", "overall_attribute", BLIND)


@dataclass(frozen=True, slots=True)
class GoldenSample:
    """``NAME.label.json`` beside ``NAME.csv``."""

    name = "golden"
    title = "golden sample, exclusive ends"
    holds = Holds(none=True, labels=True, scores=True, origins=True, overall=True, author=True)

    def recognises(self, source: Source) -> bool:
        """An object with a list of intervals that each have ``interval`` and ``type``."""
        data = source.json
        if not isinstance(data, dict) or not isinstance(data.get("intervals"), list):
            return False
        named = source.path.name.endswith(_SUFFIX) or "annotators" in data
        return named and all(
            isinstance(item, dict) and "interval" in item for item in data["intervals"]
        )

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record."""
        try:
            record = _record(source)
        except AnnotationError as error:
            return Reading(self.name, failures=(Failure(source.label, error.message),))
        return Reading(self.name, (record,), repairs=source.repairs)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """Two files per record."""
        names = FileNames()
        for record in records:
            series = context.store[record.series_id]
            label_file = names(record.series_id, _SUFFIX)
            yield label_file, _document(record)
            yield label_file.removesuffix(_SUFFIX) + ".csv", _table(series)


FORMAT = GoldenSample()


def _record(source: Source) -> ForeignRecord:
    data = source.json
    repairs: set[str] = set()
    spans: list[Span] = []
    for item in data["intervals"]:
        pair = item["interval"]
        if not isinstance(pair, list) or len(pair) != 2:
            raise AnnotationError(f"{pair!r:.60} is no interval.")
        start, stop = (as_row(row, repairs) for row in pair)
        if not 0 <= start < stop:
            raise AnnotationError(f"Interval [{start}, {stop}] holds no row: its end is exclusive.")
        label = ForeignLabel("", as_text(item.get("type")))
        score, basis = as_score(item.get("confidence")), as_basis(item.get("basis"))
        spans.append(Span(label, start, stop - 1, score=score, basis=basis))
    authors = data.get("annotators")
    return ForeignRecord(
        source.label,
        as_text(data.get("series_id")) or source.label.removesuffix(_SUFFIX),
        Status.OK if spans else Status.NONE,
        tuple(spans),
        overall=read_overall(data.get("overall_attribute")),
        label_set=as_text(data.get("label_set")),
        author=", ".join(map(str, authors)) if isinstance(authors, list) else "",
        blind=read_blind(data),
        repairs=tuple(sorted(repairs)),
        fields=plain({key: value for key, value in data.items() if key not in _KNOWN}),
    )


def _document(record: AnnotationRecord) -> bytes:
    kept = dict(said_by_file(record, GoldenSample.name))
    intervals: list[dict[str, Any]] = []
    for interval in record.intervals:
        item = {"interval": [interval.start, interval.end + 1], "type": interval.label}
        scored = {"confidence": interval.score} if interval.score is not None else {}
        intervals.append({**item, **scored, **origin_of(interval)})
    data = {
        **kept,
        "data_type": kept.get("data_type", "unknown"),
        "source": kept.get("source", record.series_sha256),
        "annotators": [record.author] if record.author else [],
        "intervals": intervals,
        "overall_attribute": dict(record.overall),
        "series_id": record.series_id,
        "label_set": record.label_set,
        **said_blind(record),
    }
    return json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"


def _table(series: Series) -> bytes:
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["timestamp", "value"])
    stamps = texts_from_ns(series.timestamps, digits_needed(series.timestamps))
    for stamp, value in zip(stamps, series.values, strict=True):
        table.writerow([stamp, "" if np.isnan(value) else repr(float(value))])
    return out.getvalue().encode()
