"""What costs nothing, for every table: a detector that does not beat these is not one.

Each answers like a detector: the detection, and one score in [0, 1] per row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tsloop.errors import SeriesError
from tsloop.evaluation.decision import Decision
from tsloop.intervals import Detection
from tsloop.series.types import Series
from tsloop.signals.robust import SIGMAS_AT_HALF, robust_z

__all__ = ["predict_nothing", "random_scores", "value_threshold"]

Floats = npt.NDArray[np.float64]

RANDOM_SHARE = 0.01
"""Share of the rows that the random baseline flags."""


def predict_nothing(n_rows: int) -> tuple[Detection, Floats]:
    """Always "none", every score zero: the reviewer labels from nothing."""
    return Detection.of(()), np.zeros(n_rows)


def random_scores(n_rows: int, seed: int = 0) -> tuple[Detection, Floats]:
    """Independent uniform scores; one row in a hundred is flagged."""
    scores = np.random.default_rng(seed).random(n_rows)
    level = 1.0 - RANDOM_SHARE
    return Detection.of(Decision(hi=level, lo=level).apply(scores)), scores


def value_threshold(series: Series) -> tuple[Detection, Floats | None]:
    """Rows whose value lies six robust sigmas from the median; fails without a single value."""
    try:
        distance = np.abs(robust_z(series.filled()))
    except SeriesError as error:
        return Detection.failed(str(error)), None
    scores = distance / (distance + SIGMAS_AT_HALF)
    return Detection.of(Decision(hi=0.5, lo=0.5).apply(scores)), scores
