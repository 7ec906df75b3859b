from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tsloop.signals.robust import robust_scale, robust_z, squash

finite = st.floats(-1e6, 1e6, allow_nan=False)
series = arrays(np.float64, st.integers(1, 60), elements=finite)


def test_scale_of_normal_noise_is_its_standard_deviation():
    noise = 5.0 + 2.0 * np.random.default_rng(0).normal(size=20_000)
    center, scale = robust_scale(noise)
    assert center == pytest.approx(5.0, abs=0.05)
    assert scale == pytest.approx(2.0, rel=0.03)


def test_outliers_do_not_move_the_scale():
    noise = np.random.default_rng(0).normal(size=1000)
    wild = noise.copy()
    wild[:50] = 1e9
    assert robust_scale(wild)[1] == pytest.approx(robust_scale(noise)[1], rel=0.15)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (0.0, 1.0)),
        ([3.0], (3.0, 1.0)),
        ([7.0] * 10, (7.0, 1.0)),
        ([0.0] * 9 + [10.0], (0.0, 3.0)),  # more than half are equal: the standard deviation
    ],
)
def test_degenerate_scales(values, expected):
    assert robust_scale(np.array(values)) == pytest.approx(expected)


@given(series)
def test_scale_is_positive_and_z_is_finite(x):
    assert robust_scale(x)[1] > 0
    assert np.isfinite(robust_z(x)).all()


@given(series)
def test_squash_stays_in_range_and_keeps_the_order(x):
    scores = squash(x)
    assert ((scores >= 0) & (scores < 1)).all()
    order = np.argsort(x, kind="stable")
    assert (np.diff(scores[order]) >= 0).all()


def test_six_sigmas_score_one_half():
    noise = np.random.default_rng(0).normal(size=10_001)
    center, scale = robust_scale(noise)
    noise[0] = center + 6.0 * scale
    assert squash(noise)[0] == pytest.approx(0.5, abs=1e-3)
    assert squash(np.array([1.0, 2.0, 3.0]))[0] == 0.0
