"""Isolation forest over window features: cheap, and blind to the order of events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.detectors.common import SignalDetector, usable_values
from tsloop.detectors.factory import check_at_least, check_choice
from tsloop.evaluation.thresholds import OBJECTIVES
from tsloop.series.types import Series
from tsloop.signals.features import point_features
from tsloop.signals.robust import squash

__all__ = ["ForestConfig", "ForestDetector"]


@dataclass(frozen=True)
class ForestConfig:
    """Settings of `ForestDetector`."""

    trees: int = 100
    """Isolation trees per series."""
    max_samples: int = 512
    """Rows that each tree is grown from, at most."""
    seed: int = 0
    """Every series gets the same seed, so that its scores do not depend on the others."""
    objective: str = "balanced"
    """What the threshold is chosen for: balanced, clicks or f1."""
    refine_edges: bool = True
    """Move the edges of found intervals to where the values themselves deviate."""

    def __post_init__(self) -> None:
        check_choice("forest.objective", self.objective, OBJECTIVES)
        check_at_least("forest.trees", self.trees, 1)
        check_at_least("forest.max_samples", self.max_samples, 2)


class ForestDetector(SignalDetector):
    """How quickly random cuts isolate a row's features from those of the series' other rows.

    A forest is grown on each series by itself (nothing to save), without a contamination: a share
    of rows fixed in advance would be flagged in a clean series too.
    """

    name = "forest"
    config_class = ForestConfig
    min_rows = 16

    def score(self, series: Series) -> npt.NDArray[np.float64]:
        """``z / (z + 6)`` of the robust z of the negative path-length score."""
        from sklearn.ensemble import IsolationForest

        config: ForestConfig = self.config
        features, _ = point_features(usable_values(series, self.min_rows))
        forest = IsolationForest(
            n_estimators=config.trees,
            max_samples=min(config.max_samples, len(features)),
            contamination="auto",
            random_state=config.seed,
        ).fit(features)
        return squash(-forest.score_samples(features))
