"""What a wavelet finds sudden in the trend and in the rest of a seasonal decomposition.

STL takes the season out (statsmodels), a wavelet transform splits the trend and the rest into a
smooth part and details (PyWavelets), and rows whose details are many robust sigmas from the usual
stand out. Rebuilt from the predecessor's description. Other than there the period is that of the
series, a sigma is robust (one anomaly cannot hide itself), and noisy series are not skipped.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tsloop.detectors.common import SignalDetector, usable_values
from tsloop.detectors.factory import check_at_least, check_choice
from tsloop.errors import ConfigError, DetectorError, MissingExtraError
from tsloop.evaluation.thresholds import OBJECTIVES
from tsloop.series.types import Series
from tsloop.signals.period import detect_period
from tsloop.signals.robust import SIGMAS_AT_HALF, robust_scale

__all__ = ["PARTS", "WaveletConfig", "WaveletDetector"]

Values = npt.NDArray[np.float64]

PARTS = ("trend", "resid")
TREND_FLOOR = 0.3
"""Details of the trend are measured in at least this share of a sigma of the rest."""
WAVELETS = ("db1", "db2", "db4", "sym4", "coif1")
_PERIODS = 3  # the shortest series that STL may split, in periods
_STEPS = 20  # LOESS is fitted so often in a period, and drawn in between: long periods cost no more


@dataclass(frozen=True)
class WaveletConfig:
    """Settings of `WaveletDetector`."""

    wavelet: str = "db1"
    """db1 (Haar), db2, db4, sym4 or coif1."""
    levels: int = 3
    """Levels of detail; each doubles the rows that a detail is about."""
    period: int | None = None
    """Rows per season for STL; None: found in the series, and no STL where it has none."""
    parts: list[str] = field(default_factory=lambda: list(PARTS))
    """Which parts of the decomposition are looked at: trend, resid."""
    robust: bool = False
    """Let STL give outliers less weight; several times slower."""
    objective: str = "balanced"
    """What the threshold is chosen for: balanced, clicks or f1."""
    refine_edges: bool = True
    """Move the edges of found intervals to where the values themselves deviate."""

    def __post_init__(self) -> None:
        check_choice("wavelet.objective", self.objective, OBJECTIVES)
        check_choice("wavelet.wavelet", self.wavelet, WAVELETS)
        check_at_least("wavelet.levels", self.levels, 1)
        if self.period is not None:
            check_at_least("wavelet.period", self.period, 2)
        if not self.parts:
            raise ConfigError("wavelet.parts is empty.", hint=f"Choose some of {list(PARTS)}.")
        for part in self.parts:
            check_choice("wavelet.parts", part, PARTS)


class WaveletDetector(SignalDetector):
    """Details of a decomposed series in robust sigmas; ``config`` is a `WaveletConfig`."""

    name = "wavelet"
    config_class = WaveletConfig
    min_rows = 32

    def __init__(self, config: WaveletConfig | None = None) -> None:
        if importlib.util.find_spec("pywt") is None:
            raise MissingExtraError("PyWavelets", "wavelet")
        super().__init__(config)

    def score(self, series: Series) -> Values:
        """``z / (z + 6)`` of the largest detail of any part, in robust sigmas."""
        values = usable_values(series, self.min_rows)
        if np.ptp(values) == 0.0:
            raise DetectorError(f"Series {series.id!r} is constant: it has no details.")
        parts = self._parts(values)
        rest = self._details(parts["resid"])
        # A trend is so smooth that its own sigma would make something of every bend.
        least = max(TREND_FLOOR * robust_scale(rest)[1], 1e-9 * float(np.ptp(values)))
        sigmas = np.zeros(len(values))
        for name in self.config.parts if "trend" in parts else ("resid",):
            details = rest if name == "resid" else self._details(parts[name])
            center, scale = robust_scale(details)
            sigmas = np.maximum(sigmas, np.abs(details - center) / max(scale, least))
        return np.asarray(sigmas / (sigmas + SIGMAS_AT_HALF))

    def _parts(self, values: Values) -> dict[str, Values]:
        """Trend and rest; only the rest, which is the series, where no season can be taken out."""
        config: WaveletConfig = self.config
        period = config.period or detect_period(values)
        if period is None or period < 2 or len(values) < _PERIODS * period:
            return {"resid": values.copy()}  # PyWavelets wants to be able to write
        from statsmodels.tsa.seasonal import STL

        step = max(1, period // _STEPS)
        found = STL(
            values,
            period=period,
            robust=config.robust,
            seasonal_jump=step,
            trend_jump=step,
            low_pass_jump=step,
        ).fit()
        return {name: np.asarray(getattr(found, name), dtype=np.float64) for name in PARTS}

    def _details(self, part: Values) -> Values:
        """The part without its smooth course."""
        import pywt

        config: WaveletConfig = self.config
        levels = min(config.levels, pywt.dwt_max_level(len(part), config.wavelet))
        # Beyond its ends a series goes on as it was; a mirror image would be a kink there.
        coefficients = pywt.wavedec(part, config.wavelet, mode="smooth", level=levels)
        coefficients[0] = np.zeros_like(coefficients[0])
        return np.asarray(pywt.waverec(coefficients, config.wavelet, mode="smooth"))[: len(part)]
