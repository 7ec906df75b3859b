"""Grouped out-of-fold validation: how sweeps compare variants without looking at gold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tsloop.annotations.examples import Example
from tsloop.detectors import build
from tsloop.errors import EvaluationError
from tsloop.evaluation.scorecard import Scorecard, SeriesScore, score_series

__all__ = ["assign_folds", "cross_validate"]


def assign_folds(groups: Sequence[str], folds: int, seed: int) -> dict[str, int]:
    """Fold number of each group: fixed by the seed and the name, of nearly equal size."""

    def order(group: str) -> str:
        return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()

    return {group: rank % folds for rank, group in enumerate(sorted(set(groups), key=order))}


def cross_validate(
    config: Mapping[str, Any],
    examples: Sequence[Example],
    *,
    folds: int,
    seed: int,
    n_bootstrap: int = 0,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Scorecard:
    """Fit on all groups but one fold's, score that fold, and pool the folds.

    ``progress`` is called with the number of fits and scored series done, of all, and what is next.
    Raises `EvaluationError` where there are fewer than two groups: nothing could be held out.
    """
    groups = sorted({example.series.group for example in examples})
    if len(groups) < 2:
        raise EvaluationError(
            f"Only {len(groups)} labelled group(s): nothing can be held out for validation.",
            hint="Label series of at least two groups first.",
        )
    fold_of = assign_folds(groups, min(folds, len(groups)), seed)
    scores: list[SeriesScore] = []
    total = len(set(fold_of.values())) + len(examples)
    for fold in sorted(set(fold_of.values())):
        inner = [e for e in examples if fold_of[e.series.group] != fold]
        detector = build(config)
        fitting = partial(_fitting, progress, fold + len(scores), total, fold + 1)
        fitting({})
        detector.fit(_with_validation(inner, seed), seed=seed, progress=fitting)
        for example in examples:
            if fold_of[example.series.group] == fold:
                progress(fold + 1 + len(scores), total, f"fold {fold + 1}: {example.series.id}")
                detection, values = detector.analyse(example.series)
                scores.append(
                    score_series(
                        example.series.id,
                        example.series.group,
                        list(example.intervals),
                        detection,
                        values,
                        len(example.series),
                    )
                )
    progress(total, total, "")
    scores.sort(key=lambda score: score.series_id)
    return Scorecard.of(scores, n_bootstrap=n_bootstrap, seed=seed)


def _fitting(
    progress: Callable[[int, int, str], None],
    done: int,
    total: int,
    fold: int,
    figures: Mapping[str, float],
) -> None:
    """What a detector says of its fit, as progress."""
    how_far = ""
    if "share" in figures:
        how_far = f" {100 * figures['share']:.0f} %"
    elif "step" in figures:
        how_far = f", step {figures['step']:.0f}"
    progress(done, total, f"fold {fold}: fitting{how_far}")


def _with_validation(examples: Sequence[Example], seed: int) -> list[Example]:
    """Mark a quarter of the groups as validation, where enough groups are left to train on."""
    groups = sorted({example.series.group for example in examples})
    if len(groups) < 4:
        return [replace(example, split="train") for example in examples]
    fold_of = assign_folds(groups, 4, seed + 1)
    return [
        replace(example, split="valid" if fold_of[example.series.group] == 0 else "train")
        for example in examples
    ]
