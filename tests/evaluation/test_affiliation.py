import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_vus import affiliation_literal

from tsloop.errors import EvaluationError
from tsloop.evaluation.affiliation import Affiliation, affiliation, affiliation_f1
from tsloop.intervals import Interval, from_mask

CASES = json.loads(
    (Path(__file__).parent / "fixtures" / "tsb_ad.json").read_text(encoding="utf-8")
)["affiliation"]

pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: any(truth for truth, _ in rows)
)


def intervals(runs):
    return [Interval(first, last) for first, last in runs]


@pytest.mark.parametrize("case", CASES)
def test_equals_the_original_program(case):
    found = affiliation(intervals(case["truth"]), intervals(case["predicted"]), case["n_rows"])
    assert found.precision == pytest.approx(case["precision"], abs=1e-6)
    assert found.recall == pytest.approx(case["recall"], abs=1e-6)


@settings(max_examples=200, deadline=None)
@given(pairs)
def test_equals_the_definition_word_by_word(rows):
    truth, predicted = [t for t, _ in rows], [p for _, p in rows]
    found = affiliation(from_mask(np.array(truth)), from_mask(np.array(predicted)), len(rows))
    precision, recall = affiliation_literal(truth, predicted)
    assert found.precision == (None if precision is None else pytest.approx(precision, abs=1e-9))
    assert found.recall == pytest.approx(recall, abs=1e-9)
    assert 0.0 <= found.recall <= 1.0
    assert found.precision is None or 0.0 <= found.precision <= 1.0


@settings(max_examples=100, deadline=None)
@given(pairs)
def test_time_may_run_backwards_and_truth_itself_is_perfect(rows):
    truth, predicted = np.array([t for t, _ in rows]), np.array([p for _, p in rows])
    one = affiliation(from_mask(truth), from_mask(predicted), len(rows))
    other = affiliation(from_mask(truth[::-1]), from_mask(predicted[::-1]), len(rows))
    assert one.recall == pytest.approx(other.recall)
    assert one.f1 == pytest.approx(other.f1)
    assert affiliation(from_mask(truth), from_mask(truth), len(rows)) == Affiliation(1.0, 1.0)


def test_overlapping_and_touching_predictions_are_one():
    truth = [Interval(10, 14)]
    whole = affiliation(truth, [Interval(8, 20)], 40)
    parts = affiliation(truth, [Interval(12, 20), Interval(8, 11), Interval(9, 13)], 40)
    assert parts == whole


def test_nothing_predicted_has_recall_zero_and_no_precision():
    found = affiliation([Interval(3, 4)], [], 10)
    assert found == Affiliation(None, 0.0)
    assert found.f1 == 0.0
    assert affiliation_f1(0.0, 0.0) == 0.0
    assert affiliation_f1(0.5, 1.0) == pytest.approx(2 / 3)


def test_impossible_input_is_refused():
    with pytest.raises(EvaluationError, match="undefined: no positives"):
        affiliation([], [Interval(1, 2)], 10)
    with pytest.raises(EvaluationError, match="outside the 10 rows"):
        affiliation([Interval(1, 10)], [], 10)
