"""Overlapping windows over a long series, and their blending back into one value per place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["blend", "triangle", "window_starts"]


def window_starts(n: int, window: int, stride: int) -> list[int]:
    """First places of windows that cover ``0..n-1``; the last one ends with the series.

    A series shorter than a window gets one window, which the caller pads.
    """
    if n <= window:
        return [0]
    return [*range(0, n - window, stride), n - window]


def triangle(window: int) -> npt.NDArray[np.float64]:
    """Weights of a window's places: highest in the middle, positive at the edges."""
    rising = np.arange(1, window + 1, dtype=np.float64)
    return np.minimum(rising, rising[::-1]) / ((window + 1) // 2)


def blend(parts: npt.NDArray[np.float32], starts: Sequence[int], n: int) -> npt.NDArray[np.float64]:
    """Weighted mean of overlapping windows.

    ``parts`` has shape ``(len(starts), window, ...)``; the result ``(n, ...)``. What a window says
    of places beyond the series (padding) is ignored.
    """
    window = parts.shape[1]
    weights = triangle(window)
    extra = (1,) * (parts.ndim - 2)
    total = np.zeros((n, *parts.shape[2:]))
    mass = np.zeros(n)
    for part, start in zip(parts, starts, strict=True):
        stop = min(start + window, n)
        used = weights[: stop - start]
        total[start:stop] += part[: stop - start] * used.reshape(-1, *extra)
        mass[start:stop] += used
    return total / mass.reshape(-1, *extra)
