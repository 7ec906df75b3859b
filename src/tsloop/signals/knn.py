"""How far each stretch of a series is from the most similar other stretches of the same series.

The strongest detector without labels that we know of on monitoring data: the distance of each raw
window to its k-th nearest other window. Windows are scaled by one robust scale for the whole series
and *not* normalised one by one, so that level and size of a deviation count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.signals.period import detect_period
from tsloop.signals.robust import robust_z

__all__ = ["DEFAULT_WINDOW", "MAX_PERIOD_WINDOW", "knn_distance", "knn_window"]

DEFAULT_WINDOW = 32
MIN_PERIOD_WINDOW = 4
MAX_PERIOD_WINDOW = 125

_BLOCK = 512  # query windows per matrix product: bounds the memory to a few MB
_GROUPS = 64  # references are split into so many groups to find a bound for the k-th nearest
_MAX_CANDIDATES = 64
_MAX_Z = 1e4  # beyond this many sigmas, float32 distances would lose the ordinary windows


def knn_window(x: npt.NDArray[np.floating[Any]]) -> int:
    """Window length for a series: its period where that lies in 4..125 samples, else 32.

    Never more than a quarter of the series (and at least 1).
    """
    period = detect_period(x, MIN_PERIOD_WINDOW, MAX_PERIOD_WINDOW)
    return max(1, min(period or DEFAULT_WINDOW, len(x) // 4))


def knn_distance(
    x: npt.NDArray[np.floating[Any]],
    window: int | None = None,
    k: int = 5,
    max_references: int = 4000,
) -> npt.NDArray[np.float64]:
    """Raw distances per row, shape ``(n,)``, zero or larger; larger is stranger.

    ``x`` is finite, shape ``(n,)``. Each window is compared with at most ``max_references`` evenly
    spaced windows that share less than half of their rows with it; its distance is that to the
    ``k``-th nearest, per square root of the window length. A row gets the mean over the windows
    that cover it. Where fewer than ``k`` windows can be compared, the farthest of them counts, and
    a series too short for any comparison gets zeros. Long windows are taken at every
    ``window // 32``-th row. Same input, same output.
    """
    n = len(x)
    width = knn_window(x) if window is None else max(1, min(window, n))
    if n - width + 1 < 2:
        return np.zeros(n)
    values = np.clip(robust_z(x), -_MAX_Z, _MAX_Z).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    stride = max(1, width // DEFAULT_WINDOW)
    starts = np.unique(np.append(np.arange(0, len(windows), stride), len(windows) - 1))
    n_references = min(len(windows), max_references)
    references = np.unique(np.round(np.linspace(0, len(windows) - 1, n_references)).astype(int))
    squared = _kth_squared_distance(windows, starts, references, k, max(1, (width + 1) // 2))
    return spread_over_rows(np.sqrt(squared / width), starts, width, n)


def spread_over_rows(
    per_window: npt.NDArray[np.float64],
    starts: npt.NDArray[np.int64],
    width: int,
    n: int,
) -> npt.NDArray[np.float64]:
    """Mean over the windows ``starts[i]..starts[i]+width-1`` that cover each of ``n`` rows."""
    total = np.zeros(n + 1)
    count = np.zeros(n + 1)
    np.add.at(total, starts, per_window)
    np.add.at(total, starts + width, -per_window)
    np.add.at(count, starts, 1.0)
    np.add.at(count, starts + width, -1.0)
    covered = np.cumsum(count)[:n]
    # Cumulative sums leave rounding errors of either sign: a distance is never below zero.
    return np.maximum(np.cumsum(total)[:n], 0.0) / np.maximum(covered, 1.0)


def _kth_squared_distance(
    windows: npt.NDArray[np.float32],
    starts: npt.NDArray[np.int64],
    references: npt.NDArray[np.int64],
    k: int,
    exclusion: int,
) -> npt.NDArray[np.float64]:
    """Squared distance of each query window to its k-th nearest admissible reference."""
    # Padded to whole groups with references that are infinitely far away.
    padded = -(-len(references) // _GROUPS) * _GROUPS
    book = np.zeros((padded, windows.shape[1]), dtype=np.float32)
    book[: len(references)] = windows[references]
    half_norm = np.full(padded, np.inf, dtype=np.float32)
    half_norm[: len(references)] = 0.5 * np.einsum(
        "ij,ij->i", book[: len(references)], book[: len(references)]
    )
    turned = np.ascontiguousarray(book.T)
    out = np.empty(len(starts))
    for begin in range(0, len(starts), _BLOCK):
        rows = starts[begin : begin + _BLOCK]
        queries = np.ascontiguousarray(windows[rows])
        half = half_norm - queries @ turned
        first = np.searchsorted(references, rows - exclusion, side="right")
        last = np.searchsorted(references, rows + exclusion, side="left")
        for line, (low, high) in enumerate(zip(first, last, strict=True)):
            half[line, low:high] = np.inf
        kth = _kth_smallest(half, k)
        norms = np.einsum("ij,ij->i", queries, queries)
        out[begin : begin + len(rows)] = np.maximum(2.0 * kth + norms, 0.0)
    return out


def _kth_smallest(matrix: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.float32]:
    """The k-th smallest of each line; the largest finite one where fewer are finite, else 0.

    Smallest values of groups bound the k-th smallest of all, so that only a handful of candidates
    per line must be sorted: some twenty times faster than partitioning the whole line.
    """
    lines, width = matrix.shape
    if k < _GROUPS:
        lowest = matrix.reshape(lines, width // _GROUPS, _GROUPS).min(axis=1)
        bound = np.partition(lowest, k - 1, axis=1)[:, k - 1]
    else:
        bound = np.full(lines, np.inf, dtype=np.float32)
    candidates = matrix <= bound[:, None]
    counts = np.count_nonzero(candidates, axis=1)
    out = np.empty(lines, dtype=np.float32)
    few = np.isfinite(bound) & (counts <= _MAX_CANDIDATES)
    picked = np.flatnonzero(few)
    if len(picked):
        line, column = np.nonzero(candidates[picked])
        place = np.arange(len(line)) - np.concatenate(([0], np.cumsum(counts[picked])[:-1]))[line]
        table = np.full((len(picked), _MAX_CANDIDATES), np.inf, dtype=np.float32)
        table[line, place] = matrix[picked[line], column]
        out[picked] = np.partition(table, k - 1, axis=1)[:, k - 1]
    for row in np.flatnonzero(~few):
        finite = np.sort(matrix[row][np.isfinite(matrix[row])])
        out[row] = finite[min(k, len(finite)) - 1] if len(finite) else 0.0
    return out
