import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_vus import vus_pr_literal

from tsloop.errors import EvaluationError
from tsloop.evaluation.vus import vus_pr, vus_window
from tsloop.intervals import Interval, to_mask

CASES = json.loads(
    (Path(__file__).parent / "fixtures" / "tsb_ad.json").read_text(encoding="utf-8")
)["vus"]

rows = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=40).filter(
    lambda pairs: any(value for value, _ in pairs)
)


@pytest.mark.parametrize("case", CASES)
def test_equals_the_original_program(case):
    scores = np.array(case["scores"])
    mask = to_mask([Interval(a, b) for a, b in case["events"]], len(scores))
    assert vus_pr(mask, scores, case["window"]) == pytest.approx(case["vus_pr"], abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(0, 12), st.integers(2, 30))
def test_equals_the_definition_word_by_word(pairs, window, n_thresholds):
    mask = [value for value, _ in pairs]
    scores = [score / 10 for _, score in pairs]
    fast = vus_pr(np.array(mask), np.array(scores), window, n_thresholds)
    assert fast == pytest.approx(vus_pr_literal(mask, scores, window, n_thresholds), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(rows, st.integers(0, 12))
def test_bounds_and_invariances(pairs, window):
    mask = np.array([value for value, _ in pairs])
    scores = np.array([score / 10 for _, score in pairs])
    value = vus_pr(mask, scores, window)
    assert 0.0 <= value <= 1.0 + 1e-12
    assert vus_pr(mask, scores**3 * 7 - 2, window) == pytest.approx(value)  # only the order counts


def test_time_may_run_backwards_where_every_row_is_a_threshold():
    rng = np.random.default_rng(3)
    mask, scores = rng.random(200) < 0.1, rng.random(200)
    forward = vus_pr(mask, scores, 9, 200)
    assert vus_pr(mask[::-1], scores[::-1], 9, 200) == pytest.approx(forward)


def test_perfect_scores_without_a_buffer_are_one():
    mask = to_mask([Interval(3, 5), Interval(10, 10)], 40)
    assert vus_pr(mask, mask.astype(float), 0, 40) == pytest.approx(1.0)
    assert vus_pr(np.ones(7, dtype=bool), np.arange(7) / 7, 4) == pytest.approx(1.0)


def test_a_near_peak_is_worth_more_than_a_far_one():
    mask = to_mask([Interval(50, 52)], 200)
    near, far = np.zeros(200), np.zeros(200)
    near[54] = far[150] = 1.0
    assert vus_pr(mask, near, 20) > vus_pr(mask, far, 20)


def test_constant_scores_are_worth_the_share_of_true_rows():
    mask = to_mask([Interval(0, 9)], 100)
    assert vus_pr(mask, np.full(100, 0.3), 0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("n_rows", "window"), [(1, 8), (400, 8), (450, 9), (2500, 50), (5000, 100), (90000, 100)]
)
def test_window_is_a_fiftieth_within_limits(n_rows, window):
    assert vus_window(n_rows) == window


def test_impossible_input_is_refused():
    mask, scores = np.array([True, False]), np.array([0.1, 0.2])
    with pytest.raises(EvaluationError, match="undefined: no positives"):
        vus_pr(np.zeros(2, dtype=bool), scores, 8)
    with pytest.raises(EvaluationError, match="one length"):
        vus_pr(mask, np.zeros(3), 8)
    with pytest.raises(EvaluationError, match="row 1 is nan"):
        vus_pr(mask, np.array([0.1, np.nan]), 8)
    with pytest.raises(EvaluationError, match="window >= 0"):
        vus_pr(mask, scores, -1)
