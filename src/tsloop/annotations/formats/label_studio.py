"""Label Studio, time series: tasks with predictions out, annotations in.

A task carries its series inline, so it opens anywhere; ``label_config.xml`` is the labelling
configuration that fits it. A region names samples by their stamps (both inclusive), a note of a
region is its reason, and choices are statements on the whole series. A submitted annotation with no
region says "no anomaly", a cancelled one says nothing. Proposals of a model go out as predictions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tsloop.annotations.blind import BLIND
from tsloop.annotations.formats._label_studio_tasks import label_config, task_of
from tsloop.annotations.formats.attributes import attribute_id
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
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.stamps import record_time, to_ns
from tsloop.annotations.formats.values import as_row, as_score, as_text, plain
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Status

__all__ = ["FORMAT", "LabelStudio"]

_MS = 10**6


@dataclass(frozen=True, slots=True)
class LabelStudio:
    """``tasks.json`` and ``label_config.xml``."""

    name = "label_studio"
    title = "Label Studio time series tasks"
    holds = Holds(
        none=True,
        labels=True,
        reasons=True,
        scores=True,
        bases=Bases.BY_RECORD,
        overall=True,
        resolution_ns=_MS,
        inline=True,
    )

    def recognises(self, source: Source) -> bool:
        """Tasks: objects with ``data`` and annotations, completions or predictions."""
        tasks = _tasks(source)
        return bool(tasks) and all(
            isinstance(task, dict) and "data" in task and _KEYS & set(task) for task in tasks
        )

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record per submitted annotation, or per prediction where nobody annotated."""
        records: list[ForeignRecord] = []
        failures: list[Failure] = []
        skipped: list[Skipped] = []
        for number, task in enumerate(_tasks(source), start=1):
            place = source.place(number, "task")
            kind, items = _results(task)
            if not items:
                skipped.append(Skipped(place, "nobody annotated it"))
            for index, item in enumerate(items, start=1):
                where = place if len(items) == 1 else f"{place}, {kind} {index}"
                if isinstance(item, dict) and item.get("was_cancelled"):
                    skipped.append(Skipped(where, "a cancelled annotation"))
                    continue
                try:
                    records.append(_record(task, item, kind, where, options))
                except AnnotationError as error:
                    failures.append(Failure(where, str(error)))
        return Reading(self.name, tuple(records), tuple(failures), tuple(skipped), source.repairs)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """All tasks in one file, and the configuration of the project."""
        # One task a line: with an indent, a long series would be a file of as many lines.
        lines = [
            json.dumps(task_of(record, context), ensure_ascii=False, allow_nan=False)
            for record in records
        ]
        yield "tasks.json", ("[" + ",\n".join(lines) + "]\n").encode()
        yield "label_config.xml", label_config(context.label_set, context.language).encode()


FORMAT = LabelStudio()

# Results that speak of no part of the series.
_ASIDE = frozenset({"textarea", "rating", "number", "taxonomy", "datetime", "ranker"})
_KEYS = {"annotations", "completions", "predictions"}


def _tasks(source: Source) -> list[Any]:
    data = source.json
    if isinstance(data, dict):
        return [data] if "data" in data else []
    return data if isinstance(data, list) else []


def _results(task: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Annotations; predictions where there is none. A prediction is never a judgement.

    An export of the server names predictions by their numbers alone: they say nothing here.
    """
    for kind in ("annotations", "completions", "predictions"):
        items = task.get(kind)
        if kind == "predictions" and isinstance(items, list):
            items = [item for item in items if type(item) is not int]
        if items:  # what is no list becomes one unreadable item
            return kind.removesuffix("s"), items if isinstance(items, list) else [items]
    return "", []


def _record(
    task: Mapping[str, Any],
    item: Any,
    kind: str,
    place: str,
    options: ReadOptions,
) -> ForeignRecord:
    data = task["data"] if isinstance(task["data"], dict) else {"csv": task["data"]}
    zone = "UTC" if isinstance(data.get("series_id"), str) else options.zone
    result = item.get("result") if isinstance(item, dict) else None
    if not isinstance(result, list):
        raise AnnotationError("The annotation has no result.")
    spans: list[Span] = []
    overall: dict[str, ForeignLabel] = {}
    repairs: set[str] = set()
    other: set[str] = set()
    for region in result:
        what = region.get("type") if isinstance(region, dict) else None
        if what == "timeserieslabels":
            spans += _spans(region, zone, kind == "prediction", repairs)
        elif what == "choices":
            overall |= _chosen(region)
        elif isinstance(what, str) and what in _ASIDE:
            other.add(str(what))
        else:  # it may be an interval: to leave it out would look like "no anomaly"
            raise AnnotationError(f"A result of the kind {what!r} cannot be read.")
    if other:
        repairs.add(f"results of other kinds left out: {', '.join(sorted(other))}")
    n_rows = data.get("n_rows")
    return ForeignRecord(
        place,
        _series_name(data),
        Status.OK if spans else Status.NONE,
        tuple(spans),
        overall=overall,
        label_set=as_text(data.get("label_set")),
        n_rows=n_rows if isinstance(n_rows, int) else None,
        author=_author(item),
        time=record_time(item.get("created_at"), options.zone),
        draft=kind == "prediction",
        blind=False if data.get(BLIND) is False else None,  # true would be the task's word
        repairs=tuple(sorted(repairs)),
        fields=_own_fields(data),
    )


def _chosen(region: Mapping[str, Any]) -> dict[str, ForeignLabel]:
    """A statement on the whole series; of several choices the last one."""
    value = region.get("value")
    texts = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(texts, list):
        raise AnnotationError(f"The choice {region.get('from_name')!r} has no value.")
    name = attribute_id(str(region.get("from_name")))
    return {name: ForeignLabel("", as_text(texts[-1]))} if texts else {}


def _spans(region: Mapping[str, Any], zone: str, model: bool, repairs: set[str]) -> Iterator[Span]:
    value = region.get("value")
    labels = value.get("timeserieslabels") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(labels, list):
        raise AnnotationError(f"The region {region.get('id')!r} has no value.")
    meta = region.get("meta")
    notes = meta.get("text") if isinstance(meta, dict) else None
    reason = as_text(notes[0] if isinstance(notes, list) and notes else notes)
    score = as_score(region.get("score"))
    place = _place(value.get("start"), value.get("end"), zone, repairs)
    for text in labels or [""]:
        yield replace(
            place, label=ForeignLabel("", as_text(text)), reason=reason, score=score, model=model
        )


def _place(start: Any, end: Any, zone: str, repairs: set[str]) -> Span:
    """Times where the edges are stamps, rows where they are numbers."""
    if isinstance(start, str) and isinstance(end, str) and "-" in start:
        return Span(ForeignLabel(), t_start=to_ns(start, zone), t_end=to_ns(end, zone))
    first, last = as_row(start, repairs), as_row(end, repairs)
    if not 0 <= first <= last:
        raise AnnotationError(f"The region [{first}, {last}] has no rows.")
    return Span(ForeignLabel(), first, last)


def _own_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """What else people put into the data of a task: single values, not the series."""
    known = ("series_id", "series_sha256", "n_rows", "label_set", BLIND)
    single = {k: v for k, v in data.items() if isinstance(v, str | int | float) and k not in known}
    return dict(plain(single))


def _series_name(data: Mapping[str, Any]) -> str:
    for key in ("series_id", "csv", "ts", "timeseries", "file"):
        if text := as_text(data.get(key)):
            return text.partition("?")[0]
    return next((text.partition("?")[0] for text in map(as_text, data.values()) if text), "")


def _author(item: Mapping[str, Any]) -> str:
    who = item.get("completed_by")
    if isinstance(who, dict):
        return as_text(who.get("email")) or str(who.get("id", ""))
    return "" if who is None else str(who)
