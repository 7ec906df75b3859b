"""Reduced views: few rows that show what many rows show, and where each of them comes from.

M4 keeps the first, lowest, highest and last row of every bucket, which is all that a line drawing
of that width can show. The plain method hides gaps that are shorter than a bucket, and its
NaN-aware variant gives up the extremes of a bucket with a gap; a view here is the union of both,
with the edges of every gap, so neither a spike nor a gap of one row is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.errors import SeriesError
from tsloop.series.types import Series

__all__ = ["SAMPLER", "ReducedView", "m4_positions", "reduce_series"]

SAMPLER = "nan-m4/1"
"""Name and version of the method, recorded with every stored view."""


@dataclass(frozen=True, eq=False)
class ReducedView:
    """Some rows of a series, all arrays of one length.

    ``positions`` are rows of the stored series, strictly increasing, so an interval of the view
    maps back exactly: view rows ``[s, e]`` are stored rows ``[positions[s], positions[e]]``.
    """

    positions: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.positions)


def m4_positions(values: npt.NDArray[np.float64], n_out: int) -> npt.NDArray[np.int64]:
    """Rows to show, strictly increasing, the first and the last row among them.

    ``n_out`` is a multiple of 4; a series of at most ``n_out`` rows is returned whole. Otherwise
    there are ``n_out / 4`` buckets, and beside their extremes the rows just outside and just inside
    every gap: up to ``n_out`` gaps keep both edges, of more gaps one row per bucket is shown, so
    there are never more than ``6 * n_out`` rows.
    """
    if n_out < 4 or n_out % 4:
        raise SeriesError(
            f"A reduced view of {n_out} points is not possible.",
            hint="Ask for a positive multiple of 4.",
        )
    n_rows = len(values)
    if n_rows <= n_out:
        return np.arange(n_rows, dtype=np.int64)
    import tsdownsample

    plain: Any = tsdownsample.M4Downsampler
    nan_aware: Any = tsdownsample.NaNM4Downsampler
    values = np.ascontiguousarray(values, dtype=np.float64)
    parts = [
        np.array([0, n_rows - 1]),
        plain().downsample(values, n_out=n_out),
    ]
    missing = np.isnan(values)
    if missing.any():
        parts.append(nan_aware().downsample(values, n_out=n_out))
        edges = np.flatnonzero(missing[1:] != missing[:-1])
        if len(edges) <= 2 * n_out:
            parts += [edges, edges + 1]
    return np.unique(np.concatenate(parts).astype(np.int64))


def reduce_series(series: Series, n_out: int) -> ReducedView:
    """The view of a series with about ``n_out`` points (see `m4_positions`)."""
    positions = m4_positions(series.values, n_out)
    return ReducedView(positions, series.timestamps[positions], series.values[positions])
