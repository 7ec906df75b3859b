"""What the annotator's formats share: how a document is found in a file, read, and begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tsloop.annotations.blind import BLIND, Blindness, blindness, without_statement
from tsloop.annotations.formats.attributes import read_overall
from tsloop.annotations.formats.base import (
    Failure,
    ForeignLabel,
    ForeignRecord,
    Reading,
    ReadOptions,
    Skipped,
    Span,
)
from tsloop.annotations.formats.binding import said_by_file
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.stamps import record_time
from tsloop.annotations.formats.values import as_text, plain
from tsloop.annotations.record import DRAFT, AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Status

__all__ = [
    "Content",
    "documents",
    "first_annotation",
    "head",
    "overall_of",
    "read_all",
    "read_blind",
    "said_blind",
]

_HEAD = (
    *("filename", "series_id", "label_set", "result", "n_rows", "annotations", DRAFT, BLIND),
    *(
        "export_time",
        "last_updated",
        "overall_attribute",
        "overall_attributes",
        "success",
        "source",
    ),
)


class Content:
    """Collects what the annotations of one document say."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.overall: dict[str, ForeignLabel] = {}
        self.repairs: set[str] = set()
        self.doubts: set[str] = set()
        self.fields: dict[str, Any] = {}

    def add(self, label: ForeignLabel, rows: tuple[int, int], **more: Any) -> None:
        """Take one interval; one that ends before it starts is turned round, and doubtful."""
        start, end = rows
        if start > end:
            self.doubts.add("end before start")
        if min(rows) < 0:
            raise AnnotationError(f"Interval [{start}, {end}] has a negative row.")
        self.spans.append(Span(label, min(rows), max(rows), **more))


def documents(data: Any) -> Iterator[dict[str, Any]]:
    """The documents of a file: one, a list of them, or either in one of the known wrappers."""
    if isinstance(data, list):
        for item in data:
            yield from documents(item)
    elif isinstance(data, dict):
        if isinstance(data.get("annotations"), list):
            yield data
        elif isinstance(inner := data.get("results", data.get("result")), list | dict):
            name = {"filename": data["file"]} if isinstance(data.get("file"), str) else {}
            for item in documents(inner):
                yield {**name, **item}


def first_annotation(source: Source) -> dict[str, Any] | None:
    """The first annotation of a file, by which its format is known; ``{}`` where all are empty."""
    found = list(documents(source.json))
    for document in found:
        for annotation in document["annotations"]:
            return annotation if isinstance(annotation, dict) else None
    return {} if found and "filename" in found[0] else None


def read_all(
    name: str,
    source: Source,
    options: ReadOptions,
    take: Callable[[dict[str, Any], dict[str, Any], Content], None],
) -> Reading:
    """Read every document; ``take(annotation, document, content)`` reads one annotation."""
    records: list[ForeignRecord] = []
    failures: list[Failure] = []
    skipped: list[Skipped] = []
    found = list(documents(source.json))
    for number, document in enumerate(found, start=1):
        place = source.label if len(found) == 1 else source.place(number)
        content = Content()
        try:
            content.overall.update(overall_of(document))
            for annotation in document["annotations"]:
                if not isinstance(annotation, dict):
                    raise AnnotationError(f"{annotation!r:.60} is no annotation.")
                take(annotation, document, content)
        except AnnotationError as error:
            failures.append(Failure(place, error.message))
            continue
        status = _status(document, content, options)
        if status is None:
            skipped.append(Skipped(place, "no interval: it may be normal, or not looked at"))
        else:
            records.append(_record(place, document, content, status, options))
    return Reading(name, tuple(records), tuple(failures), tuple(skipped), source.repairs)


def overall_of(document: Mapping[str, Any]) -> dict[str, ForeignLabel]:
    """Statements on the whole series, in either spelling of their key."""
    key = "overall_attribute" if "overall_attribute" in document else "overall_attributes"
    return read_overall(document.get(key))


def head(record: AnnotationRecord, format_name: str) -> dict[str, Any]:
    """How every document of ours begins: the file name the tool shows, and what it cannot say.

    The additional keys (id, label set, ``result``) are for our own reader; tools ignore them.
    """
    kept = {k: v for k, v in said_by_file(record, format_name).items() if k not in _HEAD}
    return {
        "filename": f"{record.series_id}.csv",
        **kept,
        "series_id": record.series_id,
        "label_set": record.label_set,
        "n_rows": record.n_rows,
        "result": str(record.result),
        **({DRAFT: True} if DRAFT in record.extra else {}),
        **said_blind(record),
    }


def said_blind(record: AnnotationRecord) -> dict[str, bool]:
    """The key by which a file says whether a record was labelled blind; none where nobody knows.

    A statement about an earlier import is not passed on: it does not speak of this file.
    """
    found = blindness(without_statement(record))
    return {} if found is Blindness.UNKNOWN else {BLIND: found is Blindness.YES}


def read_blind(document: Mapping[str, Any]) -> bool | None:
    """What `said_blind` wrote."""
    said = document.get(BLIND)
    return said if isinstance(said, bool) else None


def _status(document: Mapping[str, Any], content: Content, options: ReadOptions) -> Status | None:
    if content.spans:
        return Status.OK
    said = document.get("result") == "none" or (options.empty_is_none and not content.spans)
    return Status.NONE if said else None


def _record(
    place: str, document: Mapping[str, Any], content: Content, status: Status, options: ReadOptions
) -> ForeignRecord:
    stamp = document.get("export_time") or document.get("last_updated")
    time = record_time(stamp, options.zone)
    n_rows = document.get("n_rows")
    rest = {key: value for key, value in document.items() if key not in _HEAD}
    fields = plain(rest | content.fields)
    if stamp and not time:
        fields["export_time" if "export_time" in document else "last_updated"] = stamp
    return ForeignRecord(
        place,
        as_text(document.get("series_id")) or as_text(document.get("filename")),
        status,
        tuple(content.spans),
        overall=content.overall,
        label_set=as_text(document.get("label_set")),
        n_rows=n_rows if isinstance(n_rows, int) else None,
        time=time,
        draft=bool(document.get(DRAFT)) or document.get("source") == "inference",
        blind=read_blind(document),
        repairs=tuple(sorted(content.repairs)),
        doubts=tuple(sorted(content.doubts)),
        fields=fields,
    )
