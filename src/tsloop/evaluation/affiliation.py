"""Affiliation precision and recall: how near the predictions lie to the events they belong to.

The time axis is cut into one zone per event, at the middle between neighbours. Inside a zone a
distance is turned into the probability that a row drawn at random from the zone would lie farther
away: 1 is a hit, 0 as bad as possible, and random predictions score about one half. Precision
averages this over the predicted rows of a zone (distance to the event), recall over the event
(distance to the nearest prediction of the zone); both are then averaged over zones, precision over
those that hold a prediction.

Definition: A. Huet et al., "Local Evaluation of Time Series Anomaly Detection Algorithms" (KDD
2022), as in the TSB-AD benchmark: a row ``i`` is the half-open time ``[i, i + 1)``, and events that
touch are one. The integrals are solved in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.errors import EvaluationError
from tsloop.intervals import Interval, merge_close

__all__ = ["Affiliation", "affiliation", "affiliation_f1"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Affiliation:
    """Precision (``None`` without any prediction) and recall of one series, in [0, 1]."""

    precision: float | None
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean; 0 without a prediction."""
        return affiliation_f1(self.precision, self.recall)


def affiliation_f1(precision: float | None, recall: float) -> float:
    """Harmonic mean of the two, for one series or for their averages over series."""
    if precision is None or precision + recall == 0.0:
        return 0.0
    return 2.0 * precision * recall / (precision + recall)


def affiliation(
    truth: Sequence[Interval], predicted: Sequence[Interval], n_rows: int
) -> Affiliation:
    """Affiliation metrics of one series; no true event is an error (undefined: no positives)."""
    if not truth:
        raise EvaluationError("undefined: no positives. The truth has no event.")
    t_start, t_stop = _spans(truth, n_rows)
    p_start, p_stop = _spans(predicted, n_rows)
    middles = (t_stop[:-1] + t_start[1:]) / 2.0
    lower = np.concatenate(([0.0], middles))
    upper = np.concatenate((middles, [float(n_rows)]))
    precisions, recalls = [], []
    for event in zip(t_start, t_stop, lower, upper, strict=True):
        low, high = event[2], event[3]
        first = int(np.searchsorted(p_stop, low, side="right"))
        stop = int(np.searchsorted(p_start, high, side="left"))
        if first >= stop:
            recalls.append(0.0)
            continue
        starts = np.maximum(p_start[first:stop], low)
        stops = np.minimum(p_stop[first:stop], high)
        precisions.append(_precision(starts, stops, *event))
        recalls.append(_recall(starts, stops, *event))
    precision = float(np.mean(precisions)) if precisions else None
    return Affiliation(precision, float(np.mean(recalls)))


def _spans(intervals: Sequence[Interval], n_rows: int) -> tuple[Floats, Floats]:
    """Half-open start and stop of the merged intervals, in order."""
    merged = merge_close(list(intervals), 0)
    if merged and merged[-1].end >= n_rows:
        raise EvaluationError(
            f"Interval [{merged[-1].start}, {merged[-1].end}] lies outside the {n_rows} rows."
        )
    starts = np.array([i.start for i in merged], dtype=np.float64)
    return starts, np.array([i.end + 1 for i in merged], dtype=np.float64)


def _precision(
    starts: Floats, stops: Floats, start: float, stop: float, low: float, high: float
) -> float:
    """Mean over the predicted time of P(a random place of the zone is farther from the event)."""
    nearer_side = min(start - low, high - stop)

    def closer(distance: Floats) -> Floats:
        """Integral from 0 to ``distance`` of the time outside the event that lies closer."""
        reach = np.minimum(distance, nearer_side)
        return distance**2 / 2.0 + reach**2 / 2.0 + nearer_side * (distance - reach)

    inside = np.maximum(np.minimum(stops, stop) - np.maximum(starts, start), 0.0)
    outside = (stops - starts) - inside
    before = closer(np.maximum(start - starts, 0.0)) - closer(np.maximum(start - stops, 0.0))
    after = closer(np.maximum(stops - stop, 0.0)) - closer(np.maximum(starts - stop, 0.0))
    zone = high - low
    farther = outside * (1.0 - (stop - start) / zone) - (before + after) / zone
    return _share((inside + farther).sum() / (stops - starts).sum())


def _recall(
    starts: Floats, stops: Floats, start: float, stop: float, low: float, high: float
) -> float:
    """Mean over the event of P(a random place of the zone is farther than the predictions are)."""
    # Half-way between two predictions the nearest one changes. Time that runs backwards turns the
    # rows before a prediction into rows after it.
    middles = (stops[:-1] + starts[1:]) / 2.0
    inside = np.maximum(np.minimum(stops, stop) - np.maximum(starts, start), 0.0).sum()
    after = _beside(stops, np.append(middles, high), start, stop, low, high)
    before = _beside(-starts, -np.append(low, middles), -stop, -start, -high, -low)
    return _share((inside + after + before) / (stop - start))


def _share(value: float) -> float:
    return min(1.0, max(0.0, float(value)))  # rounding may step a hair outside


def _beside(
    edges: Floats, until: Floats, start: float, stop: float, low: float, high: float
) -> float:
    """Integral of the probability over the event's time between each edge and its ``until``.

    The nearest prediction of such a place ``y`` ends at the edge before it. Nearer than that lies
    the time ``y - edge`` before ``y`` and as much after it, unless the zone ends there.
    """
    turn = (edges + high) / 2.0

    def nearer(y: Floats) -> Floats:
        """Integral from the edge to ``y`` of the time that lies nearer."""
        early = np.minimum(y, turn)
        late = np.maximum(y, turn)
        return (
            (y - edges) ** 2 / 2.0
            + (early - edges) ** 2 / 2.0
            + ((high - turn) ** 2 - (high - late) ** 2) / 2.0
        )

    begin = np.maximum(edges, start)
    end = np.maximum(np.minimum(until, stop), begin)
    return float((end - begin - (nearer(end) - nearer(begin)) / (high - low)).sum())
