"""Conversations with a picture for a vision-language model, and the pictures.

In: a list (or one object) of ``image`` and ``conversations``, whose answer is in any of the
spellings of `tsloop.annotations.formats.targets`. Out: one valid JSON answer per series, a picture
of each series, and a registry entry that names the column of the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsloop.annotations.formats.attributes import read_overall
from tsloop.annotations.formats.base import (
    Failure,
    ForeignRecord,
    Holds,
    Join,
    OutFile,
    Reading,
    ReadOptions,
    WriteContext,
)
from tsloop.annotations.formats.naming import FileNames
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.targets import read_prompt, read_target
from tsloop.annotations.formats.values import as_text, text_of
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.series.thumbnails import draw_thumbnail

__all__ = ["FORMAT", "RENDERER", "QwenConversations"]

RENDERER = "tsloop.line/1"
"""How the pictures are drawn; it stands in every row, for a model must be asked with the same."""

_PICTURES = (".jpg", ".jpeg", ".png")
_PROMPTS = {
    "zh": "<image>\n图中是一条长度为{rows}的时间序列，横轴为行号（0 至 {last}）。"
    "请找出所有异常区间。异常类型：{labels}。只输出一行 JSON：{example}；若无异常：{empty}。"
    "interval 为起止行号，两端都包含在内。",
    "en": "<image>\nThe picture shows a time series of {rows} rows; its horizontal axis counts "
    "them (0 to {last}). Find all anomalous intervals. Types: {labels}. Answer with one line of "
    "JSON: {example}; if there are none: {empty}. An interval holds its first and its last row.",
}
_ITEM = '{"interval":[start,end],"type":"…","reason":"…"}'
_EXAMPLE = f'{{"status":"success","detected_anomalies":[{_ITEM}]}}'
_EMPTY = '{"status":"success","detected_anomalies":[]}'


@dataclass(frozen=True, slots=True)
class QwenConversations:
    """``conversations.json`` and ``images/``."""

    name = "qwen"
    title = "Qwen-VL conversations and pictures"
    holds = Holds(none=True, labels=True, join=Join.OVERLAPPING, reasons=True, overall=True)

    def recognises(self, source: Source) -> bool:
        """Objects with a list of ``conversations``."""
        try:
            rows = _documents(source)
        except AnnotationError:
            return False
        return bool(rows) and isinstance(rows[0], dict) and "conversations" in rows[0]

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record per conversation; what stands between them in almost-JSON is a failure."""
        records: list[ForeignRecord] = []
        failures: list[Failure] = []
        for number, row in enumerate(_documents(source), start=1):
            place = source.place(number)
            try:
                records.append(_record(row, place))
            except AnnotationError as error:
                failures.append(Failure(place, error.message))
        repairs = list(source.repairs)
        if isinstance(source.json, dict):
            repairs.append("one object where a list is due")
        return Reading(self.name, tuple(records), tuple(failures), repairs=tuple(repairs))

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """The pictures first, so that no conversation names one that is missing."""
        names = FileNames()
        rows: list[dict[str, Any]] = []
        for record in records:
            values = context.store[record.series_id].values
            if not np.isfinite(values).any():
                raise AnnotationError(
                    f"Series {record.series_id!r} has no value, so there is no picture of it."
                )
            image = f"images/{names(record.series_id, '.png')}"
            yield image, draw_thumbnail(values, *context.picture, opaque=True)
            rows.append(_row(record, image, context))
        yield "conversations.json", _dump(rows)
        yield "dataset_info.json", _dump(_REGISTRY)


FORMAT = QwenConversations()

_REGISTRY = {
    "tsloop_vision": {
        "file_name": "conversations.json",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "images": "images"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "user",
            "assistant_tag": "assistant",
        },
    }
}


def _documents(source: Source) -> list[Any]:
    """The conversations of a list, of JSON lines, or the one that a file is."""
    if source.path.suffix.lower() == ".jsonl":
        return [_line(line) for _, line in source.rows]
    data = source.json
    if isinstance(data, dict):
        return [data]
    return data if isinstance(data, list) else []


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line  # no conversation: a failure with its number


def _record(row: Any, place: str) -> ForeignRecord:
    if not isinstance(row, dict) or not isinstance(row.get("conversations"), list):
        raise AnnotationError(f"{row!r:.60} is no conversation.")
    asked = "".join(_said(row, ("user", "human")))
    answers = _said(row, ("assistant", "gpt"))
    if len(answers) != 1:
        raise AnnotationError(f"The conversation has {len(answers)} answers; one is needed.")
    if "bbox_2d" in answers[0]:
        raise AnnotationError(
            "The answer gives boxes in picture coordinates; which rows the picture shows is not "
            "said, so they cannot become intervals."
        )
    n_rows = row.get("n_rows") if isinstance(row.get("n_rows"), int) else None
    target = read_target(answers[0], n_rows)
    image = as_text(row.get("image")) or next(iter(row.get("images") or []), "")
    odd = bool(image) and not image.lower().endswith(_PICTURES)
    return ForeignRecord(
        place,
        as_text(row.get("series_id")) or image,
        target.status,
        target.spans,
        overall={
            **read_prompt(asked),
            **target.overall,
            **read_overall(row.get("overall_attribute")),
        },
        label_set=as_text(row.get("label_set")),
        n_rows=n_rows,
        repairs=(*target.repairs, *(["a picture that is none"] if odd else [])),
        doubts=target.doubts,
    )


def _said(row: dict[str, Any], roles: tuple[str, ...]) -> list[str]:
    turns = [turn for turn in row["conversations"] if isinstance(turn, dict)]
    return [as_text(turn.get("value")) for turn in turns if turn.get("from") in roles]


def _row(record: AnnotationRecord, image: str, context: WriteContext) -> dict[str, Any]:
    label_set = context.label_set
    labels = [text_of(label, label_set, context.language) for label in label_set.labels]
    prompt = _PROMPTS[context.language].format(
        rows=record.n_rows,
        last=record.n_rows - 1,
        labels=("、" if context.language == "zh" else ", ").join(labels),
        example=_EXAMPLE,
        empty=_EMPTY,
    )
    items: list[dict[str, Any]] = []
    for interval in record.intervals:
        text = text_of(label_set[interval.label], label_set, context.language)
        item = {"interval": [interval.start, interval.end], "type": text}
        items.append({**item, "reason": interval.reason} if interval.reason else item)
    answer = json.dumps({"status": "success", "detected_anomalies": items}, ensure_ascii=False)
    return {
        "image": image,
        "images": [image],
        "conversations": [
            {"from": "user", "value": prompt},
            {"from": "assistant", "value": answer},
        ],
        "series_id": record.series_id,
        "label_set": record.label_set,
        "n_rows": record.n_rows,
        "overall_attribute": dict(record.overall),
        "renderer": "{} {}x{}".format(RENDERER, *context.picture),
    }


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"
