"""Input channels: what the encoder sees of each sample.

Besides the value itself (value-preserving as in ChatTS: centred, and scaled down only where it
leaves ±3), the model gets evidence that a small network cannot compute from 1,024 rows: robust
position in the whole series, rolling statistics at several scales, the seasonal residual and the
distance of each window to its nearest neighbours. All of it is compressed by ``asinh``, so that a
spike of a thousand sigmas stays a number a network can use.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.series.types import Series
from tsloop.signals.knn import knn_distance
from tsloop.signals.period import detect_period
from tsloop.signals.robust import robust_scale, robust_z

__all__ = ["CHANNELS", "SCALES", "ChannelSet", "clear_cache", "compute_channels", "series_channels"]

Floats = npt.NDArray[np.float64]

SCALES = (4, 16, 64, 256)
"""Rolling windows, in rows."""

CHANNELS: tuple[str, ...] = (
    "value",
    "robust_z",
    "rank",
    "window_z",
    "difference",
    "second_difference",
    "seasonal_residual",
    "local_std",
    "flat_run",
    "missing",
    "knn",
    "difference_rms",
    "highpass_rms",
    *(f"{kind}_{scale}" for scale in SCALES for kind in ("deviation", "shift", "spread")),
)
"""Names of the channels, in order; a checkpoint records them and refuses others."""

_CACHE_BYTES = 256 * 2**20
_MIN_KNN_ROWS = 32


@dataclass(frozen=True, eq=False)
class ChannelSet:
    """``channels`` float32 ``(n, len(CHANNELS))``; ``knn_z`` float64 ``(n,)``, sigmas >= 0."""

    channels: npt.NDArray[np.float32]
    knn_z: Floats


def compute_channels(values: Floats) -> ChannelSet:
    """Channels of one series; NaN marks missing samples and at least one value must be finite."""
    missing = np.isnan(values)
    rows = np.arange(len(values))
    x = np.interp(rows, rows[~missing], values[~missing]) if missing.any() else values
    x = x.astype(np.float64)
    center, scale = robust_scale(x)
    z = (x - center) / scale
    noise = robust_scale(z - _Rolling(z).mean(5))[1]
    rolling = _Rolling(z)
    step = np.diff(z, prepend=z[:1])
    step_scale = robust_scale(step)[1]
    knn_z = np.zeros(len(x))
    if len(x) >= _MIN_KNN_ROWS:
        knn_z = np.clip(robust_z(knn_distance(x)), 0.0, None)
    long_mean, long_std = rolling.mean(257), rolling.std(257)
    columns = [
        _value_preserving(x),
        z,
        2.0 * _ranks(x) - 1.0,
        (z - long_mean) / (long_std + 1e-3),
        step / step_scale,
        np.diff(step, append=step[-1:]) / step_scale,
        _seasonal_residual(z),
        _log_ratio(rolling.std(9)),
        np.log1p(_flat_run(x)) / 3.0,
        missing.astype(np.float64),
        knn_z,
        _log_ratio(np.sqrt(_Rolling(step * step).mean(32))),
        _log_ratio(np.sqrt(_Rolling(_highpass(z) ** 2).mean(32))),
    ]
    for width in SCALES:
        columns.append((z - rolling.mean(2 * width + 1)) / noise)
        columns.append(rolling.shift(width) / noise)
        columns.append(_log_ratio(rolling.std(2 * width + 1)))
    stacked = np.arcsinh(np.clip(np.column_stack(columns), -1e6, 1e6))
    return ChannelSet(np.ascontiguousarray(stacked, dtype=np.float32), knn_z)


class _Rolling:
    """Centred rolling statistics by cumulative sums; windows shrink at the ends."""

    def __init__(self, x: Floats) -> None:
        self.n = len(x)
        self.first = np.concatenate(([0.0], np.cumsum(x)))
        self.second = np.concatenate(([0.0], np.cumsum(x * x)))

    def _span(self, left: int, right: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        rows = np.arange(self.n)
        return np.clip(rows - left, 0, self.n), np.clip(rows + right, 0, self.n)

    def mean(self, width: int) -> Floats:
        lo, hi = self._span(width // 2, width - width // 2)
        found: Floats = (self.first[hi] - self.first[lo]) / (hi - lo)
        return found

    def std(self, width: int) -> Floats:
        lo, hi = self._span(width // 2, width - width // 2)
        mean = (self.first[hi] - self.first[lo]) / (hi - lo)
        square = (self.second[hi] - self.second[lo]) / (hi - lo)
        found: Floats = np.sqrt(np.clip(square - mean * mean, 0.0, None))
        return found

    def shift(self, width: int) -> Floats:
        """Mean of the next ``width`` rows minus the mean of the ``width`` rows before."""
        lo, hi = self._span(width, width)
        rows = np.arange(self.n)
        before = (self.first[rows] - self.first[lo]) / np.maximum(rows - lo, 1)
        after = (self.first[hi] - self.first[rows]) / (hi - rows)
        return np.where(rows > lo, after - before, 0.0)


def _value_preserving(x: Floats) -> Floats:
    centred = x - x.mean()
    peak = float(np.abs(centred).max())
    found: Floats = centred / (peak / 3.0) if peak >= 3.0 else centred
    return found


def _ranks(x: Floats) -> Floats:
    """Share of the rows with a smaller value (ties share their middle), in [0, 1]."""
    order = np.sort(x)
    low, high = np.searchsorted(order, x, "left"), np.searchsorted(order, x, "right")
    return (low + high) / (2.0 * len(x))


def _log_ratio(x: Floats) -> Floats:
    """Log of x against its median; 0 where it is as usual."""
    floor = 1e-3 + 0.05 * float(np.median(x))
    return np.log((x + floor) / (float(np.median(x)) + floor))


def _flat_run(x: Floats) -> Floats:
    """For each row the number of equal neighbours in its run (0 where it differs from both)."""
    change = np.flatnonzero(np.diff(x) != 0) + 1
    starts = np.concatenate(([0], change))
    lengths = np.diff(np.concatenate((starts, [len(x)])))
    return np.repeat(lengths - 1.0, lengths)


def _highpass(z: Floats) -> Floats:
    """What is left after removing everything slower than 32 rows."""
    spectrum = np.fft.rfft(z)
    spectrum[: len(z) // 32 + 1] = 0.0
    return np.fft.irfft(spectrum, len(z))


def _seasonal_residual(z: Floats) -> Floats:
    """Robust z of the distance to the median of the same phase; z itself without a period."""
    n = len(z)
    period = detect_period(z) if n >= 64 else None
    if period is None or n < 3 * period:
        return z
    cycles = -(-n // period)
    table = np.full(cycles * period, np.nan)
    table[:n] = z
    profile = np.nanmedian(table.reshape(cycles, period), axis=0)
    return robust_z(z - np.tile(profile, cycles)[:n])


_cache: OrderedDict[str, ChannelSet] = OrderedDict()
_cache_lock = threading.Lock()


def series_channels(series: Series) -> ChannelSet:
    """`compute_channels` of a series, kept by content for as long as there is room."""
    key = series.sha256
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    series.filled()  # a series without a single value is an error that names it
    found = compute_channels(series.values)
    with _cache_lock:
        _cache[key] = found
        size = sum(item.channels.nbytes + item.knn_z.nbytes for item in _cache.values())
        while size > _CACHE_BYTES and len(_cache) > 1:
            _, gone = _cache.popitem(last=False)
            size -= gone.channels.nbytes + gone.knn_z.nbytes
    return found


def clear_cache() -> None:
    """Forget all cached channels (tests, memory)."""
    with _cache_lock:
        _cache.clear()
