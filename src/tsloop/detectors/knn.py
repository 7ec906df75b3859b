"""Sub-sequence nearest-neighbour distance: the detector to beat where there are few labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.detectors.common import SignalDetector, usable_values
from tsloop.detectors.factory import check_at_least, check_choice
from tsloop.evaluation.thresholds import OBJECTIVES
from tsloop.series.types import Series
from tsloop.signals.knn import knn_distance
from tsloop.signals.robust import squash

__all__ = ["KnnConfig", "KnnDetector"]


@dataclass(frozen=True)
class KnnConfig:
    """Settings of `KnnDetector`."""

    window: int | None = None
    """Rows per window; None: the series' period where it lies in 4..125 rows, else 32."""
    neighbours: int = 5
    """A window is as strange as its distance to this-nearest other window."""
    max_references: int = 4000
    """At most so many windows to compare with; time and memory grow with it."""
    objective: str = "balanced"
    """What the threshold is chosen for: balanced, clicks or f1."""
    refine_edges: bool = True
    """Move the edges of found intervals to where the values themselves deviate."""

    def __post_init__(self) -> None:
        check_choice("knn.objective", self.objective, OBJECTIVES)
        check_at_least("knn.neighbours", self.neighbours, 1)
        check_at_least("knn.max_references", self.max_references, 16)
        if self.window is not None:
            check_at_least("knn.window", self.window, 2)


class KnnDetector(SignalDetector):
    """Distance of each raw window to its k-th nearest other window of the same series.

    ``config`` is a `KnnConfig`; see `tsloop.signals.knn` for the method.
    """

    name = "knn"
    config_class = KnnConfig
    min_rows = 16

    def score(self, series: Series) -> npt.NDArray[np.float64]:
        """``z / (z + 6)`` of the robust z of the distances within the series."""
        config: KnnConfig = self.config
        values = usable_values(series, self.min_rows)
        return squash(knn_distance(values, config.window, config.neighbours, config.max_references))
