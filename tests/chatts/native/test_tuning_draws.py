"""Which examples a step learns from."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from tuning_tools import LABELS, config, window

from tsloop.chatts.native.tuning import ScoreWindow, TuneData, score_window
from tsloop.chatts.native.tuning.draws import Drawer
from tsloop.errors import DetectorError


def quiet(number: float) -> ScoreWindow:
    """A window without an event, told by its values."""
    return score_window(np.full(16, number), [], LABELS)


def drawer(data: TuneData, synthetic: list[ScoreWindow] | None = None, **changes: Any) -> Drawer:
    settings = {"jitter": 0.0, "event_share": 0.0, "batch_size": 3} | changes
    return Drawer(data, synthetic or [], config(**settings), "score", LABELS, seed=0)


def drawn(found: Drawer, steps: int) -> list[ScoreWindow]:
    return [window for step in range(steps) for window in found.step(step).windows]


def numbers(found: Drawer, steps: int) -> list[float]:
    return [float(window.values[0]) for window in drawn(found, steps)]


def test_every_window_is_seen_before_one_is_seen_again() -> None:
    found = numbers(drawer(TuneData(score=[quiet(i) for i in range(6)])), 4)
    assert sorted(found[:6]) == sorted(found[6:]) == [0, 1, 2, 3, 4, 5]
    assert found[:6] != found[6:]


def test_a_step_is_the_same_whatever_was_drawn_before() -> None:
    settings: dict[str, Any] = {"augment": 0.7, "jitter": 0.1}
    data = TuneData(score=[window(seed) for seed in range(5)])
    in_order = [drawer(data, **settings).step(n) for n in range(4)]
    alone = drawer(data, **settings).step(3)
    for one, other in zip(in_order[3].windows, alone.windows, strict=True):
        assert np.array_equal(one.values, other.values)


def test_shares_are_exact_also_in_batches_of_one() -> None:
    data = TuneData(score=[quiet(1), window(2)], old_score=[quiet(3)], valid_score=[quiet(9)])
    shares = {"synthetic_replay_share": 0.25, "replay_share": 0.4, "event_share": 0.5}
    found = drawn(drawer(data, [quiet(4)], batch_size=1, **shares), 400)
    kinds = Counter("event" if w.target.any() else float(w.values[0]) for w in found)
    assert kinds == {4.0: 100, 3.0: 120, "event": 90 + 45, 1.0: 45}


def test_without_old_or_synthetic_windows_all_are_new() -> None:
    shares = {"synthetic_replay_share": 0.5, "replay_share": 0.5}
    assert set(numbers(drawer(TuneData(score=[quiet(1)]), **shares), 3)) == {1.0}
    assert set(numbers(drawer(TuneData(old_score=[quiet(2)]), **shares), 3)) == {2.0}


def test_a_changed_window_keeps_its_targets_in_place() -> None:
    """The rows of a spike are those where the values are extreme, whatever was done to them."""
    data = TuneData(score=[window(seed) for seed in range(6)])
    for found in drawn(drawer(data, augment=1.0, jitter=0.05), 20):
        rows = found.target > 0
        middle = np.median(found.values)
        assert (
            np.abs(found.values[rows] - middle).min() > np.abs(found.values[~rows] - middle).max()
        )
        above = found.values[rows].mean() > middle
        assert set(found.label[rows]) == {0 if above else 1}
        assert set(found.weight[rows]) == {found.weight.max()}


def test_windows_that_are_not_one_are_refused() -> None:
    ones = np.ones(4, np.float32)
    with pytest.raises(DetectorError, match="must be of one length"):
        ScoreWindow(np.ones(5), ones, ones, np.zeros(4, np.int64))
    with pytest.raises(DetectorError, match="not finite"):
        ScoreWindow(np.full(4, np.nan), ones, ones, np.zeros(4, np.int64))
