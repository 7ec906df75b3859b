from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tsloop.signals.features import (
    fft_residual,
    point_features,
    rolling_median,
    seasonal_residual,
)


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, st.integers(1, 80), elements=st.floats(-1e12, 1e12, allow_nan=False)))
def test_any_finite_series_gets_one_finite_row_per_row(x):
    features, names = point_features(x)
    assert features.shape == (len(x), len(names))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_names_are_unique_and_do_not_depend_on_the_data():
    names = point_features(np.ones(3))[1]
    assert len(set(names)) == len(names)
    assert point_features(np.random.default_rng(0).normal(size=500))[1] == names


def test_features_know_neither_unit_nor_offset():
    x = np.random.default_rng(1).normal(size=300)
    plain, _ = point_features(x)
    scaled, _ = point_features(-40.0 + 1000.0 * x)
    assert scaled == pytest.approx(plain, abs=1e-3)


def test_features_of_a_far_away_event_are_those_of_the_event():
    """Rolling features see a spike in the rows around it and nowhere else."""
    x = np.random.default_rng(2).normal(size=1000)
    y = x.copy()
    y[500] += 3.0
    names = point_features(x)[1]
    local = [i for i, name in enumerate(names) if name.startswith(("mean", "std", "range"))]
    changed = np.abs(point_features(y)[0] - point_features(x)[0])[:, local].max(axis=1)
    assert changed[500] > 0.1
    assert changed[:400].max() < 0.05
    assert changed[600:].max() < 0.05


def test_shift_compares_the_rows_before_with_those_from_here_on():
    x = np.concatenate((np.zeros(50), np.ones(50))) + 1e-3 * np.sin(np.arange(100))
    features, names = point_features(x)
    shift = features[:, names.index("shift8")]
    assert np.argmax(shift) == 50


def test_flat_run_measures_the_repeats():
    x = np.random.default_rng(3).normal(size=100)
    x[40:60] = x[40]
    features, names = point_features(x)
    flat = features[:, names.index("flat")]
    assert flat[40:60] == pytest.approx(np.log(20), abs=1e-6)
    assert flat[39] == 0.0


def test_seasonal_residual_removes_the_season_and_keeps_the_event():
    x = np.sin(2 * np.pi * np.arange(600) / 30)
    x[300] += 5
    rest = seasonal_residual(x)
    assert rest[300] == pytest.approx(5.0, abs=0.05)
    assert np.abs(np.delete(rest, 300)).max() < 0.05
    assert seasonal_residual(np.arange(5.0)).tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]


def test_fft_residual_removes_what_is_slow():
    rows = np.arange(2000)
    slow = np.sin(2 * np.pi * rows / 1000)
    rest = fft_residual(slow + (rows == 1000) * 3.0)
    assert np.argmax(rest) == 1000
    assert np.abs(np.delete(rest, np.arange(990, 1011))).max() < 0.2
    assert fft_residual(np.array([5.0])).shape == (1,)


def test_rolling_median_repeats_the_border():
    assert rolling_median(np.array([9.0, 1.0, 2.0, 3.0, 9.0]), 3).tolist() == [9, 2, 2, 3, 9]
    assert rolling_median(np.array([4.0]), 129).tolist() == [4.0]
