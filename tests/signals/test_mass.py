"""MASS against the definition, computed window by window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.signals.mass import best_matches, mass


def by_definition(query: np.ndarray, x: np.ndarray) -> np.ndarray:
    def shape(window: np.ndarray) -> np.ndarray:
        return (window - window.mean()) / window.std()

    windows = np.lib.stride_tricks.sliding_window_view(x, len(query))
    return np.array([np.linalg.norm(shape(query) - shape(w)) for w in windows])


@given(st.integers(0, 10_000), st.integers(8, 40), st.sampled_from([0.0, 1e6, -3e8]))
def test_it_is_the_distance_of_the_definition(seed: int, width: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=120) + level
    query = rng.normal(size=width) * 7 + level
    found = mass(query, x)
    assert found == pytest.approx(by_definition(query, x), abs=1e-3)


def test_a_copy_is_found_whatever_its_level_and_size() -> None:
    rng = np.random.default_rng(0)
    query = np.sin(np.arange(50) / 4)
    x = rng.normal(scale=0.05, size=5000)
    x[1200:1250] += 30 * query
    x[3000:3050] += 0.8 * query + 4
    best = best_matches(mass(query, x), 50, 2)
    assert {start for start, _ in best} == {1200, 3000}


def test_gaps_flat_and_short_series_are_no_matches() -> None:
    query = np.sin(np.arange(20.0))
    x = np.concatenate([np.zeros(30), np.sin(np.arange(40.0)), np.full(30, np.nan)])
    found = mass(query, x)
    assert np.isinf(found[60:]).all()
    assert found[30] == pytest.approx(0.0, abs=1e-3)
    assert found[0] == pytest.approx(np.sqrt(20))
    assert mass(np.zeros(5), np.zeros(9)) == pytest.approx(np.zeros(5))
    assert len(mass(query, x[:5])) == 0
    assert best_matches(np.array([np.inf, np.inf]), 3, 5) == []
    assert np.isinf(mass(query, np.full(30, np.nan))).all()


def test_matches_share_at_most_half_of_their_rows() -> None:
    starts = [start for start, _ in best_matches(np.arange(100.0), 10, 8)]
    assert min(np.diff(sorted(starts))) > 5
