"""The predecessor's methods, rebuilt: what each finds, and the faults that they no longer have."""

from __future__ import annotations

import numpy as np
import pytest

from tsloop.detectors import build, config_of
from tsloop.detectors import wavelet as wavelet_module
from tsloop.detectors.adtk_hbos import AdtkHbosConfig, AdtkHbosDetector
from tsloop.detectors.forecasters import _smooth, holt_winters, seasonal_naive
from tsloop.detectors.residual import ResidualConfig, ResidualDetector
from tsloop.detectors.wavelet import WaveletConfig, WaveletDetector
from tsloop.errors import ConfigError, MissingExtraError
from tsloop.intervals import Status
from tsloop.series.types import Series
from tsloop.signals.runs import constant_runs, is_stepped, mask_runs
from tsloop.testing import sample_series


def noisy(n: int = 2000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def wave(n: int = 2000, period: int = 100, seed: int = 0) -> np.ndarray:
    return np.sin(2 * np.pi * np.arange(n) / period) + 0.1 * noisy(n, seed)


# adtk_hbos


def test_hbos_finds_a_rare_value_also_in_the_first_rows() -> None:
    values = noisy()
    values[[4, 1200]] += 30.0  # the first rows: the original raised there
    scores = AdtkHbosDetector().score(sample_series(values))
    assert scores[[4, 1200]].min() >= 0.5
    assert np.count_nonzero(scores >= 0.5) < 60


def test_hbos_finds_a_level_that_lasts_around_any_centre() -> None:
    for offset in (0.0, -50.0, 1000.0):  # the original needed a positive centre
        values = noisy() + offset
        values[900:1600] += 40.0
        scores = AdtkHbosDetector().score(sample_series(values))
        assert scores[900:1600].min() >= 0.5, offset
        assert np.median(scores[:850]) < 0.5


def test_hbos_measures_dead_values_by_true_times() -> None:
    values = noisy()
    values[600:640] = values[600]
    seconds = np.arange(2000) * 60
    late = np.where(np.arange(2000) > 620, 80_000, 0)  # the logger was silent for a day
    series = Series("s", (seconds + late) * 10**9, values)
    assert AdtkHbosDetector().score(series)[600:640].min() > 0.5
    assert AdtkHbosDetector().score(sample_series(values))[600:640].max() < 0.5


def test_hbos_says_that_it_cannot_judge_a_stepped_series() -> None:
    stepped = np.repeat(noisy(40), 50)
    detection = AdtkHbosDetector().detect(sample_series(stepped))
    assert detection.status is Status.FAILED
    assert "stepped" in detection.reason


def test_hbos_drops_groups_that_hardly_span_anything() -> None:
    values = noisy()
    values[700] += 30.0
    narrow = AdtkHbosDetector(AdtkHbosConfig(range_share=1.1)).score(sample_series(values))
    assert narrow.max() < 0.5
    wide = AdtkHbosDetector().score(sample_series(values))
    assert abs(int(np.argmax(wide)) - 700) <= 3
    assert wide.max() > 0.5


@pytest.mark.parametrize(
    "wrong", [{"sigmas": 0.0}, {"level_share": -1.0}, {"bins": 1}, {"windows": [[3]]}]
)
def test_hbos_refuses_wrong_settings(wrong) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AdtkHbosConfig(**wrong)


# wavelet


@pytest.mark.parametrize("name", ["db1", "db4"])
def test_wavelet_finds_what_the_season_hides(name) -> None:
    values = wave()
    values[1230] += 1.2  # within the range of the season
    scores = WaveletDetector(WaveletConfig(wavelet=name)).score(sample_series(values))
    assert abs(int(np.argmax(scores)) - 1230) <= 4


def test_wavelet_takes_a_series_without_a_season() -> None:
    values = noisy()
    values[500] += 20.0
    scores = WaveletDetector().score(sample_series(values))
    assert abs(int(np.argmax(scores)) - 500) <= 8
    assert WaveletDetector().detect(sample_series(np.full(100, 3.0))).status is Status.FAILED


def test_wavelet_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(wavelet_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        build(config_of("wavelet"))
    assert "tsloop[wavelet]" in caught.value.hint


@pytest.mark.parametrize(
    "wrong", [{"wavelet": "haar9"}, {"parts": []}, {"parts": ["season"]}, {"period": 1}]
)
def test_wavelet_refuses_wrong_settings(wrong) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        WaveletConfig(**wrong)


# residual with seasonal forecasters


@pytest.mark.parametrize("forecaster", ["seasonal_naive", "holt_winters"])
def test_a_forecaster_knows_the_season(forecaster) -> None:
    values = wave()
    values[1500] += 2.0
    detector = ResidualDetector(ResidualConfig(forecaster=forecaster, smooth=1))
    scores = detector.score(sample_series(values))
    # The level that follows the spike by one row may make the next one as surprising.
    assert int(np.argmax(scores)) in (1500, 1501)
    assert "warm-up" in detector.detect(sample_series(values)).reason


@pytest.mark.parametrize(
    ("forecast", "warm_up"),
    [(lambda z: seasonal_naive(z, 50, 2), 101), (lambda z: holt_winters(z, 50), 100)],
)
def test_forecasts_follow_the_season(forecast, warm_up) -> None:
    z = wave(1000, 50)
    expected, start = forecast(z)
    assert start == warm_up
    assert not expected[:start].any()
    assert np.median(np.abs(z - expected)[start:]) < 0.25


@pytest.mark.parametrize("period", [None, 50])
def test_a_forecast_is_made_of_the_rows_before(period) -> None:
    z = wave(1000, 50)
    changed = z.copy()
    changed[700:] = 5.0
    for forecast in (
        lambda x: seasonal_naive(x, period, 2)[0],
        lambda x: _smooth(x, 50, 100, 0.2, 0.1),
    ):
        assert np.array_equal(forecast(changed)[:701], forecast(z)[:701])


@pytest.mark.parametrize("forecaster", ["seasonal_naive", "holt_winters"])
def test_without_a_season_the_level_is_forecast(forecaster) -> None:
    values = np.cumsum(noisy(600)) * 0.1
    values[400:] += 20.0
    detector = ResidualDetector(ResidualConfig(forecaster=forecaster, smooth=1))
    assert int(np.argmax(detector.score(sample_series(values)))) == 400


def test_an_unknown_forecaster_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"residual\.forecaster"):
        ResidualConfig(forecaster="timer")


def test_runs() -> None:
    starts, ends = mask_runs(np.array([True, True, False, True]))
    assert (starts.tolist(), ends.tolist()) == ([0, 3], [1, 3])
    starts, ends = constant_runs(np.array([1.0, 1.0, 2.0]))
    assert (starts.tolist(), ends.tolist()) == ([0, 2], [1, 2])
    assert is_stepped(np.repeat([1.0, 2.0], 20))
    assert not is_stepped(noisy(40))
