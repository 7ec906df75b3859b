"""The annotator's first version: rows of its API, and the tree that its download gave.

A row is one interval with any number of labels; in the tree the interval sits on the label, below
its category.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.annotations.formats._annotator import Content, first_annotation, head, read_all
from tsloop.annotations.formats.annotator_v2 import label_object
from tsloop.annotations.formats.attributes import attribute_id, read_overall, write_overall
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
from tsloop.intervals import Basis

__all__ = ["ROWS", "TREE", "AnnotatorV1Rows", "AnnotatorV1Tree"]


@dataclass(frozen=True, slots=True)
class AnnotatorV1Rows:
    """What the API answers: ``start_index``, ``end_index``, ``local_changes``."""

    name = "annotator_v1"
    title = "annotator v1, rows of its API"
    holds = Holds(
        none=True,
        labels=True,
        reasons=True,
        bases=Bases.BY_INTERVAL,
        origins=True,
        overall=True,
        time=True,
    )

    def recognises(self, source: Source) -> bool:
        """Annotations with ``start_index``; or none, which all formats of the tool write alike."""
        first = first_annotation(source)
        return first is not None and (not first or "start_index" in first)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record per document."""
        return read_all(self.name, source, options, _take_row)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """``<series>.csv.json`` for each record."""
        names = FileNames()
        for record in records:
            overall = write_overall(record.overall, context.label_set)
            said = {key: value for key, value in overall.items() if value}
            rows = [
                {
                    "id": f"{'infer' if i.basis is Basis.MODEL else 'ann'}_{number}",
                    "start_index": i.start,
                    "end_index": i.end,
                    "overall_attributes": said,
                    "local_changes": [_change(i.label, context)],
                    "input": "",
                    "output": i.reason,
                    **origin_of(i),
                }
                for number, i in enumerate(record.intervals, start=1)
            ]
            document = {
                **head(record, self.name),
                "annotations": rows,
                "overall_attributes": said,
                "export_time": record.time or None,
            }
            yield names(record.series_id, ".csv.json"), _dump(document)


@dataclass(frozen=True, slots=True)
class AnnotatorV1Tree:
    """What the download gave: categories, their labels, and the interval as ``index``."""

    name = "annotator_v1_tree"
    title = "annotator v1, download tree"
    holds = Holds(none=True, labels=True, reasons=True, origins=True, overall=True, time=True)

    def recognises(self, source: Source) -> bool:
        """Annotations with a tree of categories; or none."""
        first = first_annotation(source)
        if not first:
            return first is not None
        return isinstance(first.get("local_change"), dict) and "categories" in first["local_change"]

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record per document."""
        return read_all(self.name, source, options, _take_tree)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """``<series>.csv.json`` for each record."""
        names = FileNames()
        for record in records:
            annotations = [_tree(record, context)] if record.intervals or record.overall else []
            document = {
                **head(record, self.name),
                "annotations": annotations,
                "export_time": record.time or None,
            }
            yield names(record.series_id, ".csv.json"), _dump(document)


ROWS = AnnotatorV1Rows()
TREE = AnnotatorV1Tree()


def _take_row(annotation: dict[str, Any], document: dict[str, Any], content: Content) -> None:
    content.overall.update(read_overall(annotation.get("overall_attributes")))
    rows = (
        as_row(annotation.get("start_index"), content.repairs),
        as_row(annotation.get("end_index"), content.repairs),
    )
    changes = annotation.get("local_changes") or []
    if not isinstance(changes, list):
        raise AnnotationError(f"local_changes is {changes!r:.60}, not a list.")
    if prompt := as_text(annotation.get("input")):
        content.fields.setdefault("prompts", []).append(prompt)
    model = str(annotation.get("id", "")).startswith(("auto_", "infer_"))
    # An interval that nobody gave a kind is an anomaly all the same.
    for label in [as_label(change) for change in changes] or [ForeignLabel()]:
        content.add(
            label,
            rows,
            reason=as_text(annotation.get("output")),
            model=model or names_model(label),
            basis=as_basis(annotation.get("basis")),
        )


def _take_tree(annotation: dict[str, Any], document: dict[str, Any], content: Content) -> None:
    for name, category in _categories(annotation.get("categories")):
        for label in category:
            content.overall[attribute_id(name)] = as_label(label)
    changes = annotation.get("local_change")
    for _, category in _categories(changes.get("categories") if changes else None):
        for label in category:
            _take_leaf(label, content)


def _take_leaf(leaf: dict[str, Any], content: Content) -> None:
    index = leaf.get("index")
    if not isinstance(index, list) or len(index) != 2:
        raise AnnotationError(f"The label {as_label(leaf)} has no pair of rows: {index!r:.60}.")
    if prompt := as_text(leaf.get("input")):
        content.fields.setdefault("prompts", []).append(prompt)
    label = as_label(leaf)
    rows = (as_row(index[0], content.repairs), as_row(index[1], content.repairs))
    content.add(
        label,
        rows,
        reason=as_text(leaf.get("output")),
        model=names_model(label),
        basis=as_basis(leaf.get("basis")),
    )


def _categories(raw: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name, category in (raw if isinstance(raw, dict) else {}).items():
        labels = category.get("labels") if isinstance(category, dict) else None
        if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels):
            raise AnnotationError(f"The category {name!r} has no list of labels.")
        yield str(name), labels


def _tree(record: AnnotationRecord, context: WriteContext) -> dict[str, Any]:
    label_set = context.label_set
    overall: dict[str, Any] = {}
    texts = {(a.id, value.id): (a, value) for a in label_set.attributes for value in a.values}
    for key, value_id in write_overall(record.overall, label_set).items():
        if value_id:
            attribute, value = texts[attribute_id(key), record.overall[attribute_id(key)]]
            overall[key] = {
                "name": attribute.zh if context.language == "zh" else attribute.en,
                "labels": [
                    {"id": value_id, "text": value.zh if context.language == "zh" else value.en}
                ],
            }
    groups: dict[str, Any] = {}
    for interval in record.intervals:
        group = context.label_set[interval.label].group
        leaf = {
            **_change(interval.label, context),
            "index": [interval.start, interval.end],
            "input": "",
            "output": interval.reason,
            **origin_of(interval),
        }
        groups.setdefault(group, {"name": group, "labels": []})["labels"].append(leaf)
    name = "局部变化" if context.language == "zh" else "local change"
    return {"categories": overall, "local_change": {"name": name, "categories": groups}}


def _change(label_id: str, context: WriteContext) -> dict[str, str]:
    label = label_object(context.label_set[label_id], context.language)
    return {key: label[key] for key in ("id", "text", "color")}


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"
