"""Where in a series a stretch looks like a given one: Mueen's similarity search (MASS).

The z-normalised Euclidean distance of a query to every window of a series, by one FFT:
``d² = 2 m (1 - (Q·T - m μ_Q μ_T) / (m σ_Q σ_T))``. Source: Mueen et al., "The fastest similarity
search algorithm for time series subsequences under Euclidean distance" (2017); the formula is that
of Yeh et al., "Matrix Profile I" (ICDM 2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal

__all__ = ["best_matches", "mass"]

_FLAT = 1e-4
"""Windows whose spread is below this share of the series' own have no shape to compare."""

Floats = npt.NDArray[np.float64]


def mass(query: npt.NDArray[np.floating[Any]], x: npt.NDArray[np.floating[Any]]) -> Floats:
    """Distances, shape ``(len(x) - len(query) + 1,)``, in ``[0, 2 sqrt(m)]``; empty if too short.

    Windows with a missing value (NaN) are infinitely far. A flat window has no shape: it is at
    distance 0 from a flat query and ``sqrt(m)`` (uncorrelated) from any other.
    """
    m = len(query)
    n = len(x)
    if m == 0 or n < m:
        return np.empty(0)
    missing = np.isnan(x)
    finite = x[~missing]
    centre, spread = (float(finite.mean()), float(finite.std())) if len(finite) else (0.0, 0.0)
    scale = spread or 1.0
    # Centred and scaled first: sums of squares of large levels would lose the shape.
    values = np.where(missing, 0.0, (x - centre) / scale)
    asked = (np.asarray(query, dtype=np.float64) - float(np.mean(query))) / scale
    std = _moving_std(values, m)
    products = signal.oaconvolve(values, asked[::-1], mode="valid")
    query_std = float(np.std(asked))
    flat = std <= _FLAT
    query_flat = query_std <= _FLAT
    correlation = np.zeros(n - m + 1)
    if query_flat:
        correlation[flat] = 1.0
    else:
        np.divide(products, m * query_std * std, out=correlation, where=~flat)
    squared = 2.0 * m * (1.0 - np.clip(correlation, -1.0, 1.0))
    if query_flat:
        squared[~flat] = m
    else:
        squared[flat] = m
    distances = np.sqrt(np.maximum(squared, 0.0))
    distances[_moving_count(missing, m) > 0] = np.inf
    return distances


def best_matches(distances: Floats, width: int, limit: int) -> list[tuple[int, float]]:
    """Up to ``limit`` ``(start, distance)``, nearest first, sharing at most half of their rows."""
    left = distances.copy()
    found: list[tuple[int, float]] = []
    reach = max(1, width // 2)
    while len(found) < limit and len(left):
        start = int(np.argmin(left))
        if not np.isfinite(left[start]):
            break
        found.append((start, float(left[start])))
        left[max(0, start - reach) : start + reach + 1] = np.inf
    return found


def _moving_std(values: Floats, m: int) -> Floats:
    """Standard deviation of every window, from cumulative sums."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    squares = np.concatenate(([0.0], np.cumsum(values * values)))
    mean = (sums[m:] - sums[:-m]) / m
    variance = (squares[m:] - squares[:-m]) / m - mean * mean
    return np.sqrt(np.maximum(variance, 0.0))


def _moving_count(mask: npt.NDArray[np.bool_], m: int) -> npt.NDArray[np.int64]:
    counts = np.concatenate(([0], np.cumsum(mask, dtype=np.int64)))
    return counts[m:] - counts[:-m]
