"""TRAINSET: a long table, one row per series and sample, one label per sample.

An empty label means "not labelled", so nothing here can say "no anomaly", and no sample has two
labels. Stamps are written with as many places as the series needs (at least milliseconds).
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tsloop.annotations.formats.base import (
    Failure,
    ForeignLabel,
    ForeignRecord,
    Holds,
    Join,
    OutFile,
    Reading,
    ReadOptions,
    Skipped,
    Span,
    WriteContext,
)
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.stamps import digits_needed, texts_from_ns, to_ns
from tsloop.annotations.formats.values import text_of
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Status

__all__ = ["FORMAT", "Trainset"]

_HEADER = ("series", "timestamp", "value", "label")


@dataclass(slots=True)
class _Column:
    """The samples of one series: time, label, and the line that each came from."""

    samples: list[tuple[int, str]] = field(default_factory=list)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Trainset:
    """One CSV file for any number of series."""

    name = "trainset"
    title = "TRAINSET table"
    holds = Holds(labels=True, join=Join.TOUCHING, mixed_overlaps=False, resolution_ns=1)

    def recognises(self, source: Source) -> bool:
        """A CSV file with the four columns, in any order."""
        return set(_HEADER) <= set(source.header)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record per series that has a label; runs of equal labels become intervals."""
        columns: dict[str, _Column] = defaultdict(_Column)
        rows = csv.DictReader(io.StringIO(source.text, newline=""))
        for row in rows:
            column = columns[row.get("series") or ""]
            try:
                moment = to_ns(row.get("timestamp") or "", options.zone)
            except AnnotationError as error:
                column.fault = column.fault or f"line {rows.line_num}: {error}"
                continue
            column.samples.append((moment, (row.get("label") or "").strip()))
        records: list[ForeignRecord] = []
        failures: list[Failure] = []
        skipped: list[Skipped] = []
        for name, column in columns.items():
            place = f"{source.label}, series {name}"
            stamps = [moment for moment, _ in column.samples]
            repairs = () if stamps == sorted(stamps) else ("rows out of order",)
            if len(set(stamps)) < len(stamps):
                column.fault = column.fault or "a timestamp comes twice"
            if column.fault:
                failures.append(Failure(place, column.fault))
            elif spans := _runs(sorted(column.samples)):
                records.append(
                    ForeignRecord(
                        place, name, Status.OK, spans, n_rows=len(stamps), repairs=repairs
                    )
                )
            else:
                skipped.append(Skipped(place, "no sample is labelled"))
        return Reading(self.name, tuple(records), tuple(failures), tuple(skipped), source.repairs)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """One table for all."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(_HEADER)
        for record in records:
            series = context.store[record.series_id]
            labels = [""] * len(series)
            for interval in record.intervals:
                label = context.label_set[interval.label]
                text = text_of(label, context.label_set, context.language)
                labels[interval.start : interval.end + 1] = [text] * len(interval)
            stamps = texts_from_ns(series.timestamps, max(3, digits_needed(series.timestamps)))
            for stamp, value, label_text in zip(stamps, series.values, labels, strict=True):
                shown = "" if np.isnan(value) else repr(float(value))
                table.writerow([record.series_id, stamp, shown, label_text])
        yield "trainset.csv", out.getvalue().encode()


FORMAT = Trainset()


def _runs(samples: list[tuple[int, str]]) -> tuple[Span, ...]:
    """Runs of one label over adjacent samples."""
    spans: list[Span] = []
    begun: tuple[int, str] | None = None
    last = 0
    for moment, label in [*samples, (0, "")]:
        if begun is not None and label != begun[1]:
            spans.append(Span(ForeignLabel("", begun[1]), t_start=begun[0], t_end=last))
            begun = None
        if label and begun is None:
            begun = (moment, label)
        last = moment
    return tuple(spans)
