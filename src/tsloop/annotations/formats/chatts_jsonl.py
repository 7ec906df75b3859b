"""Fine-tuning rows for ChatTS: prompt, answer and the values of one window a line.

Rows of other tools have no name of their series; it is found by the values. Ours carry
``series_id`` and ``rows`` (inclusive) beside the three columns that a trainer reads, and ``spans``:
the whole interval behind each item of the answer, so that one cut by a window comes back whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.annotations.finetune import MIN_WINDOW
from tsloop.annotations.formats.attributes import read_overall
from tsloop.annotations.formats.base import (
    Failure,
    ForeignLabel,
    ForeignRecord,
    Holds,
    Join,
    OutFile,
    Reading,
    ReadOptions,
    Span,
    WriteContext,
)
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.targets import Target, read_prompt, read_target
from tsloop.annotations.record import AnnotationRecord
from tsloop.annotations.split import SplitConfig
from tsloop.errors import AnnotationError
from tsloop.files import dump_json
from tsloop.grammar import PLACEHOLDER, render_answer, render_prompt, shown_values
from tsloop.intervals import Interval, Status
from tsloop.series.types import Series

__all__ = ["FORMAT", "ChattsJsonl"]

_COLUMNS = ("input", "output", "timeseries")
_MOST_ITEMS = SplitConfig().max_answer_intervals


@dataclass(slots=True)
class _Windows:
    """The rows of ours that speak of one series."""

    n_rows: int
    label_set: str
    overall: dict[str, ForeignLabel]
    parts: list[tuple[int, int]] = field(default_factory=list)
    spans: dict[tuple[int, int, str], Span] = field(default_factory=dict)
    repairs: set[str] = field(default_factory=set)
    doubts: set[str] = field(default_factory=set)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ChattsJsonl:
    """Variants of other tools in, the one grammar of `tsloop.grammar` out."""

    name = "chatts_jsonl"
    title = "ChatTS fine-tuning rows"
    holds = Holds(none=True, labels=True, join=Join.OVERLAPPING, reasons=True, overall=True)

    def recognises(self, source: Source) -> bool:
        """JSON lines (or a list) whose first row has the three columns."""
        try:
            first = source.text.lstrip()[:1]
            if first == "[" and source.path.suffix == ".jsonl":
                rows = json.loads(source.text)
                return isinstance(rows, list) and bool(rows) and _is_row(rows[0])
            return first == "{" and _is_row(json.loads(source.rows[0][1]))
        except (AnnotationError, ValueError, RecursionError, IndexError):
            return False

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record per row; rows of ours that show one series become one record."""
        records: list[ForeignRecord] = []
        failures: list[Failure] = []
        ours: dict[str, _Windows] = {}
        lines, repairs = _lines(source)
        for number, line in lines:
            place = source.place(number, "line")
            try:
                row = _parse(line)
                if isinstance(row.get("series_id"), str) and "rows" in row:
                    _take_window(row, ours)
                else:
                    records.append(_foreign(row, place))
            except AnnotationError as error:
                failures.append(Failure(place, error.message))
        for name, windows in ours.items():
            place = f"{source.label}, series {name}"
            if windows.fault:
                failures.append(Failure(place, windows.fault))
            else:
                records.append(_assembled(place, name, windows))
        return Reading(
            self.name, tuple(records), tuple(failures), repairs=(*source.repairs, *repairs)
        )

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """``train.jsonl`` with windows side by side, and the registry entry a trainer needs."""
        lines = [dump_json(row) + "\n" for record in records for row in _rows(record, context)]
        yield "train.jsonl", "".join(lines).encode()
        columns = {"prompt": "input", "response": "output", "timeseries": "timeseries"}
        registry = {"tsloop": {"file_name": "train.jsonl", "columns": columns}}
        yield "dataset_info.json", json.dumps(registry, indent=1).encode() + b"\n"


FORMAT = ChattsJsonl()


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and set(_COLUMNS) <= set(row)


def _lines(source: Source) -> tuple[list[tuple[int, Any]], tuple[str, ...]]:
    if not source.text.lstrip().startswith("["):
        return list(source.rows), ()
    rows = json.loads(source.text)
    return list(enumerate(rows, start=1)), ("a JSON list under the name of JSON lines",)


def _parse(line: Any) -> dict[str, Any]:
    if isinstance(line, str):
        try:
            line = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AnnotationError(f"The line is not valid JSON: {error}.") from error
    if not _is_row(line):
        raise AnnotationError(f"The row lacks one of {_COLUMNS}: {line!r:.80}")
    return dict(line)


def _foreign(row: dict[str, Any], place: str) -> ForeignRecord:
    values = _values(row)
    repairs: list[str] = []
    if PLACEHOLDER not in str(row["input"]):
        repairs.append("no placeholder for the series in the prompt")
    target = _target(row, len(values))
    return ForeignRecord(
        place,
        "",
        target.status,
        target.spans,
        overall={**read_prompt(str(row["input"])), **target.overall},
        n_rows=len(values),
        values=values,
        repairs=(*repairs, *target.repairs),
        doubts=target.doubts,
    )


def _values(row: dict[str, Any]) -> npt.NDArray[np.float64]:
    series = row["timeseries"]
    if not isinstance(series, list) or len(series) != 1 or not isinstance(series[0], list):
        n = len(series) if isinstance(series, list) else 0
        raise AnnotationError(f"The row has {n} series; one is needed, as a list of numbers.")
    try:
        return np.array([np.nan if v is None else v for v in series[0]], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"The series is no list of numbers: {error}.") from error


def _target(row: dict[str, Any], n_rows: int) -> Target:
    output = row["output"]
    if isinstance(output, str):
        return read_target(output, n_rows)
    target = read_target(json.dumps(output, ensure_ascii=False), n_rows)
    repairs = (*target.repairs, "an answer that is no text")
    return Target(target.status, target.spans, target.overall, repairs, target.doubts)


def _take_window(row: dict[str, Any], ours: dict[str, _Windows]) -> None:
    """Take one row of ours; what is wrong with it spoils the whole series."""
    n_rows = row.get("n_rows")
    first_seen = _Windows(
        n_rows if isinstance(n_rows, int) else 0,
        str(row.get("label_set", "")),
        read_overall(row.get("overall_attribute")),
    )
    windows = ours.setdefault(row["series_id"], first_seen)
    try:
        first, last = row["rows"]
        target = _target(row, last - first + 1)
        whole = row.get("spans", [])
        if len(whole) != len(target.spans):
            raise AnnotationError(f"{len(target.spans)} items in the answer, {len(whole)} spans.")
        for span, (start, end) in zip(target.spans, whole, strict=True):
            if (max(start, first) - first, min(end, last) - first) != (span.start, span.end):
                raise AnnotationError(f"The span [{start}, {end}] does not fit the answer.")
            key = (start, end, span.label.text)
            label = ForeignLabel(span.label.text)
            windows.spans[key] = Span(label, start, end, reason=span.reason)
    except (AnnotationError, TypeError, ValueError) as error:
        windows.fault = windows.fault or f"rows {row['rows']}: {error}"
        return
    windows.parts.append((first, last))
    windows.repairs.update(target.repairs)
    windows.doubts.update(target.doubts)


def _assembled(place: str, name: str, windows: _Windows) -> ForeignRecord:
    parts = sorted(windows.parts)
    reach = parts[0][0]
    for first, last in parts:
        if first > reach:
            windows.doubts.add(f"no window shows rows {reach} to {first - 1}")
        reach = max(reach, last + 1)
    spans = tuple(windows.spans.values())
    return ForeignRecord(
        place,
        name,
        Status.OK if spans else Status.NONE,
        spans,
        overall=windows.overall,
        label_set=windows.label_set,
        n_rows=windows.n_rows,
        part=(parts[0][0], reach - 1),
        repairs=tuple(sorted(windows.repairs)),
        doubts=tuple(sorted(windows.doubts)),
    )


def _rows(record: AnnotationRecord, context: WriteContext) -> Iterator[dict[str, Any]]:
    series = context.store[record.series_id]
    edges = np.linspace(0, len(series), -(-len(series) // context.window) + 1).astype(int).tolist()
    for first, stop in pairwise(edges):
        for part in _sparse(record, first, stop):
            yield _row(record, series, *part, context)


def _sparse(record: AnnotationRecord, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Rows ``first..stop-1``, halved until no answer is longer than those of training sets."""
    count = sum(i.start < stop and i.end >= first for i in record.intervals)
    if count <= _MOST_ITEMS or stop - first < 2 * MIN_WINDOW:
        yield first, stop
    else:
        middle = (first + stop) // 2
        yield from _sparse(record, first, middle)
        yield from _sparse(record, middle, stop)


def _row(
    record: AnnotationRecord, series: Series, first: int, stop: int, context: WriteContext
) -> dict[str, Any]:
    inside = [i for i in record.intervals if i.start < stop and i.end >= first]
    shown = [
        (i.replace(start=max(i.start, first) - first, end=min(i.end, stop - 1) - first), i)
        for i in inside
    ]
    # The order in which the answer lists them, and in which it is read back.
    shown.sort(key=lambda pair: _order(pair[0]))
    missing = int(np.isnan(series.values[first:stop]).sum())
    return {
        "input": render_prompt(stop - first, context.label_set, context.language, missing),
        "output": render_answer([cut for cut, _ in shown], context.label_set),
        "timeseries": [shown_values(series.filled()[first:stop])],
        "series_id": record.series_id,
        "label_set": record.label_set,
        "n_rows": record.n_rows,
        "rows": [first, stop - 1],
        "overall_attribute": dict(record.overall),
        "spans": [[whole.start, whole.end] for _, whole in shown],
    }


def _order(interval: Interval) -> tuple[int, int, str]:
    return interval.start, interval.end, interval.label
