"""One-step forecasters for series with a season; each sees only rows before the one it forecasts.

Inputs are robust z-scores. Rows that a forecast misses by far are learned from only as far as they
are not surprising, so that an anomaly does not become the new normal at once.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from tsloop.signals.robust import robust_scale

__all__ = ["FORECASTERS", "holt_winters", "seasonal_naive"]

Values = npt.NDArray[np.float64]

FORECASTERS = ("ridge", "seasonal_naive", "holt_winters")

SURPRISE = 3.0
"""Sigmas of the usual error beyond which an error is learned from no more than that."""
LEVEL_RATES = (0.05, 0.2, 0.5)
SEASON_RATES = (0.1, 0.4)


def seasonal_naive(z: Values, period: int | None, seasons: int) -> tuple[Values, int]:
    """The median of the last ``seasons`` rows of the same phase, moved by the current level.

    The level is how far the row before was off its own phase. Without a period the forecast is the
    row before. Returns the forecasts and the number of rows that have none (their value is 0).
    """
    n = len(z)
    if period is None:
        return np.concatenate(([0.0], z[:-1])), 1
    warm_up = min(n, seasons * period + 1)
    past = np.stack(
        [np.concatenate((np.zeros(k * period), z[: n - k * period])) for k in range(1, seasons + 1)]
    )
    usual = np.median(past, axis=0)
    level = np.concatenate(([0.0], (z - usual)[:-1]))
    forecast = usual + level
    forecast[:warm_up] = 0.0
    return forecast, warm_up


def holt_winters(z: Values, period: int | None) -> tuple[Values, int]:
    """Additive exponential smoothing of level and season; the rates with the least error count.

    The least *median absolute* error, so that a few wild rows do not choose. Without a period only
    the level is smoothed. Returns the forecasts and the rows that have none (their value is 0).
    """
    warm_up = min(len(z), 2 * period if period else 2)
    rates = itertools.product(LEVEL_RATES, SEASON_RATES if period else (0.0,))
    found = [_smooth(z, period or 1, warm_up, *some) for some in rates]
    errors = [
        np.median(np.abs(z[warm_up:] - f[warm_up:])) if len(z) > warm_up else 0.0 for f in found
    ]
    return found[int(np.argmin(errors))], warm_up


def _smooth(z: Values, period: int, warm_up: int, level_rate: float, season_rate: float) -> Values:
    start = z[:warm_up]
    level = float(np.median(start)) if len(start) else 0.0
    whole = len(start) // period * period
    season = (
        (np.median(start[:whole].reshape(-1, period), axis=0) - level).tolist()
        if season_rate and whole
        else [0.0] * period
    )
    limit = SURPRISE * max(1e-6, robust_scale(np.diff(start))[1]) if len(start) > 1 else 1.0
    out = [0.0] * len(z)
    rows = z.tolist()
    for t in range(warm_up, len(rows)):
        phase = t % period
        forecast = level + season[phase]
        error = rows[t] - forecast
        # The usual size of errors follows slowly, so that a calm start is no verdict for ever.
        limit += 0.01 * (SURPRISE * 1.25 * min(abs(error), 2.0 * limit) - limit)
        taken = max(-limit, min(limit, error))
        level += level_rate * taken
        season[phase] += season_rate * (1.0 - level_rate) * taken
        out[t] = forecast
    return np.array(out)
