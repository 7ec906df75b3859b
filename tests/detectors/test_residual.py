from __future__ import annotations

import numpy as np
import pytest

from tsloop.detectors.residual import ResidualConfig, ResidualDetector, forecast
from tsloop.intervals import Status
from tsloop.testing import sample_series


def wave(n=1200, seed=0):
    noise = 0.1 * np.random.default_rng(seed).normal(size=n)
    return np.sin(2 * np.pi * np.arange(n) / 100) + noise


def test_forecasts_a_season_and_misses_the_surprise():
    values = wave()
    values[900] += 3.0
    found = forecast(values, 24, 1.0, seasonal=True)
    assert found.period == pytest.approx(100, abs=1)
    assert found.warm_up == found.period + 1
    assert np.argmax(np.abs(found.residual)) == 900
    assert not found.residual[: found.warm_up].any()


def test_an_anomaly_does_not_teach_the_forecaster():
    values = wave()
    quiet = np.std(forecast(values, 24, 1.0, seasonal=False).residual[200:800])
    values[1000:1100] += 20.0 * np.random.default_rng(1).normal(size=100)
    assert np.std(forecast(values, 24, 1.0, seasonal=False).residual[200:800]) < 2.5 * quiet


def test_a_spike_as_large_as_can_be_keeps_its_size():
    values = wave()
    values[900] += 1e6
    detection = ResidualDetector().detect(sample_series(values))
    best = max(detection.intervals, key=lambda i: i.score)
    assert best.start <= 900 <= best.end
    assert best.score > 0.99


def test_the_warm_up_is_reported():
    detection = ResidualDetector(ResidualConfig(lags=12, seasonal=False)).detect(
        sample_series(wave())
    )
    assert detection.reason == "rows 0 to 11 are warm-up and were not scored"


def test_too_short_for_the_lags_is_a_failure():
    detection = ResidualDetector().detect(sample_series(np.arange(50.0)))
    assert detection.status is Status.FAILED
    assert "at least 96" in detection.reason
