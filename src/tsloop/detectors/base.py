"""The contract that every detector keeps.

A detector is configured by a frozen dataclass (its ``config_class``), learns from labelled
examples, scores every row of a series in [0, 1], and turns scores into intervals by a decision rule
that it fitted itself. Nothing in the contract knows DVC, Hydra or MLflow.

- ``fit`` may be called with any number of examples, also none: then the detector uses its
  label-free rule. It never looks at gold. ``parent`` is a fitted detector of the same class to
  start from (incremental fine-tuning); detectors without weights may ignore it.
- ``score`` is deterministic, returns one finite float64 in [0, 1] per row, and does not need
  ``fit`` where the method is unsupervised. Missing samples get a score as well.
- ``detect`` never raises for a strange series: it answers ``failed`` with the reason.
- ``save`` writes a directory that is complete, deterministic (same detector, same bytes) and free
  of pickles; ``load`` of that directory gives a detector with equal scores and decisions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tsloop.annotations.examples import Example
from tsloop.errors import TsloopError
from tsloop.evaluation.thresholds import Decision
from tsloop.intervals import Detection, Interval
from tsloop.series.types import Series

__all__ = ["Detector", "Example", "Progress", "no_progress"]

Progress = Callable[[Mapping[str, float]], None]
"""Called during ``fit`` with flat finite figures, among them ``step``; a stage logs each call."""


def no_progress(figures: Mapping[str, float]) -> None:
    """A progress callback that does nothing."""


class Detector(ABC):
    """One way to find anomalies; see the module text for what each method promises."""

    name: ClassVar[str]
    """Short name, as in ``conf/detector/<name>.yaml``."""
    config_class: ClassVar[type[Any]]
    """Frozen dataclass of the detector's settings."""
    trainable: ClassVar[bool] = False
    """Whether ``fit`` changes more than the decision rule."""

    config: Any
    decision: Decision
    checkpoint_dir: Path | None = None
    """Where a long fit may leave what the same fit goes on from after a kill; ``None``: nowhere."""

    @abstractmethod
    def fit(
        self,
        examples: Sequence[Example],
        parent: Self | None = None,
        *,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> dict[str, float]:
        """Learn from the examples; returns flat finite figures (counts, losses, seconds)."""

    @abstractmethod
    def score(self, series: Series) -> npt.NDArray[np.float64]:
        """Anomaly score per row, shape ``(n,)``, in [0, 1]."""

    def detect(self, series: Series) -> Detection:
        """Intervals with score, label and reason, or ``none``, or ``failed`` with the reason."""
        return self.analyse(series)[0]

    def analyse(self, series: Series) -> tuple[Detection, npt.NDArray[np.float64] | None]:
        """`detect` and `score` in one pass; the scores are ``None`` where scoring failed."""
        try:
            scores = self.score(series)
            intervals = self.decision.apply(scores)
            return Detection.of(self.describe(series, scores, intervals)), scores
        except TsloopError as error:
            return Detection.failed(str(error)), None
        except (ArithmeticError, ValueError, IndexError, np.linalg.LinAlgError) as error:
            return Detection.failed(f"{type(error).__name__}: {error}"), None

    def describe(
        self,
        series: Series,
        scores: npt.NDArray[np.float64],
        intervals: Sequence[Interval],
    ) -> Sequence[Interval]:
        """Give the found intervals their label and reason; the default leaves them as they are."""
        return intervals

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write everything that `load` needs into an existing, empty directory."""

    @classmethod
    @abstractmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote; a foreign or damaged directory raises `ModelFileError`."""
