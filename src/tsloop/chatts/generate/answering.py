"""From a series to a detection, by asking a language model about one window after the other.

The rules:

- A window without a single value is not asked about; that is said in the detection's reason.
- A window whose prompt does not fit is asked about in halves. So is one whose answer was cut short
  by the token budget, or has as many intervals as an answer may have; its own answer then counts
  for nothing. Below two times `MIN_WINDOW` rows there are no halves: a prompt that does not fit has
  failed, and a cut answer stays, marked ``incomplete``.
- What was answered is moved to the rows of the series; intervals of one label that overlap or touch
  become one (`merge_same`).
- One window without a usable answer makes the detection ``failed``, with the rows in its reason.
  What the other windows answered stays in ``partial``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.chatts.generate.asking import Asker, Question, RawAnswer
from tsloop.chatts.generate.protocols import SeriesProcessor, TextModel
from tsloop.chatts.generate.settings import GenerateSettings
from tsloop.chatts.generate.windows import (
    MIN_WINDOW,
    Window,
    describe_rows,
    halves,
    merge_same,
    plan_windows,
    row_scores,
)
from tsloop.grammar import PROMPT_VERSION, parse_answer, render_prompt, shown_values
from tsloop.intervals import Basis, Detection, Interval, Status
from tsloop.labels import LabelSet
from tsloop.series.types import Series

__all__ = ["GeneratedDetection", "WindowAnswer", "WindowStatus", "answer_series"]

Floats = npt.NDArray[np.float64]


class WindowStatus(StrEnum):
    """What became of one window."""

    OK = "ok"
    NONE = "none"
    FAILED = "failed"
    SKIPPED = "skipped"  # no value in it
    SPLIT = "split"  # its halves were asked about instead


@dataclass(frozen=True, slots=True)
class WindowAnswer:
    """Rows ``start..stop-1`` and what was answered about them.

    ``intervals`` are in rows of the series. ``raw`` is the answer as it came, empty where nothing
    was asked. ``flags`` are those of `tsloop.answers.FLAGS`, and ``incomplete``. ``missing`` are
    samples that were interpolated for the prompt.
    """

    start: int
    stop: int
    status: WindowStatus
    reason: str = ""
    raw: str = ""
    flags: tuple[str, ...] = ()
    intervals: tuple[Interval, ...] = ()
    missing: int = 0
    prompt_tokens: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **asdict(self),
            "status": str(self.status),
            "flags": list(self.flags),
            "intervals": [interval.to_dict() for interval in self.intervals],
        }


@dataclass(frozen=True, eq=False)
class GeneratedDetection:
    """The detection for a series, and everything it was made from.

    ``scores`` has shape ``(n,)``: the score of the interval over each row (how sure the model was,
    see `tsloop.chatts.generate.confidence`), 0 elsewhere; ``None`` where the detection failed.
    ``partial`` are the intervals found, also where it failed.
    """

    detection: Detection
    scores: Floats | None
    windows: tuple[WindowAnswer, ...]
    partial: tuple[Interval, ...] = ()
    prompt: str = PROMPT_VERSION

    def count(self, status: WindowStatus) -> int:
        """How many windows have a status."""
        return sum(window.status is status for window in self.windows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the scores."""
        return {
            "prompt": self.prompt,
            "detection": self.detection.to_dict(),
            "partial": [interval.to_dict() for interval in self.partial],
            "windows": [window.to_dict() for window in self.windows],
        }


def answer_series(
    model: TextModel,
    processor: SeriesProcessor,
    series: Series,
    label_set: LabelSet,
    settings: GenerateSettings,
) -> GeneratedDetection:
    """Ask the model about a series; see the module text.

    A strange series gives a ``failed`` detection. Settings, label sets and tokenizers with which
    nothing can be asked raise `ConfigError`, `LabelSetError` or `DetectorError`.
    """
    asker = Asker(model, processor, label_set, settings)
    if np.isnan(series.values).all():
        what = "has no value" if len(series) else "has no rows"
        return GeneratedDetection(
            Detection.failed(f"Series {series.id!r} {what}: there is nothing to ask about."),
            None,
            (),
        )
    shown = _Shown(series, label_set, settings.language)
    answers: list[WindowAnswer] = []
    waiting = plan_windows(len(series), settings.window, settings.overlap)
    while waiting:
        done, questions = _prepare(asker, shown, waiting)
        raws = asker.ask([question for _, question in questions])
        done += [
            _read(asker, shown, window, question, raw)
            for (window, question), raw in zip(questions, raws, strict=True)
        ]
        answers += done
        waiting = [
            half
            for answer in done
            if answer.status is WindowStatus.SPLIT
            for half in halves((answer.start, answer.stop), settings.overlap) or ()
        ]
    return _combined(series, answers)


class _Shown:
    """A series as prompts show it."""

    def __init__(self, series: Series, label_set: LabelSet, language: str) -> None:
        self.values = series.filled()
        self.absent = np.isnan(series.values)
        self.label_set, self.language = label_set, language

    def missing(self, window: Window) -> int:
        return int(self.absent[slice(*window)].sum())

    def is_empty(self, window: Window) -> bool:
        return bool(self.absent[slice(*window)].all())

    def prompt(self, window: Window) -> str:
        start, stop = window
        return render_prompt(stop - start, self.label_set, self.language, self.missing(window))


def _prepare(
    asker: Asker, shown: _Shown, windows: Sequence[Window]
) -> tuple[list[WindowAnswer], list[tuple[Window, Question]]]:
    """The windows that need no answer or cannot be asked about, and the questions of the others."""
    done: list[WindowAnswer] = []
    questions: list[tuple[Window, Question]] = []
    limit = asker.max_prompt_tokens
    for window in windows:
        if shown.is_empty(window):
            done.append(WindowAnswer(*window, WindowStatus.SKIPPED, "no value in these rows"))
            continue
        values = shown_values(shown.values[slice(*window)])
        question = Question(asker.processor.chat(shown.prompt(window)), values)
        tokens = asker.prompt_tokens(question)
        if limit is None or tokens <= limit:
            questions.append((window, question))
            continue
        status = WindowStatus.SPLIT if halves(window, 0) else WindowStatus.FAILED
        reason = f"the prompt has {tokens} tokens, and at most {limit} fit"
        done.append(WindowAnswer(*window, status, reason, prompt_tokens=tokens))
    return done, questions


def _read(
    asker: Asker, shown: _Shown, window: Window, question: Question, raw: RawAnswer
) -> WindowAnswer:
    """What an answer says, in rows of the series."""
    start, stop = window
    parsed = parse_answer(raw.text, stop - start, shown.label_set)
    most = asker.settings.max_intervals if asker.settings.constrained else np.inf
    incomplete = raw.cut or len(parsed.intervals) >= most
    status, reason = WindowStatus(str(parsed.status)), ""
    if raw.error:
        status, reason = WindowStatus.FAILED, raw.error
    elif incomplete and halves(window, 0):
        status, reason = WindowStatus.SPLIT, "the answer reached its limit"
    elif status is WindowStatus.FAILED:
        reason = parsed.to_detection().reason
    return WindowAnswer(
        start,
        stop,
        status,
        reason,
        raw.text,
        (*parsed.flags, *(["incomplete"] if incomplete else [])),
        _moved(parsed.intervals, start, raw.confidences) if status is WindowStatus.OK else (),
        shown.missing(window),
        asker.prompt_tokens(question),
    )


def _moved(
    intervals: Sequence[Interval], start: int, confidences: Sequence[float]
) -> tuple[Interval, ...]:
    """Intervals of a window in rows of the series, with what the model thought of each."""
    if len(confidences) == 1:
        confidences = [confidences[0]] * len(intervals)
    return tuple(
        interval.replace(
            start=interval.start + start,
            end=interval.end + start,
            score=confidence,
            basis=Basis.MODEL,
        )
        for interval, confidence in zip(intervals, confidences, strict=True)
    )


def _combined(series: Series, answers: Sequence[WindowAnswer]) -> GeneratedDetection:
    windows = tuple(sorted(answers, key=lambda a: (a.start, -a.stop)))
    found = merge_same(interval for window in windows for interval in window.intervals)
    failed = [window for window in windows if window.status is WindowStatus.FAILED]
    if failed:
        rows = describe_rows([(window.start, window.stop) for window in failed])
        counted = [w for w in windows if w.status is not WindowStatus.SPLIT]
        detection = Detection.failed(
            f"{len(failed)} of {len(counted)} windows of series {series.id!r} have no usable "
            f"answer (rows {rows}). The first: {failed[0].reason}"
        )
        return GeneratedDetection(detection, None, windows, found)
    status = Status.OK if found else Status.NONE
    detection = Detection(status, found, _notes(series, windows))
    return GeneratedDetection(detection, row_scores(found, len(series)), windows, found)


def _notes(series: Series, windows: Sequence[WindowAnswer]) -> str:
    """What a reader of the detection should know besides."""
    notes: list[str] = []
    if len(series) < MIN_WINDOW:
        notes.append(f"the series has {len(series)} rows; below {MIN_WINDOW} answers are unsure")
    skipped = [(w.start, w.stop) for w in windows if w.status is WindowStatus.SKIPPED]
    if skipped:
        notes.append(f"rows {describe_rows(skipped)} hold no value and were not asked about")
    incomplete = [
        (w.start, w.stop)
        for w in windows
        if "incomplete" in w.flags and w.status is WindowStatus.OK
    ]
    if incomplete:
        notes.append(f"the answers about rows {describe_rows(incomplete)} are not complete")
    return "; ".join(notes)
