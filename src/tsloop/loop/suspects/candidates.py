"""The places worth a second look, each as a row of features without units.

A place is a labelled interval, or a *spot*: an unlabelled stretch that the detectors find as
strange as what people label. Features compare the scores inside a place with those of every other
place of that length in the series, with those beside it, and the values with their surroundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tsloop.annotations.checks.edges import change_near
from tsloop.detectors.edges import local_deviation
from tsloop.evaluation.decision import Decision
from tsloop.intervals import Interval
from tsloop.loop.suspects.evidence import Evidence

__all__ = ["Place", "better_place", "features", "spot_level", "spots"]

Scores = npt.NDArray[np.float64]

SPOT_QUANTILE = 0.25
"""A spot must be as strange as this share of the labelled events are not."""
SPOT_RATIO = 0.6
SPOT_GAP = 10
SAME_PLACE = 0.5
"""IoU from which an interval lies on its event."""
BETTER = 1.5
"""A better place has so many times the mean score."""
MAX_SPOTS = 8
"""Of one series, the strangest."""
_REACH = 1.5  # how far beside a place to look, in lengths of it
_MIN_REACH = 8
_LONGEST = 2000  # rows of a place that are looked at; longer ones are thinned


@dataclass(frozen=True, slots=True)
class Place:
    """Rows of the ``series``-th evidence; ``labelled`` or a spot."""

    series: int
    interval: Interval
    labelled: bool


def spot_level(evidence: Sequence[Evidence], labels: Sequence[Sequence[Interval]]) -> float:
    """The score from which an unlabelled stretch is a spot; 1 where nothing is labelled."""
    peaks = [
        float(item.blend[i.start : i.end + 1].max())
        for item, some in zip(evidence, labels, strict=True)
        for i in some
    ]
    return float(np.quantile(peaks, SPOT_QUANTILE)) if peaks else 1.0


def spots(item: Evidence, labels: Sequence[Interval], level: float) -> list[Interval]:
    """Unlabelled events of at least this level, the strangest first; none touches a label."""
    level = max(level, 1e-6)
    found = Decision(level, SPOT_RATIO * level, SPOT_GAP).apply(item.blend)
    free = [event for event in found if not any(event.overlap(label) for label in labels)]
    return sorted(free, key=lambda event: -(event.score or 0.0))[:MAX_SPOTS]


def better_place(item: Evidence, interval: Interval, level: float) -> Interval | None:
    """Where the event of an interval seems to lie, if that is near but not under the interval.

    That is where the values leave their course, or else where the scores are clearly higher and
    reach the ``level`` of a spot. Scores over windows are smeared: they see large shifts only.
    """
    bare = Interval(interval.start, interval.end, interval.label)
    change = change_near(item.values, interval)
    if change is not None:
        place = bare.replace(start=change[0], end=change[1])
        apart = max(interval.start - place.end, place.start - interval.end)
        if apart <= max(_MIN_REACH, round(_REACH * len(interval))):
            return place if place.iou(interval) < SAME_PLACE else None
    length, scores = len(interval), item.blend
    reach = max(_MIN_REACH, round(_REACH * length))
    means = _window_means(scores, length)
    low = max(0, interval.start - reach)
    start = low + int(np.argmax(means[low : interval.start + reach + 1]))
    gains = means[start] > BETTER * means[interval.start] + 1e-9
    if start == interval.start or not gains or scores[start : start + length].max() < level:
        return None
    return bare.replace(start=start, end=start + length - 1)


def features(item: Evidence, interval: Interval) -> Scores:
    """One row for the classifier; it depends on the place alone, not on what is labelled."""
    length = len(interval)
    reach = max(_MIN_REACH, round(_REACH * length))
    row = [float(np.log(length)), *_of_values(item.values, interval, reach)]
    for scores in item.scores:
        row += _of_scores(scores, interval, reach)
    return np.array(row)


def _of_scores(scores: Scores, interval: Interval, reach: int) -> list[float]:
    start, end = interval.start, interval.end
    length = len(interval)
    inside = scores[start : end + 1]
    beside = np.concatenate(
        (scores[max(0, start - reach) : start], scores[end + 1 : end + 1 + reach])
    )
    peak, mean = float(inside.max()), float(inside.mean())
    outside = float(beside.max()) if len(beside) else 0.0
    means = _window_means(scores, length)
    peaks = ndimage.maximum_filter1d(scores, min(length, len(scores)), mode="nearest")
    low, high = max(0, start - reach), min(len(means), start + reach + 1)
    best = int(np.argmax(means[low:high])) + low
    return [
        peak,
        mean,
        _rank(peaks, peak),
        _rank(means, mean),
        mean - (float(beside.mean()) if len(beside) else 0.0),
        outside - peak,
        float(means[best]) - mean,
        abs(best - start) / reach,
    ]


def _window_means(scores: Scores, length: int) -> Scores:
    """The mean over ``length`` rows from each row on, shape ``(n - length + 1,)``."""
    sums = np.concatenate(([0.0], np.cumsum(scores)))
    return np.asarray((sums[length:] - sums[:-length]) / length)


def _rank(all_places: Scores, own: float) -> float:
    """How rare it is to be as high, on a logarithmic scale: 0 is ordinary."""
    return -float(np.log((np.count_nonzero(all_places >= own - 1e-12) + 1) / (len(all_places) + 1)))


def _of_values(values: Scores, interval: Interval, reach: int) -> list[float]:
    start, end = interval.start, min(interval.end, interval.start + _LONGEST - 1)
    low, high = max(0, start - reach), min(len(values), end + 1 + reach)
    deviation = local_deviation(values, low, high - 1, 64)
    inside = deviation[start - low : end + 1 - low]
    beside = np.concatenate((deviation[: start - low], deviation[end + 1 - low :]))
    steps = np.abs(np.diff(values[low:high], prepend=values[low]))
    scale = float(np.median(steps)) + 1e-9 * (1.0 + float(np.abs(values).max()))
    at_edges = max(
        float(steps[max(0, edge - low - 1) : edge - low + 3].max(initial=0.0))
        for edge in (start, end)
    )
    return [
        float(np.log1p(inside.max())),
        float(np.mean(inside >= 3.0)),
        float(np.mean(beside >= 3.0)) if len(beside) else 0.0,
        float(np.log1p(at_edges / scale)),
    ]
