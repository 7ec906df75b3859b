"""How far each stretch of a series is from the most similar other stretches of the same series.

The strongest detector without labels that we know of on monitoring data: the distance of each raw
window to its k-th nearest other window. Windows are scaled by one robust scale for the whole series
and *not* normalised one by one, so that level and size of a deviation count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.signals.kept import kept
from tsloop.signals.period import detect_period
from tsloop.signals.robust import robust_z

__all__ = ["DEFAULT_WINDOW", "MAX_PERIOD_WINDOW", "knn_distance", "knn_window"]

DEFAULT_WINDOW = 32
MIN_PERIOD = 4
MIN_WINDOW = 24
MAX_PERIOD_WINDOW = 125

_BLOCK = 512  # query windows per matrix product: bounds the memory to a few MB
_GROUPS = 128  # references are split into so many groups, of which only k are searched
_MAX_Z = 1e4  # beyond this many sigmas, float32 distances would lose the ordinary windows


def knn_window(x: npt.NDArray[np.floating[Any]]) -> int:
    """Window length for a series: its period where that is at most 125 samples, else 32.

    A period shorter than 24 samples counts as often as needed to reach them: shorter windows rank
    worse on every collection we tried. Never more than a quarter of the series (and at least 1).
    """
    period = detect_period(x, MIN_PERIOD)
    window = DEFAULT_WINDOW
    if period is not None and period <= MAX_PERIOD_WINDOW:
        window = period * -(-MIN_WINDOW // period)
    return max(1, min(window, len(x) // 4))


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
    ``window // 32``-th row. Same input, same output; read back where `tsloop.signals.kept` has it.
    """
    settings = (window, k, max_references)
    return kept("knn", x, settings, lambda: _knn_distance(x, *settings))


def _knn_distance(
    x: npt.NDArray[np.floating[Any]], window: int | None, k: int, max_references: int
) -> npt.NDArray[np.float64]:
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
    # |q - r|^2 = |q|^2 + 2 (|r|^2 / 2 - q.r): the bracket is one matrix product with an extra
    # column. The book is padded to whole groups with references that are infinitely far away.
    chosen = windows[references]
    book = np.zeros((windows.shape[1] + 1, -(-len(references) // _GROUPS) * _GROUPS), np.float32)
    book[:-1, : len(references)] = -chosen.T
    book[-1] = np.inf
    book[-1, : len(references)] = 0.5 * np.einsum("ij,ij->i", chosen, chosen)
    out = np.empty(len(starts))
    for begin in range(0, len(starts), _BLOCK):
        rows = starts[begin : begin + _BLOCK]
        queries = np.ones((len(rows), windows.shape[1] + 1), np.float32)
        queries[:, :-1] = windows[rows]
        half = queries @ book
        first = np.searchsorted(references, rows - exclusion, side="right")
        last = np.searchsorted(references, rows + exclusion, side="left")
        for line, (low, high) in enumerate(zip(first, last, strict=True)):
            half[line, low:high] = np.inf
        kth = _kth_smallest(half, k)
        norms = np.einsum("ij,ij->i", queries, queries) - 1.0
        out[begin : begin + len(rows)] = np.maximum(2.0 * kth + norms, 0.0)
    return out


def _kth_smallest(matrix: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.float32]:
    """The k-th smallest of each line; the largest finite one where fewer are finite, else 0.

    The k smallest values lie in the k groups of columns with the smallest minima, so that only
    those are searched: some ten times faster than partitioning whole lines.
    """
    lines, width = matrix.shape
    groups = matrix.reshape(lines, width // _GROUPS, _GROUPS)
    candidates = matrix
    if k < _GROUPS:
        nearest = np.argpartition(groups.min(axis=1), k - 1, axis=1)[:, :k]
        candidates = groups[np.arange(lines)[:, None], :, nearest].reshape(lines, -1)
    kth = min(k, candidates.shape[1]) - 1
    out = np.partition(candidates, kth, axis=1)[:, kth]
    for line in np.flatnonzero(~np.isfinite(out)):
        finite = matrix[line][np.isfinite(matrix[line])]
        out[line] = finite.max() if len(finite) else 0.0
    return out
