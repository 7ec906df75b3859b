"""Forecast residual: what a cheap one-step forecaster did not see coming."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.detectors.common import SignalDetector, usable_values
from tsloop.detectors.factory import check_at_least, check_choice
from tsloop.detectors.forecasters import FORECASTERS, holt_winters, seasonal_naive
from tsloop.errors import DetectorError
from tsloop.evaluation.thresholds import OBJECTIVES
from tsloop.intervals import Detection, Status
from tsloop.series.types import Series
from tsloop.signals.period import detect_period
from tsloop.signals.robust import SIGMAS_AT_HALF, robust_scale, robust_z

__all__ = ["Forecast", "ResidualConfig", "ResidualDetector", "forecast"]

Values = npt.NDArray[np.float64]

_CLIP = 10.0  # sigmas that an input of the forecaster may reach
_OUTLIER = 4.0  # rows with larger residuals do not take part in the second fit
_SHORTEST_FIT = 3  # rows to learn from, for each lag


@dataclass(frozen=True)
class ResidualConfig:
    """Settings of `ResidualDetector`."""

    forecaster: str = "ridge"
    """ridge (linear in the rows before), seasonal_naive or holt_winters."""
    lags: int = 24
    """ridge: the forecast of a row is linear in so many rows before it."""
    seasonal: bool = True
    """Use the series' period, where it has one; ridge adds the rows one period before."""
    ridge: float = 1.0
    """ridge: shrinks the coefficients; in units of one standardised row."""
    seasons: int = 3
    """seasonal_naive: the median over so many seasons before."""
    smooth: int = 8
    """Root mean square of the residual over so many rows, centred; 1 leaves it as it is."""
    objective: str = "balanced"
    """What the threshold is chosen for: balanced, clicks or f1."""
    refine_edges: bool = True
    """Move the edges of found intervals to where the values themselves deviate."""

    def __post_init__(self) -> None:
        check_choice("residual.objective", self.objective, OBJECTIVES)
        check_choice("residual.forecaster", self.forecaster, FORECASTERS)
        for key in ("lags", "smooth", "seasons"):
            check_at_least(f"residual.{key}", getattr(self, key), 1)
        check_at_least("residual.ridge", self.ridge, 0.0)


@dataclass(frozen=True)
class Forecast:
    """One-step forecasts: ``residual`` (measured minus forecast) of every row after the warm-up.

    The first ``warm_up`` rows have no full past; their residual is 0 and means nothing.
    """

    residual: Values
    warm_up: int
    period: int | None


class ResidualDetector(SignalDetector):
    """Residual of a cheap forecaster, in sigmas of 1.4826 MAD.

    The forecaster (``config.forecaster``) is fitted on each series by itself. The ridge regression
    on lags and seasonal lags is fitted twice: the second time without the rows that the first fit
    missed by far, so that anomalies do not teach it. The warm-up rows get the score 0
    and every detection says in its reason that they were not scored.
    """

    name = "residual"
    config_class = ResidualConfig

    def score(self, series: Series) -> Values:
        """``z / (z + 6)`` of the residual in robust sigmas; 0 in the warm-up."""
        return self._score(series)[0]

    def analyse(self, series: Series) -> tuple[Detection, Values | None]:
        """As the contract says; the reason of the detection names the warm-up."""
        detection, scores = super().analyse(series)
        if detection.status is Status.FAILED:
            return detection, scores
        note = f"rows 0 to {self._score(series)[1] - 1} are warm-up and were not scored"
        return dataclasses.replace(detection, reason=note), scores

    def _score(self, series: Series) -> tuple[Values, int]:
        config: ResidualConfig = self.config
        values = usable_values(series, config.lags * (_SHORTEST_FIT + 1))
        found = _forecast(values, config)
        if found.warm_up >= len(values):
            raise DetectorError(
                f"Series {series.id!r} has {len(values)} rows, and {config.forecaster} forecasts "
                f"none of them: its season of {found.period} rows is too long.",
            )
        scored = found.residual[found.warm_up :]
        z = scored / robust_scale(scored)[1]
        power = np.concatenate((np.zeros(found.warm_up), z**2))
        width = min(config.smooth, len(power))
        if width > 1:
            kernel = np.ones(width)
            power = np.convolve(power, kernel, "same") / np.convolve(
                np.ones(len(power)), kernel, "same"
            )
        sigmas = np.sqrt(np.maximum(power, 0.0))
        sigmas[: found.warm_up] = 0.0
        # The root mean square of normal noise is 1: that much is no deviation.
        sigmas = np.maximum(sigmas - 1.0, 0.0) if width > 1 else sigmas
        return sigmas / (sigmas + SIGMAS_AT_HALF), found.warm_up


def _forecast(values: Values, config: ResidualConfig) -> Forecast:
    if config.forecaster == "ridge":
        return forecast(values, config.lags, config.ridge, seasonal=config.seasonal)
    z = np.clip(robust_z(values), -_CLIP, _CLIP)
    seasons = config.seasons if config.forecaster == "seasonal_naive" else 2
    longest = len(z) // (seasons + 2)
    period = detect_period(z, 4, longest) if config.seasonal and longest > 4 else None
    if config.forecaster == "seasonal_naive":
        expected, warm_up = seasonal_naive(z, period, seasons)
    else:
        expected, warm_up = holt_winters(z, period)
    # What is measured is not clipped: a wild value keeps its whole residual.
    residual = robust_z(values) - expected
    residual[:warm_up] = 0.0
    return Forecast(residual, warm_up, period)


def forecast(values: Values, lags: int, ridge: float, *, seasonal: bool) -> Forecast:
    """Forecast every row of a finite series from the rows before it; see `ResidualDetector`.

    A period is used only where at least three periods are there to learn from.
    """
    z = np.clip(robust_z(values), -_CLIP, _CLIP)
    n = len(z)
    period = detect_period(z, max(4, lags + 2), n // 4) if seasonal else None
    offsets = list(range(1, lags + 1))
    if period is not None:
        offsets += [period - 1, period, period + 1]
    warm_up = max(offsets)
    table = np.column_stack([np.ones(n - warm_up)] + [z[warm_up - o : n - o] for o in offsets])
    target = z[warm_up:]
    residual = target - table @ _ridge(table, target, ridge)
    usual = np.abs(residual) <= _OUTLIER * robust_scale(residual)[1]
    if usual.sum() >= _SHORTEST_FIT * table.shape[1]:
        residual = target - table @ _ridge(table[usual], target[usual], ridge)
    # Inputs are clipped, the measured value is not: a wild value keeps its whole residual.
    residual = residual + (robust_z(values)[warm_up:] - target)
    return Forecast(np.concatenate((np.zeros(warm_up), residual)), warm_up, period)


def _ridge(table: Values, target: Values, strength: float) -> Values:
    gram = table.T @ table
    gram[np.diag_indices_from(gram)] += strength + 1e-9
    return np.asarray(np.linalg.solve(gram, table.T @ target))
