from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.detectors.edges import EdgeRule, edge_worth, fit_edges, local_deviation
from tsloop.errors import DetectorError
from tsloop.intervals import Interval


def series(*events, n=600, slope=0.0, seed=0):
    values = 0.1 * np.random.default_rng(seed).normal(size=n) + slope * np.arange(n)
    for event in events:
        values[event.start : event.end + 1] += 3.0
    return values


def test_deviation_is_measured_from_the_line_between_the_sides():
    values = series(Interval(300, 309), slope=0.05)
    deviation = local_deviation(values, 280, 330, 32)
    assert deviation.shape == (51,)
    assert deviation[20:30].min() > 3.0
    assert np.median(np.delete(deviation, np.arange(20, 30))) < 1.5


@pytest.mark.parametrize(("start", "end"), [(0, 40), (560, 599), (0, 599)])
def test_deviation_at_the_ends_and_over_everything_is_finite(start, end):
    assert np.isfinite(local_deviation(series(), start, end, 32)).all()
    assert np.isfinite(local_deviation(np.ones(600), start, end, 32)).all()


def test_a_wide_interval_shrinks_to_the_event_and_gets_its_padding():
    event = Interval(300, 309)
    wide = Interval(270, 340, "anomaly", 0.9)
    assert EdgeRule(pad_start=0, pad_end=0).apply(series(event), [wide]) == [
        Interval(300, 309, "anomaly", 0.9)
    ]
    padded = EdgeRule(pad_start=2, pad_end=5).apply(series(event), [wide])
    assert [(i.start, i.end) for i in padded] == [(298, 314)]


def test_events_far_apart_are_split_and_near_ones_are_not():
    values = series(Interval(300, 304), Interval(330, 334), Interval(338, 340))
    parts = EdgeRule(gap=10, pad_start=0, pad_end=0).apply(values, [Interval(280, 360)])
    assert [(i.start, i.end) for i in parts] == [(300, 304), (330, 340)]


def test_a_quiet_interval_stays_as_it_is():
    assert EdgeRule(level=9.0).apply(series(), [Interval(100, 130)]) == [Interval(100, 130)]


def examples():
    """Predictions 20 rows too wide; the team marks 3 rows before and 6 after each event."""
    values, predicted, truths = [], [], []
    for seed in range(4):
        cores = [Interval(100 + seed, 110 + seed), Interval(400, 404 + seed)]
        values.append(series(*cores, seed=seed))
        predicted.append([Interval(c.start - 20, c.end + 20) for c in cores])
        truths.append([Interval(c.start - 3, c.end + 6) for c in cores])
    return values, predicted, truths


def test_fitting_learns_how_the_team_marks_events():
    values, predicted, truths = examples()
    rule = fit_edges(values, predicted, truths)
    assert rule is not None
    assert (rule.pad_start, rule.pad_end) == (3, 6)
    found = [rule.apply(x, some) for x, some in zip(values, predicted, strict=True)]
    assert [i for part in found for i in part] == [i for truth in truths for i in truth]


def test_edges_that_are_right_already_are_left_alone():
    values, _, truths = examples()
    assert fit_edges(values, truths, truths) is None
    assert edge_worth(None, values, truths, truths) == 2.0


def test_nothing_to_learn_from():
    values, predicted, truths = examples()
    assert fit_edges(values, [[]] * 4, truths) is None
    assert fit_edges(values, predicted, [[]] * 4) is None
    assert fit_edges([], [], []) is None


def test_worth_counts_what_a_reviewer_feels():
    truth = [[Interval(100, 109), Interval(300, 309)]]
    found = [[Interval(100, 112), Interval(200, 205)]]  # one edge off, one false, one missed
    expected = (2 * 1 + 1) / 4 + 0.5 * (1 - (2 + 1 + 1) / 4)
    assert edge_worth(None, [series()], found, truth) == pytest.approx(expected)
    assert edge_worth(None, [series()], found, [[]]) == -0.5


@st.composite
def intervals(draw):
    cuts = sorted(draw(st.lists(st.integers(0, 99), max_size=8, unique=True)))
    return [Interval(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]


@settings(deadline=None, max_examples=60)
@given(
    intervals(), st.integers(-2, 40), st.integers(-2, 40), st.sampled_from([0, 3, 30]), st.data()
)
def test_parts_are_disjoint_in_order_and_inside_the_series(some, before, after, gap, data):
    values = np.random.default_rng(len(some)).normal(size=100)
    rule = EdgeRule(level=1.0, gap=gap, pad_start=before, pad_end=after)
    parts = rule.apply(values, data.draw(st.permutations(some)))
    assert bool(parts) == bool(some)
    assert all(0 <= part.start <= part.end < 100 for part in parts)
    assert all(one.end + 1 < two.start for one, two in pairwise(parts))


def test_a_rule_survives_json():
    rule = EdgeRule(4.0, 0.5, 128, 10, 2, -1)
    assert EdgeRule.from_dict(rule.to_dict()) == rule
    with pytest.raises(DetectorError, match="zoom"):
        EdgeRule.from_dict({"zoom": 1})
