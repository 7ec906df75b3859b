"""The length of a repeating pattern, in samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from tsloop.signals.robust import robust_z

__all__ = ["autocorrelation", "detect_period"]

_CLIP_SIGMAS = 3.0  # spikes must not decide what the rhythm of the series is
_MIN_CORRELATION = 0.3
_MIN_PROMINENCE = 0.15
_N_CANDIDATES = 8


def autocorrelation(x: npt.NDArray[np.floating[Any]], max_lag: int) -> npt.NDArray[np.float64]:
    """Autocorrelation at lags ``0..max_lag`` (unbiased in the number of pairs), by FFT.

    A constant input gives 1 at lag 0 and 0 elsewhere.
    """
    centred = np.asarray(x, dtype=np.float64) - np.mean(x)
    n = len(centred)
    size = fft.next_fast_len(2 * n, real=True)
    power = np.abs(fft.rfft(centred, size)) ** 2
    raw = fft.irfft(power, size)[: max_lag + 1]
    out = np.zeros(max_lag + 1)
    out[0] = 1.0
    if raw[0] > 1e-12 * max(1.0, float(np.max(np.abs(x))) ** 2 * n):
        out = raw / raw[0] * (n / (n - np.arange(max_lag + 1)))
    return out


def detect_period(
    x: npt.NDArray[np.floating[Any]], min_period: int = 4, max_period: int | None = None
) -> int | None:
    """Samples after which a finite series repeats itself, or ``None`` where it does not.

    Candidates are the strongest peaks of the periodogram; each is moved to the nearest local
    maximum of the autocorrelation, and the one with the highest correlation wins (at least 0.3
    and 0.15 above the lowest at shorter lags; longer periods must beat shorter ones clearly, so
    that a multiple is not mistaken for the period). ``max_period`` is a third of the series by
    default.
    """
    n = len(x)
    limit = n // 3 if max_period is None else min(max_period, n // 2)
    if limit < min_period or n < 3 * min_period:
        return None
    values = np.clip(robust_z(x), -_CLIP_SIGMAS, _CLIP_SIGMAS)
    rows = np.arange(n) - (n - 1) / 2
    values = values - values.mean() - rows * (rows @ values / (rows @ rows))
    values = np.clip(robust_z(values), -_CLIP_SIGMAS, _CLIP_SIGMAS)
    correlation = autocorrelation(values, min(limit + limit // 8 + 2, n - 1))
    found = {
        lag
        for guess in _spectral_candidates(values, min_period, limit)
        if (lag := _climb(correlation, guess, min_period, limit)) is not None
    }
    best: int | None = None
    for lag in sorted(found):
        needed = _MIN_CORRELATION if best is None else correlation[best] + 0.1
        if correlation[lag] >= needed:
            best = lag
    return best


def _spectral_candidates(values: npt.NDArray[np.float64], shortest: int, longest: int) -> list[int]:
    """Periods of the strongest peaks of the periodogram."""
    n = len(values)
    power = np.abs(fft.rfft(values * np.hanning(n))) ** 2
    bins = np.arange(1, len(power) - 1)
    peaks = bins[(power[1:-1] >= power[:-2]) & (power[1:-1] > power[2:])]
    peaks = peaks[(n / peaks >= shortest) & (n / peaks <= longest)]
    strongest = peaks[np.argsort(-power[peaks], kind="stable")][:_N_CANDIDATES]
    return [int(p) for p in np.round(n / strongest).astype(int)]


def _climb(
    correlation: npt.NDArray[np.float64], guess: int, shortest: int, longest: int
) -> int | None:
    """The highest local maximum of the autocorrelation within an eighth of the guess."""
    reach = max(1, guess // 8)
    low, high = max(shortest, guess - reach), min(longest, guess + reach)
    lags = np.arange(low, high + 1)
    lags = lags[lags + 1 < len(correlation)]
    here = correlation[lags]
    tops = lags[(here >= correlation[lags - 1]) & (here >= correlation[lags + 1])]
    if not len(tops):
        return None
    top = int(tops[np.argmax(correlation[tops])])
    # A smooth series resembles itself at every short lag: a period must be left and come back.
    dip = float(correlation[1 : top + 1].min())
    return top if correlation[top] >= dip + _MIN_PROMINENCE else None
