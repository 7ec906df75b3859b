import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.errors import EvaluationError
from tsloop.evaluation.thresholds import Decision

levels = st.floats(0.0, 1.0).map(lambda x: round(x, 2))
series = st.lists(levels, max_size=60).map(lambda x: np.array(x, dtype=np.float64))


@st.composite
def decisions(draw):
    hi = draw(st.floats(0.02, 1.0))
    return Decision(
        hi, hi * draw(st.floats(0.1, 1.0)), draw(st.integers(0, 6)), draw(st.integers(1, 5))
    )


def literal(scores, decision):
    """Row by row: the rule as the class describes it."""
    runs = []
    for row, score in enumerate(scores):
        if score < decision.lo:
            continue
        if runs and runs[-1][1] == row - 1:
            runs[-1] = (runs[-1][0], row)
        else:
            runs.append((row, row))
    merged = []
    for first, last in runs:
        if max(scores[first : last + 1]) < decision.hi:
            continue
        if merged and first - merged[-1][1] - 1 <= decision.merge_gap:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return [(a, b) for a, b in merged if b - a + 1 >= decision.min_length]


@given(series, decisions())
def test_is_the_rule_row_by_row(scores, decision):
    found = decision.apply(scores)
    assert [(i.start, i.end) for i in found] == literal(scores.tolist(), decision)


@given(series, decisions())
def test_intervals_are_sorted_disjoint_inside_and_reach_hi(scores, decision):
    found = decision.apply(scores)
    for interval in found:
        assert 0 <= interval.start <= interval.end < len(scores)
        assert len(interval) >= decision.min_length
        assert interval.score == scores[interval.start : interval.end + 1].max()
        assert interval.score >= decision.hi
        assert scores[interval.start] >= decision.lo
        assert scores[interval.end] >= decision.lo
    for left, right in itertools.pairwise(found):
        assert right.start - left.end - 1 > decision.merge_gap


@given(series, decisions())
def test_a_quiet_series_is_answered_with_none(scores, decision):
    assert decision.apply(np.zeros(len(scores))) == []
    assert decision.apply(scores * decision.hi * 0.99) == []


@given(series, decisions())
def test_time_may_run_backwards(scores, decision):
    mirrored = [
        (len(scores) - 1 - i.end, len(scores) - 1 - i.start)
        for i in reversed(decision.apply(scores[::-1]))
    ]
    assert mirrored == [(i.start, i.end) for i in decision.apply(scores)]


def test_by_hand():
    scores = np.array([0.3, 0.6, 0.4, 0.1, 0.7, 0.1, 0.1, 0.4, 0.9])
    assert spans(Decision(0.6, 0.4), scores) == [(1, 2), (4, 4), (7, 8)]
    assert spans(Decision(0.6, 0.3, merge_gap=1), scores) == [(0, 4), (7, 8)]
    assert spans(Decision(0.6, 0.6, min_length=2), scores) == []
    assert spans(Decision(0.8, 0.4), scores) == [(7, 8)]
    assert Decision(0.5, 0.5).apply(np.empty(0)) == []


def spans(decision, scores):
    return [(i.start, i.end) for i in decision.apply(scores)]


def test_single_precision_scores_are_fine():
    (found,) = Decision(0.5, 0.5).apply(np.array([0.0, 1.0000001], dtype=np.float32))
    assert found.score == 1.0


@given(decisions())
def test_round_trip(decision):
    assert Decision.from_dict(decision.to_dict()) == decision


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"hi": 0.0, "lo": 0.0}, "0 < lo <= hi"),
        ({"hi": 0.4, "lo": 0.5}, "0 < lo <= hi"),
        ({"hi": float("nan")}, "0 < lo <= hi"),
        ({"merge_gap": -1}, "merge_gap >= 0"),
        ({"min_length": 0}, "min_length >= 1"),
    ],
)
def test_decisions_that_make_no_sense_are_refused(values, text):
    with pytest.raises(EvaluationError, match=text):
        Decision(**values)


def test_scores_that_make_no_sense_are_refused():
    with pytest.raises(EvaluationError, match="row 1 is nan"):
        Decision().apply(np.array([0.1, np.nan]))
    with pytest.raises(EvaluationError, match="one value per row"):
        Decision().apply(np.zeros((2, 2)))
    with pytest.raises(EvaluationError, match="Unknown decision keys"):
        Decision.from_dict({"high": 0.3})
