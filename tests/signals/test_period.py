from __future__ import annotations

import numpy as np
import pytest

from tsloop.signals.period import autocorrelation, detect_period


@pytest.mark.parametrize("period", [7, 24, 60, 144, 288])
def test_finds_the_period_of_a_noisy_wave(period):
    rng = np.random.default_rng(period)
    rows = np.arange(period * 12)
    wave = np.sin(2 * np.pi * rows / period) + 0.5 * np.sin(4 * np.pi * rows / period)
    found = detect_period(wave + 0.3 * rng.normal(size=len(rows)))
    assert found == pytest.approx(period, abs=max(1, period // 50))


def test_spikes_and_trend_do_not_hide_the_period():
    rows = np.arange(1200)
    values = np.sin(2 * np.pi * rows / 60) + rows / 100
    values[[100, 470, 900]] += 1000
    assert detect_period(values) == 60


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=2000),
        np.ones(500),
        np.arange(500.0),
        np.arange(10.0),
        np.empty(0),
        np.ones(1),
    ],
    ids=["noise", "constant", "trend", "short", "empty", "one"],
)
def test_no_period_is_none(values):
    assert detect_period(values) is None


def test_limits_are_kept():
    wave = np.sin(2 * np.pi * np.arange(600) / 50)
    assert detect_period(wave, 4, 40) is None
    assert detect_period(wave, 4, 60) == 50
    assert detect_period(wave, 60, 100) is None


def test_autocorrelation_is_one_at_lag_zero_and_matches_the_definition():
    x = np.random.default_rng(1).normal(size=200)
    got = autocorrelation(x, 5)
    c = x - x.mean()
    expected = [np.mean(c[: 200 - lag] * c[lag:]) / np.mean(c * c) for lag in range(6)]
    assert got == pytest.approx(expected)
    assert autocorrelation(np.full(50, 3.0), 4).tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
