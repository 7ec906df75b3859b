"""Channels, windows and blending: finite everywhere, exact where exactness is promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.chatts.blending import (
    Blend,
    choose_blend,
    event_f1_curve,
    mix,
    spread_logit,
    usual_peak,
)
from tsloop.chatts.channels import CHANNELS, clear_cache, compute_channels, series_channels
from tsloop.chatts.folds import deal_folds
from tsloop.chatts.windows import blend, triangle, window_starts
from tsloop.errors import SeriesError
from tsloop.intervals import Interval
from tsloop.series.types import Series


def wave(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(n) / 9.0) + 0.1 * rng.normal(size=n)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 31, 32, 100, 1500])
def test_channels_are_finite_at_any_length(n: int) -> None:
    found = compute_channels(wave(n))
    assert found.channels.shape == (n, len(CHANNELS))
    assert found.channels.dtype == np.float32
    assert np.isfinite(found.channels).all()
    assert found.knn_z.shape == (n,)
    assert (found.knn_z >= 0).all()


@pytest.mark.parametrize("values", [np.zeros(200), np.r_[np.zeros(199), 1e12], np.arange(200.0)])
def test_channels_of_degenerate_series_are_finite(values: np.ndarray) -> None:
    assert np.isfinite(compute_channels(values).channels).all()


def test_missing_samples_are_bridged_and_marked() -> None:
    values = wave(300)
    values[50:60] = np.nan
    found = compute_channels(values).channels
    assert np.isfinite(found).all()
    assert (found[50:60, CHANNELS.index("missing")] > 0).all()
    assert found[:50, CHANNELS.index("missing")].max() == 0


def test_flat_run_counts_equal_neighbours() -> None:
    values = wave(100)
    values[40:50] = values[40]
    flat = compute_channels(values).channels[:, CHANNELS.index("flat_run")]
    assert np.allclose(flat[40:50], np.arcsinh(np.log1p(9) / 3))
    assert flat[39] == 0


def test_channels_are_kept_by_content() -> None:
    clear_cache()
    stamps = np.arange(300, dtype=np.int64)
    one, same = Series("a", stamps, wave(300)), Series("b", stamps, wave(300))
    assert series_channels(one) is series_channels(same)
    assert series_channels(Series("a", stamps, wave(300, 1))) is not series_channels(one)
    with pytest.raises(SeriesError, match="no value"):
        series_channels(Series("empty", stamps, np.full(300, np.nan)))


@given(n=st.integers(1, 400), window=st.integers(1, 64), stride=st.integers(1, 64))
@settings(max_examples=80, deadline=None)
def test_windows_cover_every_row_and_blend_gives_back_what_they_agree_on(
    n: int, window: int, stride: int
) -> None:
    stride = min(stride, window)
    starts = window_starts(n, window, stride)
    truth = np.arange(n, dtype=np.float32)
    padded = np.concatenate((truth, np.full(window, -1e9, np.float32)))
    parts = np.stack([padded[s : s + window] for s in starts])
    assert np.allclose(blend(parts, starts, n), truth, atol=1e-3)


def test_triangle_is_positive_and_symmetric() -> None:
    for n in (1, 2, 5, 8):
        assert (triangle(n) > 0).all()
        assert np.array_equal(triangle(n), triangle(n)[::-1])


def test_mix_is_between_zero_and_one_and_rises_with_both_parts() -> None:
    logit, z = np.linspace(-50, 50, 50), np.linspace(0, 1e9, 50)
    for weight in (0.0, 0.5, 1.0):
        scores = mix(logit, z, Blend(weight, 17))
        assert ((scores > 0) & (scores < 1)).all()
        assert (np.diff(scores) >= 0).all()


def test_a_restless_series_is_lowered_and_a_quiet_one_is_not() -> None:
    quiet = np.full(960, -6.0)
    quiet[100] = 4.0
    restless = quiet.copy()
    restless[::50] = 4.0
    assert usual_peak(quiet) == -6.0
    assert usual_peak(restless) == 4.0
    assert usual_peak(quiet[:700]) == -np.inf
    z = np.zeros(960)
    alone = Blend(0.0, 1)
    assert mix(quiet, z, alone)[100] > 0.9 > mix(restless, z, alone)[100]


def test_event_f1_curve_counts_events_and_false_runs() -> None:
    scores = np.zeros(500)
    scores[100:110], scores[300] = 0.9, 0.5
    curve = event_f1_curve([scores], [[Interval(105, 106)]])
    assert curve.max() == 1.0
    assert event_f1_curve([scores], [[]]).max() == 0.0


def test_choose_blend_prefers_the_part_that_knows_and_keeps_the_prior_on_a_tie() -> None:
    rng = np.random.default_rng(0)
    truth = [[Interval(200, 205), Interval(600, 604)]]
    good, bad = np.full(1000, -5.0), rng.normal(-5, 3, 1000)
    for event in truth[0]:
        good[event.start : event.end + 1] = 5.0
    weights, prior = [0.0, 0.5, 1.0], Blend(0.5, 1)
    noise = [rng.uniform(0, 50, 1000)]
    assert choose_blend([good], noise, truth, weights, [1], prior)[0].weight < 1
    assert choose_blend([bad], [np.exp(good) * 6], truth, weights, [1], prior)[0].weight > 0
    assert choose_blend([good], [np.zeros(1000)], truth, [0.25], [1], prior)[0] == prior


def test_choose_blend_spreads_where_people_mark_more_than_the_change() -> None:
    """Lone peaks inside wide events, and peaks side by side: only spread they are one event."""
    logit, truth = np.full(3000, -5.0), [[Interval(at - 12, at + 12) for at in (500, 1500, 2500)]]
    for event in truth[0]:
        logit[event.start + 2 : event.end : 11] = 5.0
    blend, figure = choose_blend([logit], [np.zeros(3000)], truth, [0.0], [1, 17], Blend(0.0, 1))
    assert (blend.spread, figure) == (17, 1.0)


def test_spreading_keeps_peaks_and_is_off_at_one_row() -> None:
    logit = np.array([-5.0] * 20 + [5.0] + [-5.0] * 20)
    assert spread_logit(logit, 1) is logit
    spread = spread_logit(logit, 5)
    assert spread.argmax() == 20
    assert spread.max() == 5.0
    assert (spread[14:27] > -5.0).sum() == 9


@given(groups=st.lists(st.sampled_from("abcdef"), min_size=2, max_size=30), folds=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_folds_keep_groups_together_and_none_is_empty(groups: list[str], folds: int) -> None:
    dealt = deal_folds(groups, [1] * len(groups), folds, 0)
    assert len({*zip(groups, dealt, strict=True)}) == len(set(groups))
    if len(set(groups)) > 1:
        assert set(dealt) == set(range(max(2, min(folds, len(set(groups))))))


@given(
    groups=st.lists(st.sampled_from("abcdef"), min_size=2, max_size=30),
    folds=st.integers(1, 5),
    known=st.dictionaries(st.sampled_from("abxy"), st.integers(0, 3), min_size=1),
)
@settings(max_examples=60, deadline=None)
def test_known_groups_keep_their_fold_and_new_ones_fill_the_emptiest(
    groups: list[str], folds: int, known: dict[str, int]
) -> None:
    dealt = dict(zip(groups, deal_folds(groups, [1] * len(groups), folds, 0, known), strict=True))
    assert all(dealt[group] == known[group] for group in dealt if group in known)
    assert all(0 <= fold < max(4, folds) for fold in dealt.values())
    new = [group for group in dealt if group not in known]
    if len(new) >= max(2, folds, *(fold + 1 for fold in known.values())):
        assert len(set(dealt.values())) > 1
