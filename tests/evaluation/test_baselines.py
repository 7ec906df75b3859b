import numpy as np

from tsloop.evaluation.baselines import predict_nothing, random_scores, value_threshold
from tsloop.intervals import Interval, Status
from tsloop.series.types import Series


def series(values):
    return Series("s", np.arange(len(values)) * 10**9, np.asarray(values, dtype=float))


def test_predict_nothing_says_none():
    detection, scores = predict_nothing(7)
    assert detection.status is Status.NONE
    assert scores.tolist() == [0.0] * 7


def test_random_scores_are_reproducible_and_flag_one_row_in_a_hundred():
    detection, scores = random_scores(20_000, seed=3)
    again, same = random_scores(20_000, seed=3)
    assert detection == again
    assert (scores == same).all()
    assert scores.min() >= 0.0
    assert scores.max() <= 1.0
    assert 150 < sum(len(i) for i in detection.intervals) < 250
    assert random_scores(20_000, seed=4)[0] != detection


def test_value_threshold_finds_far_values_and_bridges_gaps():
    values = np.random.default_rng(0).normal(50.0, 1.0, 500)
    values[100:103] = 90.0
    values[300] = 5.0
    values[400:410] = np.nan
    detection, scores = value_threshold(series(values))
    assert [(i.start, i.end) for i in detection.intervals] == [(100, 102), (300, 300)]
    assert detection.intervals[0].score == scores[100:103].max()
    assert scores.shape == (500,)
    assert 0.0 <= scores.min() <= scores.max() < 1.0


def test_value_threshold_on_a_constant_says_none_and_without_values_fails():
    assert value_threshold(series([4.0] * 9))[0].status is Status.NONE
    detection, scores = value_threshold(series([np.nan] * 9))
    assert detection.status is Status.FAILED
    assert "no value at all" in detection.reason
    assert scores is None


def test_baselines_answer_like_a_detector():
    for detection, scores in (predict_nothing(50), random_scores(50)):
        assert all(isinstance(i, Interval) and i.end < 50 for i in detection.intervals)
        assert scores.shape == (50,)
