from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tsloop.labels import builtin_label_set
from tsloop.signals.shape import FEATURE_NAMES, describe_shape, shape_features
from tsloop.signals.surroundings import Surroundings

ROWS = np.arange(1000)


def wave():
    noise = 0.1 * np.random.default_rng(1).normal(size=len(ROWS))
    return 10.0 + np.sin(2 * np.pi * ROWS / 144) + noise


def add(values, start, stop, what):
    values[start:stop] += what
    return values


def clip(values, start, stop):
    part = values[start:stop]
    values[start:stop] = np.minimum(part, np.median(part))
    return values


CASES = {
    "upward_spike": (lambda v: add(v, 500, 503, 3.0), 500, 503, "above the local level for 3"),
    "downward_spike": (lambda v: add(v, 500, 501, -2.0), 500, 501, "below the local level for 1 "),
    "double_spike": (
        lambda v: add(add(v, 500, 503, 3.0), 503, 506, -3.0),
        500,
        506,
        "within 6 rows",
    ),
    "step_up": (lambda v: add(v, 500, 1000, 3.0), 495, 510, "the level moves by +"),
    "step_down": (lambda v: add(v, 500, 540, -3.0), 500, 540, "below the local level for 40 rows"),
    "gradual_drift": (
        lambda v: add(v, 500, 600, np.linspace(0.0, 5.0, 100)),
        500,
        600,
        "drifts away by +",
    ),
    "sudden_drift": (
        lambda v: add(v, 500, 560, 5.0 * np.exp(-np.arange(60) / 20)),
        500,
        560,
        "jumps by +",
    ),
    "oscillation": (
        lambda v: add(v, 500, 560, 2.0 * np.sin(np.arange(60) / 5 * 2 * np.pi)),
        500,
        560,
        "swings by",
    ),
    "variance_change": (
        lambda v: add(v, 500, 560, 0.3 * np.random.default_rng(2).normal(size=60)),
        500,
        560,
        "times the usual for 60 rows",
    ),
    "flatline": (lambda v: add(v, 500, 560, v[500] - v[500:560]), 500, 560, "stuck at one value"),
    "clipping": (lambda v: clip(v, 500, 540), 500, 540, "held at one limit in "),
    "dropout": (lambda v: add(v, 500, 530, -v[500:530]), 500, 530, "zero for 30 rows"),
    "contextual": (lambda v: v, 500, 512, "within the usual values"),
}


@pytest.mark.parametrize("label", CASES)
def test_each_shape_gets_its_label_and_a_reason(label):
    change, start, stop, reason = CASES[label]
    shape = describe_shape(change(wave()), start, stop)
    assert shape.label == label
    assert reason in shape.reason


def test_a_slope_around_the_stretch_is_not_a_step():
    values = 0.05 * ROWS + 0.1 * np.random.default_rng(3).normal(size=len(ROWS))
    values[500:504] += 4.0
    assert describe_shape(values, 500, 504).label == "upward_spike"


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (996, 1000)])
def test_stretches_at_the_ends_have_one_side(start, stop):
    assert describe_shape(add(wave(), start, stop, 3.0), start, stop).label == "upward_spike"


@settings(deadline=None, max_examples=80)
@given(
    arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6, allow_nan=False)),
    st.data(),
)
def test_any_stretch_of_any_series_gets_a_known_label_and_finite_features(values, data):
    start = data.draw(st.integers(0, len(values) - 1))
    stop = data.draw(st.integers(start + 1, len(values)))
    shape = describe_shape(values, start, stop)
    assert shape.label in builtin_label_set()
    assert shape.reason
    features = shape_features(values, start, stop)
    assert features.shape == (len(FEATURE_NAMES),)
    assert np.isfinite(features).all()


def test_features_have_no_unit():
    values = add(wave(), 500, 512, 3.0)
    scaled = shape_features(1000.0 * values, 500, 512)
    assert scaled == pytest.approx(shape_features(values, 500, 512), abs=1e-6)


def test_surroundings_leave_the_stretch_out():
    around = Surroundings.of(add(wave(), 500, 512, 1e6), 500, 512)
    assert abs(around.center - 10.0) < 2.0
    assert around.high < 20.0
