"""How sure a figure is: the bootstrap over groups.

Series of one machine or one KPI family fail and succeed together, so whole groups are drawn, never
single series or events. Every figure here is a function of counts that add up over series; a draw
is a weighting of the groups, and thousands of draws are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.errors import EvaluationError

__all__ = ["MIN_GROUPS", "Estimate", "Statistic", "group_bootstrap", "paired_bootstrap"]

Floats = npt.NDArray[np.float64]

Statistic = Callable[[Floats], Floats]
"""From summed counts, shape ``(draws, n_counts)``, to one figure per draw; NaN is undefined."""

MIN_GROUPS = 5
"""With fewer groups the draws hardly differ and an interval would claim too much."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; ``None`` where it is undefined or there are too few groups.

    ``std_error`` is the standard deviation over the draws; it is given from two groups on.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    std_error: float | None = None
    n_groups: int = 0

    @property
    def decided(self) -> bool:
        """Whether there is an interval at all."""
        return self.low is not None and self.high is not None


def group_bootstrap(
    counts: npt.NDArray[Any],
    groups: Sequence[str],
    statistic: Statistic,
    *,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    min_groups: int = MIN_GROUPS,
) -> Estimate:
    """Percentile interval of ``statistic(sum of counts)``; ``counts`` is ``(n_series, n_counts)``.

    The draws depend on the seed and on the sorted group names alone, so that figures of the same
    series are drawn alike.
    """
    per_group = _by_group(counts, groups)
    return _estimate(
        [per_group], lambda sums: statistic(sums[0]), n_bootstrap, confidence, seed, min_groups
    )


def paired_bootstrap(
    counts: npt.NDArray[Any],
    other: npt.NDArray[Any],
    groups: Sequence[str],
    statistic: Statistic,
    *,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    min_groups: int = MIN_GROUPS,
) -> Estimate:
    """Interval of ``statistic(counts) - statistic(other)``; row i of both is the same series."""
    if np.shape(counts) != np.shape(other):
        raise EvaluationError(
            f"Paired counts must be of the same series: {np.shape(counts)} and {np.shape(other)}."
        )
    pair = [_by_group(counts, groups), _by_group(other, groups)]
    return _estimate(
        pair,
        lambda sums: statistic(sums[0]) - statistic(sums[1]),
        n_bootstrap,
        confidence,
        seed,
        min_groups,
    )


def _by_group(counts: npt.NDArray[Any], groups: Sequence[str]) -> Floats:
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(groups):
        raise EvaluationError(
            f"Counts of shape {table.shape} do not fit {len(groups)} groups: one row per series."
        )
    names, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), table.shape[1]))
    np.add.at(sums, place, table)
    return sums


def _estimate(
    tables: list[Floats],
    statistic: Callable[[list[Floats]], Floats],
    n_bootstrap: int,
    confidence: float,
    seed: int,
    min_groups: int,
) -> Estimate:
    if n_bootstrap < 1 or not 0.0 < confidence < 1.0:
        raise EvaluationError(
            f"A bootstrap needs n_bootstrap >= 1 and 0 < confidence < 1, "
            f"got {n_bootstrap} and {confidence}."
        )
    n_groups = len(tables[0])
    whole = statistic([table.sum(axis=0, keepdims=True) for table in tables])[0]
    value = float(whole) if np.isfinite(whole) else None
    if value is None or n_groups < 2:
        return Estimate(value, n_groups=n_groups)
    chance = np.full(n_groups, 1.0 / n_groups)
    weights = np.random.default_rng(seed).multinomial(n_groups, chance, size=n_bootstrap)
    draws = statistic([weights.astype(np.float64) @ table for table in tables])
    draws = draws[np.isfinite(draws)]  # a draw without any event says nothing
    if not len(draws):
        return Estimate(value, n_groups=n_groups)
    error = float(draws.std())
    if n_groups < min_groups:
        return Estimate(value, std_error=error, n_groups=n_groups)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high), error, n_groups)
