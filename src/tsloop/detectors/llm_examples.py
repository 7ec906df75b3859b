"""Labelled examples as what a native model is tuned on: windows with targets, and whole answers.

Both ways to answer learn from the windows that are asked about later: prompts, values and answers
come from one grammar. Around each event there are several windows, so that an event is seen at
several places; the windows side by side that scoring uses show everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tsloop.annotations.examples import Example
from tsloop.annotations.finetune import anomaly_windows, finetune_rows
from tsloop.annotations.split import SplitConfig
from tsloop.chatts.generate.targets import Target, encode_targets
from tsloop.chatts.generate.windows import Window, plan_windows
from tsloop.chatts.native.settings import ChattsLlmConfig
from tsloop.chatts.native.tuning import ScoreWindow, TuneData, score_window
from tsloop.grammar import shown_values
from tsloop.intervals import Interval
from tsloop.labels import LabelSet

__all__ = ["SHIFTS", "score_windows_of", "texts_of", "tuning_data"]

SHIFTS = 4
"""Windows around each event, which has another place in each of them."""


def tuning_data(
    examples: Sequence[Example],
    processor: Any,
    label_set: LabelSet,
    config: ChattsLlmConfig,
    seed: int,
) -> TuneData:
    """New, replayed and validation examples; where all are for validation, they are learned."""
    valid = [e for e in examples if e.split == "valid"]
    train = [e for e in examples if e.split != "valid"]
    if not train:
        train, valid = valid, []

    def windows(chosen: Sequence[Example]) -> list[ScoreWindow]:
        wanted = config.taught != "generate"
        return score_windows_of(chosen, label_set, config, seed) if wanted else []

    def texts(chosen: Sequence[Example]) -> Sequence[Target]:
        wanted = config.taught != "score"
        return texts_of(chosen, processor, label_set, config, seed) if wanted else []

    new, old = [e for e in train if not e.replay], [e for e in train if e.replay]
    return TuneData(
        windows(new), texts(new), windows(valid), texts(valid), windows(old), texts(old)
    )


def score_windows_of(
    examples: Sequence[Example], label_set: LabelSet, config: ChattsLlmConfig, seed: int
) -> list[ScoreWindow]:
    """Windows with a target for every row; those without a single value are left out."""
    found: list[ScoreWindow] = []
    for example in examples:
        filled = example.series.filled()
        absent = np.isnan(example.series.values)
        for start, stop in _windows(example, config, seed):
            if absent[start:stop].all():
                continue
            inside = _inside(example.intervals, start, stop)
            values = np.asarray(shown_values(filled[start:stop]))
            found.append(score_window(values, inside, label_set.ids, example.weight))
    return found


def texts_of(
    examples: Sequence[Example],
    processor: Any,
    label_set: LabelSet,
    config: ChattsLlmConfig,
    seed: int,
) -> tuple[Target, ...]:
    """Questions with their answers, in token ids; what is longer than may be asked is halved."""
    rows, _ = finetune_rows(examples, _split(config), label_set, seed)
    most = config.generate.max_prompt_tokens or 10**9
    limit = most + config.generate.max_new_tokens
    return encode_targets(rows, processor, label_set, limit).targets


def _split(config: ChattsLlmConfig) -> SplitConfig:
    """An answer with as many intervals as may be counts as cut off, so none is taught."""
    return SplitConfig(
        window=_rows(config),
        max_answer_intervals=max(1, config.generate.max_intervals - 1),
        language=config.generate.language,
    )


def _rows(config: ChattsLlmConfig) -> int:
    return max(64, min(config.finetune.window, config.generate.window))


def _windows(example: Example, config: ChattsLlmConfig, seed: int) -> Iterator[Window]:
    split = _split(config)
    n = len(example.series)
    yield from plan_windows(n, split.window, min(config.generate.overlap, split.window // 2))
    if n > split.window:
        for shift in range(SHIFTS):
            yield from anomaly_windows(example, split, seed + shift)


def _inside(intervals: Sequence[Interval], start: int, stop: int) -> list[Interval]:
    return [
        i.replace(start=max(i.start, start) - start, end=min(i.end, stop - 1) - start)
        for i in intervals
        if i.start < stop and i.end >= start
    ]
