"""Which mistakes a report shows: the worst missed events and the worst false alarms.

A miss is worse the lower the model's highest score inside the event, then the longer the event; a
false alarm the higher its score. At most two of one series come before all others have had their
turn, so that one bad series does not hide the rest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import EvaluationError
from tsloop.evaluation.matching import match_events
from tsloop.intervals import Detection, Interval
from tsloop.report.data import CaseData
from tsloop.report.windows import cut_window
from tsloop.series.store import SeriesStore

__all__ = ["select_cases"]

Scores = npt.NDArray[np.floating[Any]]

PER_SERIES = 2
CONTEXT = 60
"""Rows shown on both sides of an event, at least; a long event gets three times its length."""
MAX_MARKS = 40


@dataclass(frozen=True, slots=True)
class _Mistake:
    kind: str
    series_id: str
    event: Interval
    top_score: float
    reason: str
    order: tuple[float, ...] = field(default=())


def select_cases(
    store: SeriesStore,
    gold_records: Mapping[str, AnnotationRecord],
    detections: Mapping[str, Detection],
    read_scores: Callable[[str], Scores | None],
    limit: int = 6,
    *,
    variant: str = "",
    threshold: float = math.nan,
    max_points: int = 600,
) -> list[CaseData]:
    """Up to ``limit`` misses, then up to ``limit`` false alarms, the worst first.

    ``read_scores(series_id)`` gives one score per row, or ``None`` where scoring failed; it is
    asked once for a series with a mistake and once more for each one that is shown. A gold series
    without a detection counts as failed. ``threshold`` is drawn beside the scores.
    """
    mistakes: list[_Mistake] = []
    for series_id in sorted(gold_records):
        record = gold_records[series_id]
        detection = detections.get(series_id) or Detection.failed("there is no prediction")
        mistakes += _mistakes(record, detection, read_scores)
    cases = []
    for kind in ("miss", "false_alarm"):
        for mistake in _worst((m for m in mistakes if m.kind == kind), limit):
            record = gold_records[mistake.series_id]
            found = detections.get(mistake.series_id)
            predicted = found.intervals if found is not None else ()
            scores = read_scores(mistake.series_id) if found is not None else None
            cases.append(
                _case(store, record, predicted, scores, mistake, variant, threshold, max_points)
            )
    return cases


def _mistakes(
    record: AnnotationRecord,
    detection: Detection,
    read_scores: Callable[[str], Scores | None],
) -> list[_Mistake]:
    matching = match_events(record.intervals, detection.intervals)
    if not matching.missed and not matching.false:
        return []
    failed = detection.status == "failed"
    scores = None if failed else read_scores(record.series_id)
    if scores is not None and len(scores) != record.n_rows:
        raise EvaluationError(
            f"Series {record.series_id!r} has {len(scores)} scores, but gold was labelled on "
            f"{record.n_rows} rows.",
            hint="Predict again, or label the series as it is now.",
        )
    out = []
    for index in matching.missed:
        event = record.intervals[index]
        top = _top(scores, event)
        known = top if math.isfinite(top) else 0.0
        order = (round(known, 1), -len(event), known)
        reason = f"failed: {detection.reason}" if failed else ""
        out.append(_Mistake("miss", record.series_id, event, top, reason, order))
    for index in matching.false:
        event = detection.intervals[index]
        top = event.score if event.score is not None else _top(scores, event)
        known = top if math.isfinite(top) else 0.0
        order = (-known, -len(event), 0.0)
        out.append(_Mistake("false_alarm", record.series_id, event, top, event.reason, order))
    return out


def _top(scores: Scores | None, event: Interval) -> float:
    if scores is None:
        return math.nan
    inside = np.asarray(scores[event.start : event.end + 1], dtype=np.float64)
    inside = inside[np.isfinite(inside)]
    return float(inside.max()) if len(inside) else math.nan


def _worst(mistakes: Iterable[_Mistake], limit: int) -> list[_Mistake]:
    ranked = sorted(mistakes, key=lambda m: (m.order, m.series_id, m.event.start, m.event.end))
    seen: Counter[str] = Counter()
    turns = []
    for mistake in ranked:
        turns.append(seen[mistake.series_id] // PER_SERIES)
        seen[mistake.series_id] += 1
    chosen = sorted(range(len(ranked)), key=lambda i: (turns[i], i))[:limit]
    return [ranked[i] for i in chosen]


def _case(
    store: SeriesStore,
    record: AnnotationRecord,
    predicted: Sequence[Interval],
    scores: Scores | None,
    mistake: _Mistake,
    variant: str,
    threshold: float,
    max_points: int,
) -> CaseData:
    series = store[mistake.series_id]
    if len(series) != record.n_rows:
        raise EvaluationError(
            f"Series {series.id!r} has {len(series)} rows, but gold was labelled on "
            f"{record.n_rows}.",
            hint="Label the series as it is now, or restore the one that was labelled.",
        )
    event = mistake.event
    around = max(CONTEXT, 3 * len(event))
    window = cut_window(
        series,
        scores,
        max(0, event.start - around),
        min(len(series), event.end + around + 1),
        keep=[event, *_near(record.intervals, event), *_near(predicted, event)],
        max_points=max_points,
    )
    return CaseData(
        kind=mistake.kind,
        series_id=series.id,
        timestamps=window.timestamps.tolist(),
        values=window.values.tolist(),
        focus=window.place(event) or event,
        truth=window.place_all(_near(record.intervals, event)),
        predicted=window.place_all(_near(predicted, event)),
        scores=window.scores.tolist(),
        variant=variant,
        reason=mistake.reason,
        unit=series.unit,
        zone=series.zone,
        threshold=threshold,
        event_rows=len(event),
        top_score=mistake.top_score,
        t_start=int(series.timestamps[event.start]),
        t_end=int(series.timestamps[event.end]),
    )


def _near(intervals: Sequence[Interval], event: Interval) -> list[Interval]:
    """The intervals nearest to the event, in row order: a picture holds only so many."""
    middle = event.start + event.end
    nearest = sorted(intervals, key=lambda i: (abs(i.start + i.end - middle), i.start, i.end))
    return sorted(nearest[:MAX_MARKS], key=lambda i: (i.start, i.end, i.label))
