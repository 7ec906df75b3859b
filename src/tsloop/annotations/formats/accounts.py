"""One line on any file: which format it is and what is in it, or why it holds no labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tsloop.annotations.formats.base import Reading
from tsloop.annotations.formats.labels_json import is_labels_json, read_labels_json
from tsloop.annotations.formats.nab import ZONE_SCHEMA
from tsloop.annotations.formats.source import Source
from tsloop.annotations.record import SCHEMA
from tsloop.answers import parse_answer
from tsloop.errors import AnnotationError
from tsloop.intervals import Status
from tsloop.names import counted

__all__ = ["describe_other", "describe_reading", "is_damaged"]


def describe_reading(reading: Reading) -> str:
    """``qwen, 100 records: 1845 intervals in 80, 20 without anomaly; 2 unreadable``."""
    records = reading.records
    ok = sum(record.result is Status.OK for record in records)
    none = len(records) - ok
    parts = [f"{counted(reading.n_intervals, 'interval')} in {ok}"] if ok else []
    parts += [f"{none} without anomaly"] if none else []
    said = f": {', '.join(parts)}" if parts else ""
    more = [counted(len(reading.failures), "unreadable record")] if reading.failures else []
    more += [f"{len(reading.skipped)} set aside"] if reading.skipped else []
    proposed = sum(record.proposed for record in records)
    more += [f"{counted(proposed, 'proposal')} of a model"] if proposed else []
    return "; ".join([f"{reading.format}, {counted(len(records), 'record')}{said}", *more])


def describe_other(source: Source) -> str:
    """What a file without labels is, as far as that can be told."""
    try:
        data = source.json
        if data is None:
            return _describe_text(source)
        return _describe_json(source, data)
    except AnnotationError as error:
        return error.message


def is_damaged(source: Source) -> bool:
    """Whether a file that nobody recognises cannot even be read as what its name says.

    An empty ``.json`` is what an aborted download leaves; an empty ``.jsonl`` holds no record.
    """
    suffix = source.path.suffix.lower()
    if suffix not in (".json", ".jsonl"):
        return False
    try:
        rows = source.rows
        if suffix == ".json":
            return source.json is None and source.text.strip() != "null"
        return bool(rows) and not _is_json(rows[0][1]) and not _is_json(source.text)
    except AnnotationError:
        return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _describe_text(source: Source) -> str:
    lines = len(source.rows)
    columns = {cell.lower() for cell in source.header}
    if columns & {"date", "time", "timestamp"}:
        return (
            f"a series of {counted(lines - 1, 'row')} without labels; bring it in with: tsloop "
            "configure source=folder"
        )
    if source.path.suffix.lower() == ".json":
        return "no valid JSON"
    if source.path.suffix.lower() == ".jsonl":
        if source.rows and f'"{SCHEMA}"' in source.rows[0][1]:
            return (
                f"a journal of tsloop with {counted(lines, 'record')}: it is read where it lies "
                "(data/labels), or with: tsloop labels gold add FILE"
            )
        return f"{counted(lines, 'line')} of JSON that hold no labels of a known format"
    single = all(len(line.split()) == 1 for _, line in source.rows)
    return f"a list of {counted(lines, 'name')}" if single else f"text of {counted(lines, 'line')}"


def _describe_json(source: Source, data: Any) -> str:
    if is_labels_json(data):
        label_set, models = read_labels_json(source, "theirs", 1)
        names = f"; names of models left out: {', '.join(models)}" if models else ""
        return (
            f"a label set of {counted(len(label_set.labels), 'label')} and "
            f"{counted(len(label_set.attributes), 'attribute')}{names}; compare it with: tsloop "
            "labels set FILE"
        )
    if isinstance(data, dict) and data.get("schema") == ZONE_SCHEMA:
        return f"the zone of the NAB windows beside it: {data.get('zone')}"
    if _all_have(data, {"file_name", "columns"}):
        return f"a registry of {counted(len(data), 'data set')}, no labels itself"
    if _all_have(data, {"columns"}):
        points = sum(len(device["columns"]) for device in data.values())
        return f"a point list: {counted(points, 'point')} of {counted(len(data), 'device')}"
    if _all_have(data, {"raw", "n"}):
        found = Counter(str(parse_answer(row["raw"], row["n"], None).status) for row in data)
        said = ", ".join(f"{found[status]} {status}" for status in ("ok", "none", "failed"))
        return f"{counted(len(data), 'answer')} of models: {said}"
    if _all_have(data, {"strategy", "status"}):
        found = Counter(str(row["status"]) for row in data)
        said = ", ".join(f"{count} {status}" for status, count in sorted(found.items()))
        return f"a review queue without labels: {said}"
    if isinstance(data, dict) and isinstance(data.get("intervals"), list) and "n_rows" in data:
        return f"{counted(len(data['intervals']), 'interval')} in no tool's format"
    if _all_have(data, {"template"}):
        return f"{counted(len(data), 'prompt template')}"
    if isinstance(data, dict):
        shown = ", ".join(list(map(str, data))[:4])
        return f"an object of {counted(len(data), 'key')} without labels: {shown}"
    n = len(data) if isinstance(data, list) else 0
    return f"a list of {counted(n, 'item')} without labels"


def _all_have(data: Any, keys: set[str]) -> bool:
    items = list(data.values()) if isinstance(data, Mapping) else data
    if not isinstance(items, list) or not items:
        return False
    return all(isinstance(item, Mapping) and keys <= set(item) for item in items)
