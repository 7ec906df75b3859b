"""The rule-based detectors of ADTK, with graded scores.

ADTK says yes or no for each row. Behind each yes stands a number that crossed a limit, so the score
is ``d / (d + 1)`` with ``d`` that number's distance from its median in units of the limit's: 0.5 is
ADTK's own verdict, and labels can move the threshold from there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsloop.detectors.common import SignalDetector, usable_values
from tsloop.detectors.factory import check_at_least, check_choice
from tsloop.errors import DetectorError
from tsloop.evaluation.thresholds import OBJECTIVES
from tsloop.series.types import Series
from tsloop.signals.period import detect_period

__all__ = ["METHODS", "AdtkConfig", "AdtkDetector", "restore_iteritems"]

METHODS = (
    "autoregression",
    "esd",
    "iqr",
    "level_shift",
    "persist",
    "quantile",
    "seasonal",
    "volatility_shift",
)
SIDES = ("both", "positive", "negative")

_ESD_ROWS = 2000  # its fit is quadratic in the number of outliers: longer series are thinned for it

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AdtkConfig:
    """Settings of `AdtkDetector`."""

    method: str = "level_shift"
    """autoregression, esd, iqr, level_shift, persist, quantile, seasonal or volatility_shift."""
    window: int = 16
    """Rows on each side (level_shift, volatility_shift), before (persist), or lags
    (autoregression)."""
    factor: float | None = None
    """How many interquartile ranges count as far; None: ADTK's own (6 for shifts, 3 otherwise)."""
    share: float = 0.005
    """quantile: the share of rows beyond each limit. It flags that much of a clean series too."""
    alpha: float = 0.05
    """esd: significance level."""
    side: str = "both"
    """both, positive or negative changes only (not for iqr, quantile, esd)."""
    period: int | None = None
    """seasonal: rows per season; None: found in the series."""
    objective: str = "balanced"
    """What the threshold is chosen for: balanced, clicks or f1."""
    refine_edges: bool = True
    """Move the edges of found intervals to where the values themselves deviate."""

    def __post_init__(self) -> None:
        check_choice("adtk.method", self.method, METHODS)
        check_choice("adtk.side", self.side, SIDES)
        check_choice("adtk.objective", self.objective, OBJECTIVES)
        check_at_least("adtk.window", self.window, 1)


class AdtkDetector(SignalDetector):
    """One of ADTK's detectors (``config.method``), fitted on each series by itself.

    Gaps are filled first, because ADTK's rolling windows blow them up, and rows count as evenly
    spaced. Where ADTK has no answer (no season, a constant series) the detection is ``failed``.
    """

    name = "adtk"
    config_class = AdtkConfig

    def score(self, series: Series) -> Values:
        """Graded score; 0.5 is where ADTK itself begins to say yes, warm-up rows get 0."""
        config: AdtkConfig = self.config
        values = usable_values(series, max(16, 4 * config.window))
        if np.ptp(values) == 0.0:
            raise DetectorError(
                f"Series {series.id!r} is constant: adtk.{config.method} cannot learn its range."
            )
        index = pd.date_range("2000-01-01", periods=len(values), freq="min")
        frame = pd.Series(values, index=index, name="value")
        # ADTK was written for pandas 1: its warnings are about its own code, and SeasonalAD raises
        # bare Exception. What it cannot do becomes an error of ours that carries its words.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                score = _GRADED.get(config.method, _piped)(frame, config)
            except DetectorError:
                raise
            except Exception as error:
                raise DetectorError(
                    f"adtk.{config.method} cannot score series {series.id!r}: {error}"
                ) from error
        return score


def _piped(frame: pd.Series[float], config: AdtkConfig) -> Values:
    """The detectors that ADTK builds as a pipe: a transformed series, and a limit for it."""
    detector = _build(frame, config)
    steps = detector.pipe_.steps
    inside = detector.pipe_.fit_detect(frame, return_intermediate=True)
    source = steps["iqr_ad"]["input"]
    raw = inside[source].to_numpy(dtype=np.float64)
    graded = _grade(raw, high=float(steps["iqr_ad"]["model"].abs_high_))
    allowed = inside["sign_check"].astype(float).fillna(0.0).to_numpy() > 0.0
    return np.where(allowed, graded, 0.0)


def _build(frame: pd.Series[float], config: AdtkConfig) -> Any:
    restore_iteritems()
    from adtk import detector as adtk

    factor = {} if config.factor is None else {"c": config.factor}
    side = {"side": config.side}
    if config.method == "level_shift":
        return adtk.LevelShiftAD(window=config.window, **factor, **side)
    if config.method == "volatility_shift":
        return adtk.VolatilityShiftAD(window=config.window, **factor, **side)
    if config.method == "persist":
        return adtk.PersistAD(window=config.window, **factor, **side)
    if config.method == "autoregression":
        return adtk.AutoregressionAD(n_steps=config.window, **factor, **side)
    period = config.period or detect_period(frame.to_numpy())
    return adtk.SeasonalAD(freq=period, **factor, **side)


def _iqr(frame: pd.Series[float], config: AdtkConfig) -> Values:
    restore_iteritems()
    from adtk.detector import InterQuartileRangeAD

    detector = InterQuartileRangeAD(3.0 if config.factor is None else config.factor)
    detector.fit(frame)
    return _grade(
        frame.to_numpy(dtype=np.float64), float(detector.abs_high_), float(detector.abs_low_)
    )


def _quantile(frame: pd.Series[float], config: AdtkConfig) -> Values:
    restore_iteritems()
    from adtk.detector import QuantileAD

    detector = QuantileAD(low=config.share, high=1.0 - config.share)
    detector.fit(frame)
    return _grade(
        frame.to_numpy(dtype=np.float64), float(detector.abs_high_), float(detector.abs_low_)
    )


def _esd(frame: pd.Series[float], config: AdtkConfig) -> Values:
    restore_iteritems()
    from adtk.detector import GeneralizedESDTestAD

    detector = GeneralizedESDTestAD(alpha=config.alpha)
    detector.fit(frame.iloc[:: -(-len(frame) // _ESD_ROWS)])
    # The statistic that GeneralizedESDTestAD compares with its critical value.
    count = detector._normal_count + 1
    mean = (frame + detector._normal_sum) / count
    squares = frame**2 + detector._normal_squared_sum
    spread = np.sqrt(np.maximum(squares - count * mean**2, 0.0) / (count - 1))
    statistic = ((frame - mean).abs() / spread.replace(0.0, np.nan)).to_numpy()
    return _ratio(np.nan_to_num(statistic) / float(detector._lambda))


_GRADED: dict[str, Callable[[Any, AdtkConfig], Values]] = {
    "iqr": _iqr,
    "quantile": _quantile,
    "esd": _esd,
}


def _grade(raw: npt.NDArray[Any], high: float, low: float = -np.inf) -> Values:
    """Distance from the median over the limit's distance from the median, on the score scale."""
    known = np.isfinite(raw)
    if not known.any():
        raise DetectorError("the series is shorter than the warm-up: no row was scored.")
    center = float(np.median(raw[known]))
    tiny = 1e-12 * max(1.0, float(np.abs(raw[known]).max()))
    above = np.maximum(raw - center, 0.0) / max(high - center, tiny)
    below = np.maximum(center - raw, 0.0) / max(center - low, tiny)
    return _ratio(np.where(known, np.maximum(above, below), 0.0))


def _ratio(distance: Values) -> Values:
    limited = np.clip(np.nan_to_num(distance), 0.0, 1e9)
    return limited / (limited + 1.0)


def restore_iteritems() -> None:
    """ADTK 0.6.2 calls ``iteritems``, which pandas 2 dropped in favour of ``items``."""
    for cls in (pd.Series, pd.DataFrame):
        if not hasattr(cls, "iteritems"):
            setattr(cls, "iteritems", cls.items)  # noqa: B010 - pandas' stubs do not know it
