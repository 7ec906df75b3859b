"""Changes of windows: they keep labels true, or are not made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.chatts.augmentation import augment, can_flip, can_reverse, can_shift, flip, jitter
from tsloop.labels import builtin_label_set

LABELS = builtin_label_set().ids
DIRECTED = {
    "upward_spike": "downward_spike",
    "downward_spike": "upward_spike",
    "step_up": "step_down",
    "step_down": "step_up",
}


@st.composite
def windows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Values, and one label over some rows."""
    n = draw(st.integers(8, 64))
    values = np.random.default_rng(draw(st.integers(0, 99))).normal(size=n)
    label = np.full(n, -1)
    first, last = sorted(draw(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))))
    label[first : last + 1] = draw(st.integers(-1, len(LABELS) - 1))
    return values, label


@given(windows())
def test_two_flips_are_none(window: tuple[np.ndarray, np.ndarray]) -> None:
    values, label = window
    again, back = flip(*flip(values, label, LABELS), LABELS)
    np.testing.assert_allclose(again, values, atol=1e-12)
    assert np.array_equal(back, label)


@given(windows())
def test_a_flip_swaps_up_and_down_only(window: tuple[np.ndarray, np.ndarray]) -> None:
    values, label = window
    mirrored, swapped = flip(values, label, LABELS)
    assert np.median(mirrored) == pytest.approx(np.median(values))
    assert np.array_equal(np.argsort(mirrored), np.argsort(-values))
    for before, after in zip(label, swapped, strict=True):
        name = LABELS[before] if before >= 0 else ""
        assert (LABELS[after] if after >= 0 else "") == DIRECTED.get(name, name)


@given(windows(), st.integers(0, 999))
def test_direction_and_label_agree_after_every_change(
    window: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    """The values keep their order or turn it over, and the label follows."""
    values, label = window
    kept = values.copy(), label.copy()
    changed = augment(values, label, LABELS, np.random.default_rng(seed))
    assert np.array_equal(values, kept[0])
    assert np.array_equal(label, kept[1])
    found, after = changed.values, changed.label
    if changed.reversed:
        found, after = found[::-1], after[::-1]
    upright = np.array_equal(np.argsort(found), np.argsort(values))
    assert upright or np.array_equal(np.argsort(found), np.argsort(-values))
    rows = label >= 0
    assert np.array_equal(rows, after >= 0)
    if rows.any():
        name = LABELS[label[rows][0]]
        assert LABELS[after[rows][0]] == (name if upright else DIRECTED.get(name, name))
        if "step" in name or "drift" in name:
            assert not changed.reversed
        if name == "dropout":
            assert upright
            assert np.allclose(found / values, (found / values)[0])


def test_what_a_label_allows() -> None:
    assert can_flip(["upward_spike", "gradual_drift"], LABELS)
    assert not can_flip(["upward_spike"], ["upward_spike"])
    assert not can_flip(["dropout"], LABELS)
    assert can_reverse(["upward_spike", "dropout"])
    for name in ("step_up", "gradual_drift", "sudden_drift", "anomaly", "contextual"):
        assert not can_reverse([name])
    assert can_shift(["step_up", "anomaly"])
    assert not can_shift(["dropout"])
    for allowed in (can_reverse(["our_own"]), can_shift(["our_own"]), can_flip(["our_own"], [])):
        assert not allowed


def test_every_built_in_label_is_known() -> None:
    """A label that is added must be thought about here."""
    assert {name for name in LABELS if not can_flip([name], LABELS)} == {"dropout"}
    assert {name for name in LABELS if not can_shift([name])} == {"dropout"}


def test_noise_leaves_a_stuck_value_stuck() -> None:
    values = np.r_[np.arange(20.0), np.full(10, 7.0), np.arange(20.0)]
    noisy = jitter(values, 0.1, np.random.default_rng(0))
    assert set(noisy[20:30]) == {7.0}
    moved = np.r_[noisy[:20] - values[:20], noisy[30:] - values[30:]]
    assert 0.3 < moved.std() < 1.5
    assert np.array_equal(jitter(np.full(9, 2.0), 0.1, np.random.default_rng(0)), np.full(9, 2.0))
