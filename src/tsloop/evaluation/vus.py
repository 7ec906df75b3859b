"""VUS-PR: the volume under the precision-recall surface of a row score.

A score that peaks a few rows beside an event is not wrong, so every event gets a buffer on both
sides in which a row counts for less the farther it lies out; precision and recall are then taken
at many thresholds and for every buffer width from zero to ``window``, and the areas under their
curves are averaged. No threshold has to be chosen, and chance level is the share of true rows.

Definition: J. Paparrizos et al., "Volume Under the Surface" (VLDB 2022), in the form of the
TSB-AD benchmark (Q. Liu and J. Paparrizos, NeurIPS 2024, "opt" version), which this module
reproduces. In its terms, for one buffer width ``w`` and one threshold:

- a row outside the events weighs ``sqrt(1 - d / w)`` at the distance ``d <= w // 2`` from an event,
  summed over events and capped at 1; a row of an event weighs 1;
- ``hits`` = weight of the flagged rows; ``precision`` = hits / flagged rows;
- ``recall`` = hits / (true rows + half the weight of the flagged buffer rows), capped at 1, times
  the share of events (with their buffers, joined where these touch) that hold a flagged row;
- thresholds are the scores at evenly spaced ranks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.errors import EvaluationError
from tsloop.evaluation.points import check_rows

__all__ = ["vus_pr", "vus_window"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def vus_window(n_rows: int) -> int:
    """The widest buffer for a series of so many rows: a fiftieth, at least 8, at most 100."""
    return int(np.clip(n_rows // 50, 8, 100))


def vus_pr(
    mask: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.floating[Any]],
    window: int,
    n_thresholds: int = 250,
) -> float:
    """VUS-PR in [0, 1]; a mask without a true row is an error (undefined: no positives)."""
    truth, flat = check_rows(mask, scores)
    if not truth.any():
        raise EvaluationError("undefined: no positives. The truth has no anomalous row.")
    if window < 0 or n_thresholds < 1:
        raise EvaluationError(
            f"VUS needs window >= 0 and n_thresholds >= 1, got {window} and {n_thresholds}."
        )
    rank, flagged = _ranks(flat, n_thresholds)
    starts, ends = _runs(truth)
    inside = np.cumsum(np.bincount(rank[truth], minlength=n_thresholds))
    near, distance = _buffer(truth, starts, ends, window // 2)
    rows, place = np.unique(near, return_inverse=True)
    areas = np.empty(window + 1)
    exists = np.empty(0)
    for width in range(window + 1):
        if width % 2 == 0:  # the reach, and with it the joined events, changes every second time
            exists = _share_found(rank, starts, ends, width // 2, n_thresholds)
        within = distance <= width // 2
        weight = np.sqrt(1.0 - distance[within] / max(width, 1))
        weight = np.minimum(np.bincount(place[within], weight, minlength=len(rows)), 1.0)
        beside = np.cumsum(np.bincount(rank[rows], weight, minlength=n_thresholds))
        hits = inside + beside
        recall = np.minimum(hits / (truth.sum() + beside / 2.0), 1.0) * exists
        areas[width] = np.sum(np.diff(recall, prepend=0.0) * hits / flagged)
    return float(areas.mean())


def _ranks(scores: Floats, n_thresholds: int) -> tuple[Rows, Rows]:
    """For each row the first threshold that flags it; for each threshold the rows it flags."""
    falling = -np.sort(-scores)
    levels = falling[np.linspace(0, len(scores) - 1, n_thresholds).astype(int)]
    rank = np.searchsorted(-levels, -scores, side="left")
    flagged = np.searchsorted(-falling, -levels, side="right")
    return rank, flagged


def _runs(truth: npt.NDArray[np.bool_]) -> tuple[Rows, Rows]:
    steps = np.diff(np.concatenate(([0], truth.astype(np.int8), [0])))
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1


def _buffer(
    truth: npt.NDArray[np.bool_], starts: Rows, ends: Rows, reach: int
) -> tuple[Rows, Rows]:
    """Rows outside the events and their distance to an event, one entry for each near event."""
    steps = np.arange(1, reach + 1)
    rows = np.concatenate(((starts[:, None] - steps).ravel(), (ends[:, None] + steps).ravel()))
    distance = np.tile(steps, 2 * len(starts))
    keep = (rows >= 0) & (rows < len(truth))
    rows, distance = rows[keep], distance[keep]
    keep = ~truth[rows]
    return rows[keep], distance[keep]


def _share_found(rank: Rows, starts: Rows, ends: Rows, reach: int, n_thresholds: int) -> Floats:
    """Share of the buffered events, joined where they touch, with a row at each threshold."""
    apart = ends[:-1] + reach < starts[1:] - reach
    first = np.concatenate(([True], apart))
    last = np.concatenate((apart, [True]))
    lower = np.maximum(starts[first] - reach, 0)
    upper = np.minimum(ends[last] + reach, len(rank) - 1) + 1
    bounds = np.column_stack((lower, upper)).ravel()
    # reduceat also reduces the rows between two events: every second entry is an event.
    bounds = bounds[:-1] if bounds[-1] == len(rank) else bounds
    best = np.minimum.reduceat(rank, bounds)[::2]
    return np.cumsum(np.bincount(best, minlength=n_thresholds)) / len(best)
