import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.errors import EvaluationError
from tsloop.evaluation.clicks import Clicks, count_clicks, edges_off
from tsloop.evaluation.matching import Matching, match_events
from tsloop.intervals import Interval, from_mask

spans = st.lists(
    st.builds(lambda a, n: Interval(a, a + n), st.integers(0, 40), st.integers(0, 8)), max_size=7
)
apart = st.lists(st.booleans(), max_size=40).map(lambda m: from_mask(np.array(m, dtype=bool)))


def literal(truth, predicted, least):
    """All pairs from the best down, each side once."""
    pairs = sorted(
        (
            (-t.iou(p), t.start + p.start, abs(t.start - p.start), i, j)
            for (i, t), (j, p) in itertools.product(enumerate(truth), enumerate(predicted))
            if t.overlap(p) and t.iou(p) >= least
        ),
    )
    taken = []
    for *_, i, j in pairs:
        if all(i != a and j != b for a, b in taken):
            taken.append((i, j))
    return sorted(taken)


@given(spans, spans, st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_is_the_greedy_choice_for_any_intervals(truth, predicted, least):
    found = match_events(truth, predicted, least)
    assert list(found.pairs) == literal(truth, predicted, least)
    assert sorted([t for t, _ in found.pairs] + list(found.missed)) == list(range(len(truth)))
    assert sorted([p for _, p in found.pairs] + list(found.false)) == list(range(len(predicted)))


@given(apart, apart)
def test_sides_may_be_swapped_and_stricter_finds_less(truth, predicted):
    found = match_events(truth, predicted)
    swapped = match_events(predicted, truth)
    assert sorted((t, p) for p, t in swapped.pairs) == list(found.pairs)
    assert len(match_events(truth, predicted, 0.5).pairs) <= len(found.pairs)


@given(apart)
def test_truth_itself_is_perfect(truth):
    found = match_events(truth, truth, 1.0)
    assert found.pairs == tuple((i, i) for i in range(len(truth)))
    assert count_clicks(truth, truth).total == 0


def test_a_cut_event_is_found_once_and_a_wide_prediction_finds_one():
    whole, parts = [Interval(10, 29)], [Interval(10, 14), Interval(16, 25), Interval(27, 29)]
    assert match_events(whole, parts) == Matching(((0, 1),), (), (0, 2))
    assert match_events(parts, whole) == Matching(((1, 0),), (0, 2), ())
    assert match_events(whole, parts, 0.6) == Matching((), (0,), (0, 1, 2))


def test_equal_overlaps_are_taken_from_the_left():
    assert match_events([Interval(5, 8)], [Interval(7, 8), Interval(5, 6)]).pairs == ((0, 1),)


def test_least_iou_outside_its_range_is_refused():
    with pytest.raises(EvaluationError, match=r"\[0, 1\], got 1.5"):
        match_events([], [], 1.5)


@pytest.mark.parametrize(
    ("truth", "predicted", "edges"),
    [
        (Interval(10, 10), Interval(9, 11), 0),  # one row is always allowed
        (Interval(10, 10), Interval(8, 11), 1),
        (Interval(100, 199), Interval(110, 189), 0),  # a tenth of the length
        (Interval(100, 199), Interval(111, 188), 2),
    ],
)
def test_edges_have_a_tolerance(truth, predicted, edges):
    assert edges_off(truth, predicted) == edges


def test_clicks_by_hand():
    truth = [Interval(10, 19, "spike"), Interval(40, 49, "drift"), Interval(80, 80, "spike")]
    predicted = [Interval(10, 25, "spike"), Interval(41, 48, "spike"), Interval(60, 61, "spike")]
    # found: one edge off; found: wrong label; false; missed
    assert count_clicks(truth, predicted) == Clicks(missed=1, false=1, edges=1, n_events=3)
    assert count_clicks(truth, predicted).total == 4
    assert count_clicks(truth, predicted, labels=True).total == 5
    assert count_clicks(truth, predicted).saved == pytest.approx(1 - 4 / 6)


def test_a_truth_without_a_type_calls_no_type_wrong():
    truth, predicted = (
        [Interval(1, 2), Interval(5, 6, "spike")],
        [
            Interval(1, 2, "drift"),
            Interval(5, 6),
        ],
    )
    assert count_clicks(truth, predicted, labels=True) == Clicks(labels=1, n_events=2)


def test_clicks_add_up_and_nothing_proposed_saves_nothing():
    truth = [Interval(1, 2), Interval(5, 5)]
    assert Clicks.untouched(truth) == count_clicks(truth, [])
    assert Clicks.untouched(truth).saved == 0.0
    both = Clicks.untouched(truth) + count_clicks([], [Interval(3, 3)])
    assert both == Clicks(missed=2, false=1, n_events=2)
    assert both.saved == -0.25
    assert Clicks(false=3).saved is None


@given(apart, apart)
def test_clicks_have_bounds(truth, predicted):
    clicks = count_clicks(truth, predicted, labels=True)
    assert 0 <= clicks.total <= 2 * len(truth) + len(predicted)
