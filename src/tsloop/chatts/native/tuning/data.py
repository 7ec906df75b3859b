"""What is learned from: windows with a target for every row, and questions with their answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.chatts.generate.targets import Target
from tsloop.chatts.training import label_rows
from tsloop.errors import DetectorError
from tsloop.intervals import Interval

__all__ = ["PromptOf", "ScoreWindow", "TuneData", "data_digest", "score_window", "without_overlong"]

PromptOf = Callable[[int], str]
"""Rows of a window -> the question about it, with one ``<ts><ts/>``; not yet a chat."""


@dataclass(frozen=True, eq=False)
class ScoreWindow:
    """A window as the model is shown it; all arrays have one entry per row, shape ``(n,)``.

    ``values`` finite float64, ``target`` 0/1, ``weight`` >= 0, ``label`` index into the labels of
    the score head or -1. Windows are never cut: give them the length that is asked about later.
    """

    values: npt.NDArray[np.float64]
    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        shapes = {field.name: np.shape(getattr(self, field.name)) for field in fields(self)}
        if len(set(shapes.values())) != 1 or self.values.ndim != 1 or not len(self.values):
            raise DetectorError(f"The arrays of a window must be of one length, but are {shapes}.")
        if not np.isfinite(self.values).all():
            raise DetectorError(
                "A training window holds a value that is not finite.", hint="Interpolate the gaps."
            )


@dataclass(frozen=True, eq=False)
class TuneData:
    """New and replayed (``old_…``) examples, and those that validation looks at (``valid_…``)."""

    score: Sequence[ScoreWindow] = ()
    texts: Sequence[Target] = ()
    valid_score: Sequence[ScoreWindow] = ()
    valid_texts: Sequence[Target] = ()
    old_score: Sequence[ScoreWindow] = ()
    old_texts: Sequence[Target] = ()


def score_window(
    values: npt.NDArray[np.float64],
    intervals: Sequence[Interval],
    labels: Sequence[str],
    weight: float = 1.0,
    rejected: Sequence[Interval] = (),
) -> ScoreWindow:
    """A window from the intervals in it, weighed as `tsloop.chatts.training.label_rows` does.

    ``labels`` are the score head's (``model.score_labels``); others teach no label.
    """
    rows = label_rows(len(values), intervals, labels, weight, rejected)
    return ScoreWindow(np.asarray(values, np.float64), rows.target, rows.weight, rows.label)


def without_overlong(
    data: TuneData, processor: Any, prompt_of: PromptOf, most_tokens: int
) -> tuple[TuneData, int]:
    """The data without what the model cannot take, and how many examples that leaves out.

    A window has too many rows for the table of positions, or anything too many tokens.
    """
    samples = processor.config.max_samples
    left_out = 0

    def fits(example: ScoreWindow | Target) -> bool:
        if isinstance(example, Target):
            return len(example.input_ids) <= most_tokens
        n = len(example.values)
        if samples is not None and n > samples:
            return False
        chat = processor.chat(prompt_of(n))
        return int(processor.token_count(chat, [example.values])) <= most_tokens

    kept: dict[str, Any] = {}
    for field in fields(data):
        given = getattr(data, field.name)
        kept[field.name] = tuple(example for example in given if fits(example))
        left_out += len(given) - len(kept[field.name])
    return TuneData(**kept), left_out


def data_digest(data: TuneData, prompt_of: PromptOf) -> str:
    """Hex SHA-256 of every array, in order, and of the questions asked about the windows."""
    digest = hashlib.sha256()
    for field in fields(data):
        digest.update(f"\0{field.name}\0".encode())
        for example in getattr(data, field.name):
            for array in _arrays(example):
                digest.update(f"{array.dtype} {array.shape}\0".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
            if isinstance(example, ScoreWindow):
                digest.update(prompt_of(len(example.values)).encode())
    return digest.hexdigest()


def _arrays(example: ScoreWindow | Target) -> Iterator[npt.NDArray[Any]]:
    if isinstance(example, ScoreWindow):
        yield from (getattr(example, field.name) for field in fields(example))
    else:
        for tensor in (example.input_ids, example.labels, example.timeseries, example.ts_lengths):
            yield tensor.numpy()
