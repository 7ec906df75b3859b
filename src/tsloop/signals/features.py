"""Point features at several scales, for models that classify rows.

All features are centred so that none knows where in the series a row stands or how large its values
are in physical units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import fft, ndimage

from tsloop.signals.period import detect_period
from tsloop.signals.robust import robust_scale, robust_z

__all__ = ["SCALES", "fft_residual", "point_features", "rolling_median", "seasonal_residual"]

SCALES = (4, 8, 16, 32, 64)
"""Half-open rolling windows, in rows."""

_CLIP = 50.0  # robust sigmas; a tree needs no more, and float32 stays exact enough
_MAX_SEASONS = 400

Rows = npt.NDArray[np.float64]


def point_features(
    x: npt.NDArray[np.floating[Any]],
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Features of every row, shape ``(n, f)``, and their names; ``x`` is finite, shape ``(n,)``.

    Robust value and rank; differences; rolling mean, spread, range and left-against-right shifts at
    five scales; deviation from rolling medians; residuals of a seasonal and of a low-frequency
    Fourier fit with their local power. The list of names does not depend on the data.
    """
    n = len(x)
    z = np.clip(robust_z(x), -_CLIP, _CLIP)
    columns: dict[str, Rows] = {"z": z, "abs_z": np.abs(z), "rank": _ranks(z)}
    for lag in (1, 2, 5):
        step = np.zeros(n)
        step[lag:] = z[lag:] - z[: n - lag] if n > lag else 0.0
        columns[f"diff{lag}"] = step
        ahead = np.zeros(n)
        ahead[: n - lag] = step[lag:] if n > lag else 0.0
        columns[f"ahead{lag}"] = ahead
    noise = robust_scale(columns["diff1"])[1]
    columns["diff_sigmas"] = np.clip(np.abs(columns["diff1"]) / noise, 0.0, _CLIP)
    for width in SCALES:
        _add_rolling(columns, z, width)
    for width in (9, 33, 129):
        columns[f"median_gap{width}"] = z - rolling_median(z, width)
    for name, rest in (("season", seasonal_residual(z)), ("fft", fft_residual(z))):
        scaled = np.clip(robust_z(rest), -_CLIP, _CLIP)
        columns[f"{name}_z"] = scaled
        for width in (8, 32):
            columns[f"{name}_rms{width}"] = np.sqrt(np.maximum(_mean(scaled**2, width), 0.0))
    columns["flat"] = _flat_run(z)
    table = np.column_stack([np.asarray(c, dtype=np.float32) for c in columns.values()])
    return np.nan_to_num(table, copy=False), list(columns)


def rolling_median(x: Rows, width: int) -> Rows:
    """Centred rolling median over ``width`` rows; edges repeat the border value."""
    width = min(width, max(1, 2 * (len(x) // 2) - 1))
    half = width // 2
    wide = pd.Series(np.pad(x, half, mode="edge")).rolling(2 * half + 1).median()
    return wide.to_numpy()[2 * half :]


def seasonal_residual(x: Rows, period: int | None = None) -> Rows:
    """What is left after the median of each phase of the period is taken away.

    Without a period (given or found), what is left after the median of the whole series.
    """
    n = len(x)
    period = detect_period(x) if period is None else period
    if not period or n < 2 * period:
        return x - np.median(x)
    cycles = -(-n // period)
    folded = np.full(cycles * period, np.nan)
    folded[:n] = x
    profile = np.nanmedian(folded.reshape(cycles, period)[:_MAX_SEASONS], axis=0)
    rest = x - np.resize(profile, n)
    return rest - np.median(rest)


def fft_residual(x: Rows, keep: float = 0.01) -> Rows:
    """What is left after the lowest frequencies (a share ``keep`` of them) are taken away."""
    n = len(x)
    pad = min(n - 1, 256)
    wide = np.pad(x, pad, mode="reflect", reflect_type="odd") if pad > 0 else x
    spectrum = fft.rfft(wide)
    spectrum[max(2, round(keep * len(spectrum))) :] = 0.0
    smooth = fft.irfft(spectrum, len(wide))[pad : pad + n]
    return np.asarray(x - smooth)


def _add_rolling(columns: dict[str, Rows], z: Rows, width: int) -> None:
    mean = _mean(z, width)
    spread = np.sqrt(np.maximum(_mean(z**2, width) - mean**2, 0.0))
    top = ndimage.maximum_filter1d(z, width, mode="nearest")
    bottom = ndimage.minimum_filter1d(z, width, mode="nearest")
    left, right = _before_after(z, width)
    columns[f"mean{width}"] = mean
    columns[f"gap{width}"] = z - mean
    columns[f"std{width}"] = spread
    columns[f"range{width}"] = top - bottom
    columns[f"shift{width}"] = right - left
    columns[f"left{width}"] = z - left
    columns[f"right{width}"] = z - right
    columns[f"place{width}"] = (z - bottom) / np.maximum(top - bottom, 1e-6)
    spread_left, spread_right = _before_after((z - mean) ** 2, width)
    columns[f"power_ratio{width}"] = np.log((spread_right + 1e-4) / (spread_left + 1e-4))


def _mean(x: Rows, width: int) -> Rows:
    """Centred rolling mean; edges repeat the border value."""
    return np.asarray(ndimage.uniform_filter1d(x, width, mode="nearest"))


def _before_after(x: Rows, width: int) -> tuple[Rows, Rows]:
    """Means of the ``width`` rows before each row and of the ``width`` rows from it on."""
    padded = np.pad(x, width, mode="edge")
    total = np.concatenate(([0.0], np.cumsum(padded)))
    means = (total[width:] - total[:-width]) / width
    return means[: len(x)], means[width : width + len(x)]


def _ranks(z: Rows) -> Rows:
    """Rank of each value among all, in [0, 1]; equal values share the middle of their ranks."""
    ordered = np.sort(z)
    low = np.searchsorted(ordered, z, side="left")
    high = np.searchsorted(ordered, z, side="right")
    return (low + high) / (2.0 * max(1, len(z)))


def _flat_run(z: Rows) -> Rows:
    """Log of the length of the run of equal values around each row."""
    changes = np.flatnonzero(np.diff(z) != 0.0) + 1
    edges = np.concatenate(([0], changes, [len(z)]))
    return np.repeat(np.log(np.maximum(np.diff(edges), 1)), np.diff(edges))
