"""``STEM_segments.json``: scored segments, whose rows mean something only with their metrics file.

The file itself is a bare list. ``index_space`` in ``STEM_metrics.json`` says whether it counts rows
of the series or of a thinned copy; the latter cannot be led back and are refused. An empty list is
no "no anomaly" unless the metrics file says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.annotations.formats._metrics import (
    metrics_beside,
    metrics_file,
    read_metrics,
    segments_file,
)
from tsloop.annotations.formats.base import (
    Bases,
    Failure,
    ForeignLabel,
    ForeignRecord,
    Holds,
    OutFile,
    Reading,
    ReadOptions,
    Skipped,
    Span,
    WriteContext,
)
from tsloop.annotations.formats.naming import FileNames
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.values import as_row, as_score, as_text, plain
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Status

__all__ = ["FORMAT", "METRICS", "MetricsFile", "Segments"]

_SUFFIX = "_segments.json"
_OURS = ("raw", "raw_mapped")
_HOLDS = Holds(none=True, scores=True, bases=Bases.MODEL)


@dataclass(frozen=True, slots=True)
class Segments:
    """``STEM_segments.json`` with ``STEM_metrics.json``."""

    name = "segments"
    title = "scored segments (segments.json)"
    holds = _HOLDS

    def recognises(self, source: Source) -> bool:
        """A list of objects with start, end and ``raw_p``; or an empty one of that name."""
        data = source.json
        if not isinstance(data, list):
            return False
        if not data:
            return source.path.name.endswith(_SUFFIX)
        first = data[0]
        return isinstance(first, dict) and {"start", "end", "raw_p"} <= set(first)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record."""
        metrics = metrics_beside(source, _SUFFIX)
        space = str(metrics.get("index_space") or options.index_space or "unknown")
        name = as_text(metrics.get("series_id")) or as_text(metrics.get("point_name"))
        name = name or source.path.name.removesuffix(_SUFFIX)
        try:
            record = _record(source, space, name, metrics)
        except AnnotationError as error:
            return Reading(self.name, failures=(Failure(source.label, str(error)),))
        if record is None:
            why = "an empty list: nothing found, or the method had failed"
            return Reading(self.name, skipped=(Skipped(source.label, why),))
        return Reading(self.name, (record,), repairs=source.repairs)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """Segments and metrics for each record."""
        names = FileNames()
        for record in records:
            name = names(record.series_id, _SUFFIX)
            stem = name.removesuffix(_SUFFIX)
            yield segments_file(stem, record)
            yield metrics_file(stem, record, {"segments_path": name})


@dataclass(frozen=True, slots=True)
class MetricsFile:
    """``STEM_metrics.json``: read as the segments beside it, for it holds none itself."""

    name = "metrics"
    title = "metrics.json, with the segments beside it"
    holds = _HOLDS

    def recognises(self, source: Source) -> bool:
        """An object with a summary that names its index space."""
        return bool(read_metrics(source.json).get("index_space"))

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """The record of the segments file beside it; without one nothing but a count is known."""
        stem = source.path.name.removesuffix("_metrics.json")
        if (beside := source.neighbour(stem + _SUFFIX)) is None:
            count = read_metrics(source.json).get("n_segments")
            why = f"it counts {count} segments; {stem}{_SUFFIX}, which would hold them, is missing"
            return Reading(self.name, skipped=(Skipped(source.label, why),))
        return FORMAT.read(beside, options)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """The same two files."""
        return FORMAT.write(records, context)


FORMAT = Segments()
METRICS = MetricsFile()


def _record(source: Source, space: str, name: str, metrics: dict[str, Any]) -> ForeignRecord | None:
    if source.json and space not in _OURS:
        raise AnnotationError(
            f"Rows are counted in the index space {space!r}, and nothing leads them back to rows "
            "of the series.",
            hint="If they are rows of the series, state it: --index-space raw",
        )
    repairs: set[str] = set()
    spans = tuple(_span(item, metrics, repairs) for item in source.json)
    if metrics and metrics.get("n_segments") not in (None, len(spans)):
        raise AnnotationError(
            f"The metrics file counts {metrics['n_segments']} segments, but there are {len(spans)}."
        )
    if not spans and metrics.get("status") != "none":
        return None
    n_rows = metrics.get("n_rows")
    scores = [item.get("score") for item in source.json]
    legacy = metrics.get("score_kind") != "confidence" and any(s is not None for s in scores)
    return ForeignRecord(
        source.label,
        name,
        Status.OK if spans else Status.NONE,
        spans,
        n_rows=n_rows if isinstance(n_rows, int) else None,
        draft=True,
        repairs=tuple(sorted(repairs)),
        # The older score measures contrast and is no confidence: kept, but not as one.
        fields={"contrast": plain(scores)} if legacy else {},
    )


def _span(item: Any, metrics: dict[str, Any], repairs: set[str]) -> Span:
    if not isinstance(item, dict):
        raise AnnotationError(f"{item!r:.60} is no segment.")
    start, end = (as_row(item.get(key), repairs) for key in ("start", "end"))
    if not 0 <= start <= end:
        raise AnnotationError(f"The segment [{start}, {end}] has no rows.")
    confident = metrics.get("score_kind") == "confidence"
    score = as_score(item.get("score")) if confident else None
    return Span(ForeignLabel(), start, end, score=score, model=True)
