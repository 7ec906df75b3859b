"""What detectors that did not learn from a series say of it: evidence on its labels.

Each detector is fitted on all examples and asked for its scores out of fold. Folds are dealt by
series here, not by group: the question is whether the labels of one series fit to all others, also
to those of the same machine, and a team's habits show there best.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.annotations.examples import Example
from tsloop.detectors.common import LocatingDetector
from tsloop.detectors.factory import build, config_of
from tsloop.errors import ConfigError, TsloopError
from tsloop.series.types import Series

__all__ = ["DEFAULT_DETECTORS", "Evidence", "gather"]

DEFAULT_DETECTORS = ("knn", "boosting:blend=false")
"""One that needs no labels, and one that learns from them; see `tsloop.detectors.factory`."""

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """One labelled series, its finite values ``(n,)``, and scores ``(n,)`` of each detector."""

    example: Example
    values: Scores
    scores: tuple[Scores, ...]

    @property
    def blend(self) -> Scores:
        """The mean of the scores: where the detectors together see an event."""
        return np.asarray(np.mean(self.scores, axis=0))


def gather(
    examples: Sequence[Example],
    *,
    detectors: Sequence[str] = DEFAULT_DETECTORS,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Evidence]:
    """The examples that every detector could score, in their order; the others are left out."""
    alone = [
        dataclasses.replace(example, series=_ungrouped(example.series)) for example in examples
    ]
    found: dict[str, list[Scores]] = {example.series.id: [] for example in examples}
    for done, name in enumerate(detectors):
        if progress is not None:
            progress(done, len(detectors), name)
        detector = build(config_of(name))
        if not isinstance(detector, LocatingDetector):
            raise ConfigError(f"suspects.detectors: {name!r} has no scores out of fold.")
        detector.fit(alone, seed=seed)
        for example, scores in detector.held_out:
            if len(scores) == len(example.series):
                found[example.series.id].append(np.asarray(scores, dtype=np.float64))
    return [
        Evidence(example, _filled(example.series), tuple(found[example.series.id]))
        for example in examples
        if len(found[example.series.id]) == len(detectors)
    ]


def _ungrouped(series: Series) -> Series:
    return dataclasses.replace(series, group=series.id)


def _filled(series: Series) -> Scores:
    try:
        return series.filled()
    except TsloopError:  # pragma: no cover - what was scored has values
        return np.zeros(len(series))
