"""What the tests of tuning share: tiny bases, windows with a spike, answers about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.generate.targets import Target, encode_targets
from tsloop.chatts.native.checkpoints import load_checkpoint, load_processor
from tsloop.chatts.native.tuning import ScoreWindow, TuneData, score_window
from tsloop.grammar import render_answer
from tsloop.intervals import Interval
from tsloop.labels import builtin_label_set

LABEL_SET = builtin_label_set()
LABELS = ("upward_spike", "downward_spike")
ROWS = 64


def prompt_of(n_rows: int) -> str:
    """A short question; the grammar's own has thousands of bytes, which are tokens here."""
    return f"{n_rows} <ts><ts/>"


def config(**changes: Any) -> FinetuneConfig:
    """Few, small steps and no synthetic replay."""
    settings: dict[str, Any] = {
        "steps": 6,
        "eval_every": 2,
        "batch_size": 4,
        "rank": 2,
        "alpha": 4.0,
        "learning_rate": 1e-2,
        "encoder_learning_rate": 1e-3,
        "synthetic_replay_share": 0.0,
        "warmup": 0.0,
    }
    return FinetuneConfig(**settings | changes)


def window(seed: int, rows: int = ROWS) -> ScoreWindow:
    """Noise with a spike, upward for even seeds."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=rows)
    start = int(rng.integers(8, rows - 16))
    up = seed % 2 == 0
    values[start : start + 6] += 8.0 if up else -8.0
    return score_window(values, [Interval(start, start + 5, LABELS[1 - up])], LABELS)


def windows(first: int, count: int, rows: int = ROWS) -> list[ScoreWindow]:
    return [window(seed, rows) for seed in range(first, first + count)]


def texts(processor: Any, first: int, count: int) -> list[Target]:
    """Questions about the same windows; the prompt is short, only the answer is the grammar's."""
    rows = []
    for seed in range(first, first + count):
        one = window(seed, 32)
        start = int(one.target.argmax())
        found = [Interval(start, start + 5, LABELS[int(one.label.max())])]
        rows.append(
            {
                "input": prompt_of(32),
                "output": render_answer(found, LABEL_SET),
                "timeseries": [one.values.tolist()],
            }
        )
    return list(encode_targets(rows, processor, LABEL_SET, 4096).targets)


def base(directory: Path, *, labels: tuple[str, ...] = LABELS, **options: Any) -> tuple[Any, Any]:
    """A fresh model with a seeded score head, and its processor."""
    model = load_checkpoint(directory, **options)
    if labels:
        model.add_score_head(labels, width=16, seed=1)
    return model, load_processor(directory, model)


def data(processor: Any, **changes: Any) -> TuneData:
    """Six windows and four answers, two of each for validation."""
    examples: dict[str, Any] = {
        "score": windows(0, 6),
        "texts": texts(processor, 0, 4),
        "valid_score": windows(100, 2),
        "valid_texts": texts(processor, 100, 2),
    }
    return TuneData(**examples | changes)


def tensors_of(model: Any) -> dict[str, torch.Tensor]:
    """What tuning trained."""
    from tsloop.chatts.native.tuning.trainable import live_tensors, record_of

    return {n: t.detach().clone() for n, t in live_tensors(model, record_of(model)).items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
