"""Metrics over single rows, never point-adjusted.

Point adjustment counts a whole event as found when one of its rows is; random scores then reach an
F1 of almost one, so it is not offered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.errors import EvaluationError

__all__ = ["PointCounts", "auc_pr", "best_point_f1", "check_rows", "point_counts", "pr_curve"]

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PointCounts:
    """Rows that are true and predicted, predicted only, true only."""

    hits: int
    false: int
    missed: int

    @property
    def f1(self) -> float | None:
        """``None`` without a true row (undefined: no positives)."""
        if not self.hits + self.missed:
            return None
        return 2 * self.hits / (2 * self.hits + self.false + self.missed)


def check_rows(mask: Mask, scores: Scores) -> tuple[Mask, Floats]:
    """Both as one-dimensional arrays of one length with finite scores, or `EvaluationError`."""
    truth = np.asarray(mask, dtype=bool)
    flat = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != flat.shape:
        raise EvaluationError(
            f"Mask {truth.shape} and scores {flat.shape} must be one-dimensional and of one length."
        )
    if not np.isfinite(flat).all():
        row = int(np.flatnonzero(~np.isfinite(flat))[0])
        raise EvaluationError(f"The score of row {row} is {flat[row]}: scores must be finite.")
    return truth, flat


def point_counts(mask: Mask, predicted: Mask) -> PointCounts:
    """Compare two masks of one length."""
    truth, guess = np.asarray(mask, dtype=bool), np.asarray(predicted, dtype=bool)
    if truth.shape != guess.shape:
        raise EvaluationError(f"Masks of {truth.shape} and {guess.shape} rows cannot be compared.")
    hits = int((truth & guess).sum())
    return PointCounts(hits, int(guess.sum()) - hits, int(truth.sum()) - hits)


def auc_pr(mask: Mask, scores: Scores) -> float:
    """Area under the precision-recall curve as average precision.

    ``sum((R_k - R_{k-1}) * P_k)`` over the distinct scores from high to low, without interpolation.
    A mask without a true row is an error: the metric is undefined.
    """
    hits, predicted, n_true, _ = _curve(*check_rows(mask, scores))
    steps = np.diff(hits, prepend=0)
    return float(np.sum(steps / n_true * (hits / predicted)))


def best_point_f1(mask: Mask, scores: Scores) -> float:
    """The largest F1 over all thresholds: what an oracle would get, not what a detector gets."""
    hits, predicted, n_true, _ = _curve(*check_rows(mask, scores))
    return float(np.max(2.0 * hits / (predicted + n_true)))


def pr_curve(
    scores: Sequence[Scores], masks: Sequence[Mask], max_points: int = 200
) -> list[tuple[float, float, float]]:
    """Pooled (threshold, precision, recall), from the highest threshold down, for a plot.

    At most ``max_points``, spread evenly over recall, with both ends; empty without a true row.
    """
    if len(scores) != len(masks):
        raise EvaluationError(f"{len(scores)} score arrays and {len(masks)} masks do not match.")
    checked = [check_rows(mask, series) for mask, series in zip(masks, scores, strict=True)]
    truth = np.concatenate([mask for mask, _ in checked] or [np.empty(0, dtype=bool)])
    if not truth.any():
        return []
    hits, predicted, n_true, levels = _curve(truth, np.concatenate([s for _, s in checked]))
    recall = hits / n_true
    if len(levels) > max_points:
        wanted = np.linspace(recall[0], recall[-1], max_points - 1)
        places = np.searchsorted(recall, wanted)
        places = np.unique(np.concatenate((places, [0, len(levels) - 1])))[-max_points:]
    else:
        places = np.arange(len(levels))
    columns = (levels[places], hits[places] / predicted[places], recall[places])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _curve(
    truth: Mask, scores: Floats
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int, Floats]:
    """Hits and predictions at each distinct score from high to low, true rows, and the scores."""
    n_true = int(truth.sum())
    if not n_true:
        raise EvaluationError("undefined: no positives. The truth has no anomalous row.")
    order = np.argsort(-scores, kind="stable")
    levels = scores[order]
    last = np.flatnonzero(np.concatenate((levels[1:] != levels[:-1], [True])))
    predicted = (last + 1).astype(np.int64)
    hits = np.cumsum(truth[order], dtype=np.int64)
    return hits[last], predicted, n_true, levels[last]
