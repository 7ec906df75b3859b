"""Normalisation keeps the values; the text before a series is what official models know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.chatts.native.prefixes import LIMIT, PREFIXES, normalise, render_prefix
from tsloop.errors import ConfigError, SeriesValidationError

numbers = st.floats(-1e12, 1e12, allow_nan=False)


def demo() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The series of ChatTS's published demo."""
    series = 5.0 * np.sin(np.arange(256) / 10)
    series[100:] -= 10.0
    return series


def test_the_published_example() -> None:
    assert render_prefix(normalise(demo()), "v2") == (
        "[offset=6.0772|scaling=3.6917|length=256|max=4.9979|min=-15.0000|left=0.0000|right=-8.2047]"
    )


def test_the_paper_prefix() -> None:
    assert render_prefix(normalise(demo()), "paper") == (
        "[Value Offset: 6.0772|Value Scaling: 3.6917]"
    )


def test_the_general_prefix_keeps_tiny_values() -> None:
    assert render_prefix(normalise([1.5e-7, 2.5e-7]), "general") == (
        "[offset=-2e-07|scaling=1|length=2|max=2.5e-07|min=1.5e-07|left=1.5e-07|right=2.5e-07]"
    )


@given(st.lists(numbers, min_size=1, max_size=50))
def test_values_come_back(series: list[float]) -> None:
    one = normalise(series)
    assert np.abs(one.values).max() <= LIMIT * (1 + 1e-12)
    size = max(1.0, float(np.abs(one.raw).max()))
    np.testing.assert_allclose(one.values * one.scale - one.offset, one.raw, atol=1e-9 * size)


@given(st.lists(st.floats(-1.4, 1.4), min_size=1, max_size=50), st.integers(-1000, 1000))
def test_small_series_are_centred_and_never_scaled(series: list[float], level: int) -> None:
    one = normalise(np.array(series) + level)
    assert one.scale == 1.0
    np.testing.assert_array_equal(one.values, one.raw - one.raw.mean())


def test_the_limit_itself_counts_as_large() -> None:
    assert normalise([-3.0, 3.0]).scale == 1.0
    assert normalise([-6.0, 6.0]).scale == 2.0
    assert normalise([5.0]).values.tolist() == [0.0]


@given(st.lists(numbers, min_size=1, max_size=20), st.sampled_from(sorted(PREFIXES)))
def test_no_prefix_breaks_its_frame(series: list[float], style: str) -> None:
    text = render_prefix(normalise(series), style)
    assert text.startswith("[")
    assert text.endswith("]")
    assert not {"<", "\n"} & set(text)


@pytest.mark.parametrize(
    ("series", "match"),
    [
        ([], r"shape \(0,\)"),
        ([[1.0]], r"shape \(1, 1\)"),
        ([1.0, np.nan], "nan at row 1"),
        ([1.0, 2.0, -np.inf], "-inf at row 2"),
        ([1.7e308, 1.7e308], "overflow"),
        ([1.7e308, -1.7e308, -1.7e308, -1.7e308], "overflow"),
    ],
)
def test_what_is_no_series_is_refused(series: list[float], match: str) -> None:
    with pytest.raises(SeriesValidationError, match=match):
        normalise(series)


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ConfigError, match="'v3' is unknown"):
        render_prefix(normalise([1.0]), "v3")
