"""Result tables of the older inference tools: the series with 0/1 masks, one row per sample.

``orig_pos`` says which row of the series each row of the table is; without it the rows must be
those of the series. A mask of zeros alone is no "no anomaly": those tools wrote the same where they
had failed. Ours say ``"status": "none"`` in the metrics file beside the table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tsloop.annotations.formats._metrics import metrics_beside, metrics_file, segments_file
from tsloop.annotations.formats.base import (
    Bases,
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
from tsloop.annotations.formats.naming import FileNames
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.stamps import digits_needed, local_ns, texts_from_ns
from tsloop.annotations.formats.values import as_row, as_text
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Status, from_mask, to_mask

__all__ = ["FORMAT", "InferenceCsv"]

_MASK = "global_mask"
_MASKS = ("outlier_mask", _MASK, "local_mask", "global_mask_cluster", "local_mask_cluster")
_TIMES = ("date", "time", "timestamp", "")


@dataclass(frozen=True, slots=True)
class InferenceCsv:
    """``STEM.csv`` with ``global_mask``; ``STEM_segments.json`` and ``STEM_metrics.json``."""

    name = "inference_csv"
    title = "inference table with masks"
    holds = Holds(none=True, join=Join.TOUCHING, bases=Bases.MODEL)

    def recognises(self, source: Source) -> bool:
        """A CSV file with the column ``global_mask``."""
        return _MASK in source.header

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record: runs of ones, in rows of the series."""
        try:
            record = _record(source)
        except AnnotationError as error:
            return Reading(self.name, failures=(Failure(source.label, error.message),))
        if record is None:
            why = "a mask of zeros: nothing found, or the method had failed"
            return Reading(self.name, skipped=(Skipped(source.label, why),))
        return Reading(self.name, (record,), repairs=source.repairs)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """Table, segments and metrics for each record; all rows of the series, no thinning.

        The names are ``METHOD_SAMPLER_SERIES_DAY``, as the tools that read them expect. Times, and
        so the day, are those of clocks in the zone of the series.
        """
        names = FileNames()
        for record in records:
            series = context.store[record.series_id]
            first = local_ns(series.timestamps[:1], series.zone)
            day = texts_from_ns(first)[0][:10].replace("-", "")
            stem = f"tsloop_none_{names(record.series_id, '')}_{day}"
            yield f"{stem}.csv", _table(record, context)
            segments, content = segments_file(stem, record)
            yield segments, content
            files = {
                "result_csv": f"{stem}.csv",
                "result_path": f"{stem}.csv",
                "segments_path": segments,
            }
            yield metrics_file(stem, record, files)


FORMAT = InferenceCsv()


def _record(source: Source) -> ForeignRecord | None:
    repairs: set[str] = set()
    table = csv.DictReader(io.StringIO(source.text, newline=""))
    flags: list[bool] = []
    positions: list[int] = []
    for number, row in enumerate(table):
        cell = (row.get(_MASK) or "").strip()
        if cell not in ("0", "1", "0.0", "1.0", "False", "True"):
            raise AnnotationError(f"Line {table.line_num} has the mask {cell!r}; 0 or 1 is due.")
        flags.append(cell in ("1", "1.0", "True"))
        where = row.get("orig_pos")
        positions.append(number if where is None else as_row(where, set()))
    mapped = positions != list(range(len(positions)))
    if any(b <= a for a, b in pairwise(positions)):
        repairs.add("rows that come twice or out of order")
    metrics = metrics_beside(source, ".csv")
    spans = tuple(
        Span(ForeignLabel(), positions[run.start], positions[run.end], model=True)
        for run in from_mask(np.array(flags, dtype=bool))
    )
    if not spans and metrics.get("status") != "none":
        return None
    repairs |= {"rows of a thinned copy, led back by orig_pos"} if mapped else set()
    return ForeignRecord(
        source.label,
        as_text(metrics.get("series_id")) or _series_name(source),
        Status.OK if spans else Status.NONE,
        spans,
        draft=True,
        n_rows=None if "orig_pos" in source.header else len(flags),
        repairs=tuple(sorted(repairs)),
    )


def _series_name(source: Source) -> str:
    """The point is the name of the value column, unless that is called ``value``."""
    known = {*_MASKS, *_TIMES, "orig_pos", "value"}
    named = [cell for cell in source.header if cell not in known]
    return named[0] if len(named) == 1 else source.path.name


def _table(record: AnnotationRecord, context: WriteContext) -> bytes:
    series = context.store[record.series_id]
    mask = to_mask(record.intervals, len(series)).astype(int).tolist()
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["date", record.series_id, *_MASKS, "orig_pos"])
    local = local_ns(series.timestamps, series.zone)
    stamps = texts_from_ns(local, digits_needed(local), " ", "")
    for row, (stamp, value, flag) in enumerate(zip(stamps, series.values, mask, strict=True)):
        shown = "" if np.isnan(value) else repr(float(value))
        flags = [flag if name == _MASK else 0 for name in _MASKS]
        table.writerow([stamp, shown, *flags, row])
    return out.getvalue().encode()
