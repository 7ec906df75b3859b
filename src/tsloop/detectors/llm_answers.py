"""The two ways in which a native model answers about a series, as one kind of answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_softmax

from tsloop.chatts.generate.answering import answer_series
from tsloop.chatts.native.scoring import score_values
from tsloop.chatts.native.settings import ChattsLlmConfig
from tsloop.errors import DetectorError
from tsloop.intervals import Basis, Interval
from tsloop.labels import LabelSet
from tsloop.series.types import Series

__all__ = ["Answer", "by_head", "described", "in_words"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answer:
    """``scores`` per row in [0, 1]; ``labels``, logits per patch, of a head, else the intervals
    ``written``; ``note`` is what a reader should know besides."""

    scores: Floats
    labels: Floats | None = None
    written: tuple[Interval, ...] = ()
    note: str = ""


def by_head(
    model: Any,
    processor: Any,
    series: Series,
    config: ChattsLlmConfig,
    prompt_of: Callable[[int], str],
) -> Answer:
    """The score head's probabilities, blended over the windows."""
    logits, labels = score_values(
        model,
        processor,
        series.filled(),
        prompt_of,
        window=config.generate.window,
        overlap=config.generate.overlap,
        batch_size=config.batch_size,
    )
    return Answer(expit(logits), labels)


def in_words(
    model: Any, processor: Any, series: Series, config: ChattsLlmConfig, label_set: LabelSet
) -> Answer:
    """How sure the model was of the intervals that it wrote; a failure is a `DetectorError`."""
    found = answer_series(model, processor, series, label_set, config.generate)
    if found.scores is None:
        raise DetectorError(found.detection.reason)
    return Answer(found.scores, None, found.detection.intervals, found.detection.reason)


def described(interval: Interval, answer: Answer, label_set: LabelSet, patch: int) -> Interval:
    """The interval with the label and the reason that the model gave."""
    if answer.labels is None:
        best = _nearest(interval, answer.written)
        return interval.replace(label=best.label, reason=best.reason, basis=Basis.MODEL)
    patches = slice(interval.start // patch, interval.end // patch + 1)
    likely = log_softmax(answer.labels[patches], axis=1).mean(axis=0)
    label = label_set.ids[int(np.argmax(likely))]
    reason = f"{label}: model {interval.score or 0.0:.2f}"
    return interval.replace(label=label, reason=reason, basis=Basis.MODEL)


def _nearest(interval: Interval, written: Sequence[Interval]) -> Interval:
    """The written interval that shares most rows with it."""

    def shared(other: Interval) -> int:
        return min(interval.end, other.end) - max(interval.start, other.start)

    return max(written, key=lambda other: (shared(other), other.score or 0.0))
