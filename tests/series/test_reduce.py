"""Reduced views and thumbnails: no spike and no gap is lost."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import image

from tsloop.errors import SeriesError
from tsloop.intervals import from_mask
from tsloop.series.reduce import m4_positions, reduce_series
from tsloop.series.thumbnails import draw_thumbnail
from tsloop.series.types import Series


@st.composite
def walks(draw: st.DrawFn) -> np.ndarray:
    """A random walk with some gaps, some of them one row long."""
    n = draw(st.integers(1, 3000))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = np.cumsum(rng.normal(size=n))
    for start in rng.integers(0, n, draw(st.integers(0, 12))):
        values[start : start + int(rng.integers(1, 40))] = np.nan
    return values


@settings(max_examples=60, deadline=None)
@given(walks(), st.integers(1, 60).map(lambda k: 4 * k))
def test_positions_increase_strictly_and_hold_both_ends(values: np.ndarray, n_out: int) -> None:
    positions = m4_positions(values, n_out)
    assert positions.dtype == np.int64
    assert (np.diff(positions) > 0).all()
    assert (positions[0], positions[-1]) == (0, len(values) - 1)
    assert len(positions) <= max(min(len(values), n_out), 6 * n_out)
    if len(values) <= n_out:
        assert positions.tolist() == list(range(len(values)))


@settings(max_examples=60, deadline=None)
@given(walks(), st.data())
def test_a_spike_of_one_row_stays(values: np.ndarray, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(values) - 1))
    values[row] = data.draw(st.sampled_from([1e6, -1e6]))
    assert row in m4_positions(values, 16)


@settings(max_examples=60, deadline=None)
@given(walks())
def test_every_gap_stays_with_its_exact_edges(values: np.ndarray) -> None:
    positions = m4_positions(values, 16)
    shown = from_mask(np.isnan(values[positions]))
    seen = [(int(positions[gap.start]), int(positions[gap.end])) for gap in shown]
    assert seen == [(gap.start, gap.end) for gap in from_mask(np.isnan(values))]


@settings(max_examples=60, deadline=None)
@given(walks(), st.integers(1, 30).map(lambda k: 4 * k))
def test_the_drawn_envelope_is_the_true_one(values: np.ndarray, n_out: int) -> None:
    """Every bucket's lowest and highest value is among the kept rows."""
    positions = m4_positions(values, n_out)
    kept = np.full(len(values), np.nan)
    kept[positions] = values[positions]
    for bucket in np.array_split(np.arange(len(values)), max(1, n_out // 8)):
        here = values[bucket]
        if np.isfinite(here).any():
            spread = np.nanmax(kept) - np.nanmin(kept)
            assert spread == np.nanmax(values) - np.nanmin(values)


def test_more_gaps_than_points_leave_one_per_bucket() -> None:
    values = np.arange(10_000, dtype=float)
    values[::2] = np.nan
    positions = m4_positions(values, 40)
    assert len(positions) <= 240
    assert all(np.isnan(values[p]).any() for p in np.array_split(positions, 8))


@pytest.mark.parametrize("values", [np.full(5000, np.nan), np.full(5000, 7.0)])
def test_nothing_to_see_is_still_a_view(values: np.ndarray) -> None:
    positions = m4_positions(values, 400)
    assert (np.diff(positions) > 0).all()
    assert len(positions) <= 800


@pytest.mark.parametrize("n_out", [0, 3, 10, -4])
def test_impossible_sizes_are_refused(n_out: int) -> None:
    with pytest.raises(SeriesError, match="multiple of 4"):
        m4_positions(np.zeros(100), n_out)


def test_one_spike_and_one_gap_in_ten_million_rows() -> None:
    values = np.sin(np.arange(10_000_000) / 1e5)
    values[7_654_321] = 5.0
    values[1_234_567] = np.nan
    positions = m4_positions(values, 4000)
    assert {7_654_321, 1_234_566, 1_234_567, 1_234_568} <= set(positions.tolist())
    assert len(positions) < 4100


def test_a_view_maps_back_to_stored_rows() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    series = Series("a", np.arange(1000) * 10**9, values)
    view = reduce_series(series, 40)
    assert len(view) == len(view.positions)
    assert (view.values == values[view.positions]).all()
    assert (view.timestamps == series.timestamps[view.positions]).all()


# --- thumbnails ----------------------------------------------------------------------------------


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(image.imread(io.BytesIO(png), format="png"))


def test_a_thumbnail_has_its_size_and_the_same_bytes() -> None:
    values = np.sin(np.arange(3000) / 100)
    png = draw_thumbnail(values, 120, 40)
    assert pixels(png).shape == (40, 120, 4)
    assert png == draw_thumbnail(values.copy(), 120, 40)
    assert len(png) < 6000


def test_a_spike_of_one_row_reaches_the_top() -> None:
    values = np.zeros(1_000_000)
    values[500_000] = 1.0
    alpha = pixels(draw_thumbnail(values, 240, 60))[:, :, 3]
    assert alpha[:6, 118:123].max() > 0.5
    assert alpha[:6, :115].max() == 0
    assert alpha[-6:, :115].max() > 0.5


def test_gaps_are_shaded_and_hold_no_line() -> None:
    values = np.zeros(1000)
    values[400:600] = np.nan
    picture = pixels(draw_thumbnail(values, 100, 20))
    assert (picture[0, 45:55, 3] > 0).all()
    assert (picture[0, :35, 3] == 0).all()
    one_row = np.zeros(100_000)
    one_row[50_000] = np.nan
    assert pixels(draw_thumbnail(one_row, 100, 20))[0, 50, 3] > 0


@pytest.mark.parametrize(
    "values",
    [
        np.array([]),
        np.array([1.0]),
        np.array([np.nan]),
        np.full(1000, np.nan),
        np.full(1000, -3.5),
        np.array([1e308, -1e308] * 50),
        np.array([5e-324, 0.0] * 50),
    ],
)
def test_strange_series_are_drawn(values: np.ndarray) -> None:
    assert pixels(draw_thumbnail(values, 60, 20)).shape == (20, 60, 4)


@settings(max_examples=40, deadline=None)
@given(walks(), st.integers(1, 300), st.integers(10, 80))
def test_every_size_can_be_drawn(values: np.ndarray, width: int, height: int) -> None:
    assert draw_thumbnail(values, width, height).startswith(b"\x89PNG")
