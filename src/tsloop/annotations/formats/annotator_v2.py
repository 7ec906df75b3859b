"""The annotator's second version: one annotation is one label with any number of segments.

Two spellings of one document: what a download gives (``export_time``, ``expert_output``), and what
the server stores (``last_updated``, ``expertOutput``). Each reader takes both; segments may be
unsorted, overlap, and lack their own label. Annotations whose id begins with ``auto_`` or
``infer_`` are proposals of a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsloop.annotations.formats._annotator import Content, first_annotation, head, read_all
from tsloop.annotations.formats.attributes import write_overall
from tsloop.annotations.formats.base import (
    Bases,
    ForeignLabel,
    Holds,
    OutFile,
    Reading,
    ReadOptions,
    WriteContext,
)
from tsloop.annotations.formats.mapping import names_model
from tsloop.annotations.formats.naming import FileNames
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.values import as_basis, as_label, as_row, as_text, origin_of
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Basis, Interval
from tsloop.labels import Label
from tsloop.series.types import Series

__all__ = ["EXPORT", "STORED", "AnnotatorV2", "label_object", "take_v2"]

_MODEL_IDS = ("auto_", "infer_")


@dataclass(frozen=True, slots=True)
class AnnotatorV2:
    """Both spellings; ``stored`` chooses the one that is written."""

    stored: bool = False

    @property
    def name(self) -> str:
        """``annotator_v2`` or ``annotator_v2_stored``."""
        return "annotator_v2_stored" if self.stored else "annotator_v2"

    @property
    def title(self) -> str:
        """One line for people."""
        return f"annotator v2, {'as its server stores it' if self.stored else 'download'}"

    @property
    def holds(self) -> Holds:
        """Everything but scores and who said it."""
        return Holds(
            none=True,
            labels=True,
            reasons=True,
            bases=Bases.BY_INTERVAL,
            origins=True,
            overall=True,
            time=True,
        )

    def recognises(self, source: Source) -> bool:
        """A document whose annotations have segments and a label with an id."""
        first = first_annotation(source)
        if first is None:
            return False
        is_stored = "last_updated" in source.text
        return (not first or _is_v2(first)) and is_stored is self.stored

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record per document."""
        return read_all(self.name, source, options, take_v2)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """``<series>.csv.json`` for each record."""
        names = FileNames()
        for record in records:
            document = self._document(record, context)
            text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
            yield names(record.series_id, ".csv.json"), text.encode() + b"\n"

    def _document(self, record: AnnotationRecord, context: WriteContext) -> dict[str, Any]:
        series = context.store[record.series_id]
        groups: dict[tuple[str, str, bool], list[Interval]] = {}
        for interval in record.intervals:
            key = (interval.label, interval.reason, interval.basis is Basis.MODEL)
            groups.setdefault(key, []).append(interval)
        annotations = [
            self._annotation(number, key, intervals, context, series)
            for number, (key, intervals) in enumerate(groups.items(), start=1)
        ]
        stamp = "last_updated" if self.stored else "export_time"
        return {
            **head(record, self.name),
            "overall_attribute": write_overall(record.overall, context.label_set),
            "annotations": annotations,
            stamp: record.time or None,
        }

    def _annotation(
        self,
        number: int,
        key: tuple[str, str, bool],
        intervals: list[Interval],
        context: WriteContext,
        series: Series,
    ) -> dict[str, Any]:
        label_id, reason, model = key
        label = label_object(context.label_set[label_id], context.language)
        segments: list[dict[str, Any]] = []
        for interval in intervals:
            segment: dict[str, Any] = {
                "start": interval.start,
                "end": interval.end,
                "count": len(interval),
                **origin_of(interval),
            }
            extra = {} if self.stored else {**_statistics(series, interval), "label": label}
            segments.append({**segment, **extra})
        # The tool tells proposals from judgements by how their id begins.
        out: dict[str, Any] = {"id": f"infer_{number}"} if model else {}
        if self.stored and not model:
            out = {"id": number}
        text_key = "expertOutput" if self.stored else "expert_output"
        return {**out, "label": label, "segments": segments, "prompt": "", text_key: reason}


EXPORT = AnnotatorV2()
STORED = AnnotatorV2(stored=True)


def label_object(label: Label, language: str) -> dict[str, str]:
    """A label as the annotator writes it."""
    text = label.zh if language == "zh" else label.en
    return {"id": label.id, "text": text, "categoryId": label.group, "color": label.color}


def _is_v2(annotation: dict[str, Any]) -> bool:
    return isinstance(annotation.get("segments"), list) and isinstance(
        annotation.get("label"), dict
    )


def take_v2(annotation: dict[str, Any], document: dict[str, Any], content: Content) -> None:
    label = as_label(annotation.get("label"))
    segments = annotation.get("segments")
    if not isinstance(segments, list):
        raise AnnotationError(f"The annotation of {label} has no list of segments.")
    if not segments:
        content.repairs.add(f"the label {label} without a segment")
    keys = ("expert_output", "expertOutput", "analysis")
    reason = next((text for key in keys if (text := as_text(annotation.get(key)))), "")
    prompt = as_text(annotation.get("prompt")) or as_text(annotation.get("question"))
    if prompt:
        content.fields.setdefault("prompts", []).append(prompt)
    by_id = str(annotation.get("id", "")).startswith(_MODEL_IDS)
    model = by_id or document.get("source") == "inference"
    for segment in segments:
        _take_segment(segment, label, reason, model, content)


def _take_segment(
    segment: Any, label: ForeignLabel, reason: str, model: bool, content: Content
) -> None:
    if not isinstance(segment, dict):
        raise AnnotationError(f"{segment!r:.60} is no segment.")
    if isinstance(segment.get("label"), dict | str) and segment["label"]:
        own = as_label(segment["label"])
        if own != label:
            content.repairs.add(f"a segment of {label} is labelled {own}")
            label = own
    start, end = (as_row(segment.get(key), content.repairs) for key in ("start", "end"))
    if isinstance(count := segment.get("count"), int) and count != abs(end - start) + 1:
        content.repairs.add("counts that do not fit their rows")
    content.add(
        label,
        (start, end),
        reason=reason,
        model=model or names_model(label),
        basis=as_basis(segment.get("basis")),
    )


def _statistics(series: Series, interval: Interval) -> dict[str, float | None]:
    values = series.values[interval.start : interval.end + 1]
    values = values[np.isfinite(values)]
    if not len(values):
        return {"minVal": None, "maxVal": None, "mean": None}
    mean = float(values.mean())
    return {
        "minVal": float(values.min()),
        "maxVal": float(values.max()),
        "mean": mean if np.isfinite(mean) else None,
    }
