"""Rows to learn from: every event counts alike, and quiet rows are only sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.annotations.examples import Example

__all__ = ["TrainingRows", "group_folds", "sample_rows"]

NEAR_ROWS = 30
"""Rows around an event that always take part: there the edges are learned."""


@dataclass(frozen=True)
class TrainingRows:
    """Features ``(n, f)``, truth ``(n,)`` and weights ``(n,)``; quiet weights average 1."""

    features: npt.NDArray[np.float32]
    anomalous: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float64]


def sample_rows(
    tables: Sequence[npt.NDArray[np.float32]],
    examples: Sequence[Example],
    rng: np.random.Generator,
    *,
    positives_per_series: int,
    negatives_per_series: int,
    event_balance: float,
    positive_share: float,
) -> TrainingRows | None:
    """Rows of examples whose features are ``tables``, in step; ``None`` without an event.

    An event's rows weigh ``length ** -event_balance`` each (1: every event alike, 0: every row
    alike), times the example's weight; all anomalous rows together weigh ``positive_share`` of what
    the quiet rows weigh.
    """
    features: list[npt.NDArray[Any]] = []
    truth: list[npt.NDArray[Any]] = []
    weights: list[npt.NDArray[Any]] = []
    for table, example in zip(tables, examples, strict=True):
        n = len(table)
        weight = np.full(n, 0.0)
        near = np.zeros(n, dtype=bool)
        for event in example.intervals:
            rows = slice(event.start, event.end + 1)
            weight[rows] = np.maximum(weight[rows], len(event) ** -event_balance)
            near[max(0, event.start - NEAR_ROWS) : event.end + 1 + NEAR_ROWS] = True
        inside = weight > 0.0
        positive = _some(rng, np.flatnonzero(inside), positives_per_series)
        quiet = _some(rng, np.flatnonzero(~inside), negatives_per_series)
        quiet = np.union1d(quiet, np.flatnonzero(near & ~inside))
        weight[quiet] = 1.0
        taken = np.concatenate((positive, quiet))
        features.append(table[taken])
        truth.append(inside[taken])
        weights.append(weight[taken] * example.weight)
    anomalous = np.concatenate(truth) if truth else np.empty(0, dtype=bool)
    if not anomalous.any() or anomalous.all():
        return None
    weight = np.concatenate(weights)
    weight[anomalous] *= positive_share * weight[~anomalous].sum() / weight[anomalous].sum()
    return TrainingRows(np.concatenate(features), anomalous, weight)


def group_folds(examples: Sequence[Example], n_folds: int, rng: np.random.Generator) -> list[int]:
    """The fold of each example: groups stay together, and events are spread over the folds.

    With a single group there is only fold 0.
    """
    events: dict[str, int] = {}
    for example in examples:
        group = example.series.group
        events[group] = events.get(group, 0) + len(example.intervals)
    names = sorted(events)
    shuffled = [names[i] for i in rng.permutation(len(names)).tolist()]
    shuffled.sort(key=lambda name: -min(events[name], 1))  # with events first, else as shuffled
    fold = {name: number % n_folds for number, name in enumerate(shuffled)}
    return [fold[example.series.group] for example in examples]


def _some(
    rng: np.random.Generator, rows: npt.NDArray[np.int64], at_most: int
) -> npt.NDArray[np.int64]:
    if len(rows) <= at_most:
        return rows
    return np.sort(rng.choice(rows, at_most, replace=False))
