"""What is written for Label Studio: tasks, and the labelling configuration that fits them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from tsloop.annotations.blind import BLIND, Blindness, blindness
from tsloop.annotations.formats.base import WriteContext
from tsloop.annotations.formats.binding import said_by_file
from tsloop.annotations.formats.stamps import texts_from_ns
from tsloop.annotations.formats.values import text_of
from tsloop.annotations.record import DRAFT, AnnotationRecord
from tsloop.intervals import Basis
from tsloop.labels import Attribute, LabelSet

__all__ = ["label_config", "task_of"]

# Browsers count milliseconds; the front-end reads and writes these stamps in UTC.
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%L"


def label_config(label_set: LabelSet, language: str) -> str:
    """The labelling configuration: one label per kind of anomaly, one choice per attribute."""
    labels = "\n".join(
        f"    <Label value={quoteattr(text_of(label, label_set, language))} "
        f"background={quoteattr(label.color)}/>"
        for label in label_set.labels
    )
    choices = "\n".join(
        f"  <Header value={quoteattr(a.zh if language == 'zh' else a.en)}/>\n"
        f'  <Choices name={quoteattr(a.id)} toName="ts" choice="single" showInline="true">\n'
        + "\n".join(f"    <Choice value={quoteattr(v)}/>" for v in _choice_texts(a, language))
        + "\n  </Choices>"
        for a in label_set.attributes
    )
    return f"""<View>
  <TimeSeriesLabels name="label" toName="ts">
{labels}
  </TimeSeriesLabels>
  <TimeSeries name="ts" valueType="json" value="$ts" timeColumn="time"
              timeFormat="{_TIME_FORMAT}" timeDisplayFormat="%Y-%m-%d %H:%M:%S">
    <Channel column="value" legend="value"/>
  </TimeSeries>
{choices}
</View>
"""


def _choice_texts(attribute: Attribute, language: str) -> list[str]:
    """A text for each value; the id where two values share one."""
    texts = [value.zh if language == "zh" else value.en for value in attribute.values]
    return [
        text if texts.count(text) == 1 else value.id
        for text, value in zip(texts, attribute.values, strict=True)
    ]


def task_of(record: AnnotationRecord, context: WriteContext) -> dict[str, Any]:
    """A task with its series inline and one annotation, or one prediction where it is a model's."""
    series = context.store[record.series_id]
    model = DRAFT in record.extra or _all_proposed(record)
    stamps = texts_from_ns(series.timestamps, 3, " ", "")
    values = [None if np.isnan(value) else float(value) for value in series.values]
    result = [*_regions(record, context, stamps), *_choices(record, context)]
    item: dict[str, Any] = {"model_version": "tsloop", "result": result} if model else {}
    scores = [i.score for i in record.intervals if i.score is not None]
    item |= {"score": max(scores)} if model and scores else {}
    return {
        "data": {
            **said_by_file(record, "label_studio"),
            "ts": {"time": stamps, "value": values},
            "series_id": record.series_id,
            "series_sha256": record.series_sha256,
            "n_rows": record.n_rows,
            "label_set": record.label_set,
            **_not_blind(record),
        },
        "annotations": [] if model else [{"result": result, "was_cancelled": False}],
        "predictions": [item] if model else [],
    }


def _not_blind(record: AnnotationRecord) -> dict[str, bool]:
    """That a proposal was there. The key is the task's: it cannot vouch for later annotations."""
    return {BLIND: False} if blindness(record) is Blindness.NO else {}


def _all_proposed(record: AnnotationRecord) -> bool:
    return bool(record.intervals) and all(i.basis is Basis.MODEL for i in record.intervals)


def _regions(
    record: AnnotationRecord, context: WriteContext, stamps: list[str]
) -> Iterator[dict[str, Any]]:
    label_set = context.label_set
    for number, interval in enumerate(record.intervals, start=1):
        text = text_of(label_set[interval.label], label_set, context.language)
        region: dict[str, Any] = {
            "id": f"r{number}",
            "from_name": "label",
            "to_name": "ts",
            "type": "timeserieslabels",
            "value": {
                "start": stamps[interval.start],
                "end": stamps[interval.end],
                "instant": len(interval) == 1,
                "timeserieslabels": [text],
            },
        }
        region |= {"score": interval.score} if interval.score is not None else {}
        region |= {"meta": {"text": [interval.reason]}} if interval.reason else {}
        yield region


def _choices(record: AnnotationRecord, context: WriteContext) -> Iterator[dict[str, Any]]:
    for attribute in context.label_set.attributes:
        texts = _choice_texts(attribute, context.language)
        ids = [value.id for value in attribute.values]
        if (chosen := record.overall.get(attribute.id)) in ids:
            yield {
                "id": f"c-{attribute.id}",
                "from_name": attribute.id,
                "to_name": "ts",
                "type": "choices",
                "value": {"choices": [texts[ids.index(chosen)]]},
            }
