from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tsloop.signals.knn import knn_distance, knn_window, spread_over_rows
from tsloop.signals.robust import robust_z


def plain_knn(x, width, k):
    """The definition, row by row, in float64 and with every window as a reference."""
    z = robust_z(x)
    windows = np.lib.stride_tricks.sliding_window_view(z, width)
    n = len(windows)
    near = np.empty(n)
    for i in range(n):
        others = [j for j in range(n) if abs(i - j) >= (width + 1) // 2]
        squared = np.sort(((windows[others] - windows[i]) ** 2).sum(axis=1))
        near[i] = np.sqrt(squared[min(k, len(squared)) - 1] / width) if len(squared) else 0.0
    out = np.empty(len(x))
    for row in range(len(x)):
        out[row] = np.mean(near[max(0, row - width + 1) : min(n, row + 1)])
    return out


@pytest.mark.parametrize(("n", "width", "k"), [(300, 32, 5), (600, 9, 5), (90, 20, 3), (60, 30, 5)])
def test_matches_the_definition(n, width, k):
    rng = np.random.default_rng(n)
    x = np.sin(np.arange(n) / 7) + 0.2 * rng.normal(size=n)
    x[n // 2] += 5
    assert knn_distance(x, width, k) == pytest.approx(plain_knn(x, width, k), abs=2e-3)


def test_long_windows_taken_at_every_few_rows_are_close_to_all_of_them():
    rng = np.random.default_rng(0)
    x = np.sin(np.arange(1500) / 20) + 0.2 * rng.normal(size=1500)
    x[700:720] += 3
    every, definition = knn_distance(x, 120), plain_knn(x, 120, 5)
    assert np.corrcoef(every, definition)[0, 1] > 0.999
    assert np.abs(every - definition).max() < 0.1


def test_the_strange_stretch_is_the_farthest():
    rng = np.random.default_rng(3)
    x = np.sin(2 * np.pi * np.arange(3000) / 50) + 0.1 * rng.normal(size=3000)
    x[1500:1525] = -x[1500:1525]  # no unusual value, only an unusual shape
    distance = knn_distance(x)
    assert 1450 < np.argmax(distance) < 1575
    assert distance[1510] > 3 * np.median(distance)


def test_few_references_are_enough_and_deterministic():
    rng = np.random.default_rng(4)
    x = np.sin(2 * np.pi * np.arange(6000) / 40) + 0.1 * rng.normal(size=6000)
    x[3000:3010] += 4
    few = knn_distance(x, 40, max_references=500)
    assert np.argmax(few) == pytest.approx(3005, abs=30)
    assert np.array_equal(few, knn_distance(x, 40, max_references=500))
    assert few.dtype == np.float64


def test_scale_and_offset_do_not_matter():
    rng = np.random.default_rng(5)
    x = rng.normal(size=400)
    assert knn_distance(1e6 + 1e3 * x, 16) == pytest.approx(knn_distance(x, 16), abs=1e-3)


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, st.integers(0, 120), elements=st.floats(-1e9, 1e9, allow_nan=False)))
def test_any_finite_series_gets_finite_distances(x):
    distance = knn_distance(x)
    assert distance.shape == x.shape
    assert np.isfinite(distance).all()
    assert (distance >= 0).all()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10])
def test_too_short_or_constant_is_zero(n):
    assert knn_distance(np.full(n, 4.0)).tolist() == [0.0] * n


@pytest.mark.parametrize(("period", "window"), [(60, 60), (10, 30), (5, 25), (24, 24), (200, 32)])
def test_window_is_the_period_or_as_many_as_make_a_useful_length(period, window):
    assert knn_window(np.sin(2 * np.pi * np.arange(2000) / period)) == window


def test_window_without_a_period_and_in_short_series():
    assert knn_window(np.random.default_rng(0).normal(size=1000)) == 32
    assert knn_window(np.arange(40.0)) == 10
    assert knn_window(np.arange(2.0)) == 1


def test_spread_is_the_mean_of_covering_windows():
    spread = spread_over_rows(np.array([1.0, 3.0]), np.array([0, 2]), 4, 7)
    assert spread.tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 0.0]
