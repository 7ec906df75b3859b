"""How much flagged rows stand out from the rows around them: the predecessor's contrast score.

Its ``lb_eval`` called this number a confidence. It is none: it says how far the values of a segment
are from those beside it, and whether taking it out changes the distribution of the series. A short
spike never reaches more than about 70, an ordinary stretch still has about 7, and an anomaly within
the usual values (most of what people label in plants) scores low. So nothing here decides by it; it
is offered to compare with old results. From its description; equal to its numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.errors import EvaluationError
from tsloop.intervals import Interval, merge_close, to_mask

__all__ = ["Contrast", "contrast_summary", "segment_contrast"]

Values = npt.NDArray[np.float64]

MERGE_ROWS = 4
"""Segments with at most so many rows between them are scored as one."""
EDGE_SHARE = 0.03
"""Rows before and after a segment that it is compared with, as a share of the series."""
SUMMARY_NORM = 5


@dataclass(frozen=True, slots=True)
class Contrast:
    """One segment: first and last flagged row, ``score`` (about 1 to 100), and what it is made of.

    ``left`` and ``right`` are the distances to the rows beside it in standard deviations of the
    unflagged rows, ``p_value`` that of a Kolmogorov-Smirnov test of the series with and without it.
    """

    start: int
    end: int
    score: float
    p_value: float
    left: float
    right: float


def segment_contrast(values: Values, intervals: Sequence[Interval]) -> list[Contrast]:
    """The contrast of each segment of a series; missing samples (NaN) take no part.

    Intervals with up to four rows between them are one segment, of which only the flagged rows
    count. A segment without a value is left out; a series without an unflagged one is an error.
    """
    flagged = to_mask(intervals, len(values))
    known = ~np.isnan(values)
    quiet = values[known & ~flagged]
    if len(quiet) == 0 and len(intervals):
        raise EvaluationError("Every row is flagged: there is nothing to compare a segment with.")
    spread = float(np.std(quiet)) + 1e-6 if len(quiet) else 1.0
    out = []
    for segment in merge_close(list(intervals), MERGE_ROWS):
        own = np.zeros(len(values), dtype=bool)
        own[segment.start : segment.end + 1] = flagged[segment.start : segment.end + 1]
        own &= known
        if not own.any():
            continue
        left, right = _sides(values, own, known & ~flagged, segment, spread)
        p_value = _ks_p_value(values[known & ~own], values[known])
        score = _score((left + right) / 2.0, p_value)
        out.append(Contrast(segment.start, segment.end, score, p_value, left, right))
    return out


def contrast_summary(scores: Sequence[float]) -> float:
    """The mean by the 5-norm: ``(sum(s ** 5) / m) ** (1 / 5)``; 0 without a segment."""
    if not scores:
        return 0.0
    power = np.asarray(scores, dtype=np.float64) ** SUMMARY_NORM
    return float(np.mean(power) ** (1.0 / SUMMARY_NORM))


def _sides(
    values: Values,
    own: npt.NDArray[np.bool_],
    quiet: npt.NDArray[np.bool_],
    segment: Interval,
    spread: float,
) -> tuple[float, float]:
    """Distances to the mean of the unflagged rows before and after; a missing side copies."""
    reach = int(EDGE_SHARE * len(values))
    before = np.flatnonzero(quiet[: segment.start])[-reach:] if reach else np.empty(0, np.int64)
    after = segment.end + 1 + np.flatnonzero(quiet[segment.end + 1 :])[:reach]
    high, low = float(values[own].max()), float(values[own].min())
    found = []
    for rows in (before, after):
        mean = float(values[rows].mean()) if len(rows) else math.nan
        found.append(max(abs(mean - high), abs(mean - low)) / spread)
    left, right = found
    if math.isnan(left) and math.isnan(right):
        return 0.0, 0.0
    return (right if math.isnan(left) else left), (left if math.isnan(right) else right)


def _ks_p_value(rest: Values, whole: Values) -> float:
    from scipy.stats import ks_2samp

    if not len(rest):
        return 0.0
    with warnings.catch_warnings():  # where the exact p-value cannot be had, the asymptotic one is
        warnings.simplefilter("ignore")
        return float(ks_2samp(rest, whole).pvalue)


def _score(distance: float, p_value: float) -> float:
    a, b = _gompertz(distance), _gompertz(-math.log(p_value + 1e-12))
    weight = 0.2 * (math.log(1.0 + 25.0 * a - 25.0 * a * a) / (1.0 + 5.0 * a) - 1.0) + a / 2.0
    adjusted = 99.999 * (a * (1.0 - weight) + b * weight)
    return round(10.0 * math.log(1.0 + math.exp(adjusted / 10.0)), 2)


def _gompertz(x: float) -> float:
    return math.exp(-math.exp(min(50.0, 2.0 - x)))
