import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from tsloop.errors import EvaluationError
from tsloop.evaluation.points import (
    PointCounts,
    auc_pr,
    best_point_f1,
    point_counts,
    pr_curve,
)

rows = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=60).filter(
    lambda pairs: any(value for value, _ in pairs)
)


def split(pairs):
    return np.array([t for t, _ in pairs]), np.array([s / 10 for _, s in pairs])


@given(rows)
def test_average_precision_is_the_usual_one(pairs):
    mask, scores = split(pairs)
    assert auc_pr(mask, scores) == pytest.approx(average_precision_score(mask, scores))


@given(rows)
def test_best_f1_is_the_best_of_the_curve(pairs):
    mask, scores = split(pairs)
    precision, recall, _ = precision_recall_curve(mask, scores)
    best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300))
    assert best_point_f1(mask, scores) == pytest.approx(best)
    for level in np.unique(scores):
        f1 = point_counts(mask, scores >= level).f1
        assert f1 is not None
        assert f1 <= best_point_f1(mask, scores) + 1e-12


@given(rows)
def test_perfect_scores_are_one_and_only_the_order_counts(pairs):
    mask, scores = split(pairs)
    assert auc_pr(mask, mask.astype(float)) == 1.0
    assert best_point_f1(mask, mask.astype(float)) == 1.0
    assert auc_pr(mask, np.sqrt(scores)) == pytest.approx(auc_pr(mask, scores))


def test_counts_by_hand():
    truth = np.array([True, True, False, False, True])
    guess = np.array([True, False, True, False, True])
    assert point_counts(truth, guess) == PointCounts(2, 1, 1)
    assert point_counts(truth, guess).f1 == pytest.approx(2 / 3)
    assert PointCounts(0, 4, 0).f1 is None
    with pytest.raises(EvaluationError, match="cannot be compared"):
        point_counts(truth, guess[:3])


@given(st.lists(rows, min_size=1, max_size=4), st.integers(5, 20))
def test_curve_is_pooled_thinned_and_keeps_its_ends(series, max_points):
    masks, scores = zip(*(split(pairs) for pairs in series), strict=True)
    points = pr_curve(scores, masks, max_points)
    whole = pr_curve(scores, masks, 10_000)
    mask, pooled = np.concatenate(masks), np.concatenate(scores)
    assert len(whole) == len(np.unique(pooled))
    assert len(points) <= max_points
    assert set(points) <= set(whole)
    assert points[-1] == whole[-1]
    assert points[-1][2] == 1.0
    levels, recalls = [p[0] for p in points], [p[2] for p in points]
    assert levels == sorted(levels, reverse=True)
    assert recalls == sorted(recalls)
    for level, precision, recall in points:
        flagged = pooled >= level
        assert precision == pytest.approx((flagged & mask).sum() / flagged.sum())
        assert recall == pytest.approx((flagged & mask).sum() / mask.sum())


def test_a_long_curve_has_two_hundred_points():
    rng = np.random.default_rng(0)
    mask = rng.random(5000) < 0.2
    points = pr_curve([rng.random(5000)], [mask])
    assert 150 < len(points) <= 200
    assert points[0][2] < 0.02


def test_curve_without_a_true_row_is_empty():
    assert pr_curve([], []) == []
    assert pr_curve([np.ones(3)], [np.zeros(3, dtype=bool)]) == []


def test_impossible_input_is_refused():
    with pytest.raises(EvaluationError, match="undefined: no positives"):
        auc_pr(np.zeros(3, dtype=bool), np.ones(3))
    with pytest.raises(EvaluationError, match="do not match"):
        pr_curve([np.ones(3)], [])
    with pytest.raises(EvaluationError, match="row 0 is inf"):
        best_point_f1(np.array([True]), np.array([np.inf]))
