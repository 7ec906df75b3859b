from __future__ import annotations

import numpy as np
import pytest

from tsloop.annotations.examples import Example
from tsloop.detectors.boosting import BoostingConfig, BoostingDetector, boosting_features
from tsloop.detectors.ensemble import EnsembleConfig, EnsembleDetector
from tsloop.detectors.knn import KnnDetector
from tsloop.detectors.sampling import group_folds, sample_rows
from tsloop.errors import ConfigError, DetectorError
from tsloop.evaluation.matching import match_events
from tsloop.evaluation.points import auc_pr
from tsloop.intervals import Interval, to_mask
from tsloop.testing import labelled_examples, sample_series

SMALL = BoostingConfig(trees=20, folds=2)


def pulses(seed, n=1200):
    """Dips are what this team calls an anomaly, though there are many; a rare peak is fine."""
    rng = np.random.default_rng(seed)
    values = 0.1 * rng.normal(size=n)
    values[1000 + seed : 1020 + seed] += 8.0 * rng.random(20)
    events = [Interval(start, start + 9) for start in range(60 + seed, 900, 100)]
    for event in events:
        values[event.start : event.end + 1] -= 1.0
    name = f"pulses-{seed}"
    return Example(sample_series(values, name, name), tuple(events))


def ranking(detector, example):
    return auc_pr(to_mask(example.intervals, len(example.series)), detector.score(example.series))


def test_learns_what_the_team_means():
    examples = [pulses(seed) for seed in range(6)]
    detector = BoostingDetector(BoostingConfig(trees=40, folds=3, min_rows_per_leaf=5))
    figures = detector.fit(examples)
    assert figures["fallback"] == 0.0
    assert detector.decision.rule == "labels:groups"
    test = pulses(20)
    assert ranking(detector, test) > ranking(KnnDetector(), test) + 0.2
    found = detector.detect(test.series).intervals
    assert len(match_events(test.intervals, found).pairs) == len(test.intervals)


def test_without_events_it_is_the_nearest_neighbour_score():
    clean = [Example(e.series, ()) for e in labelled_examples()]
    series = labelled_examples(seed=5)[0].series
    for examples in ([], clean):
        detector = BoostingDetector(SMALL)
        assert detector.fit(examples)["fallback"] == 1.0
        assert np.array_equal(detector.score(series), KnnDetector().score(series))


def test_without_events_the_parents_trees_stay():
    parent = BoostingDetector(SMALL)
    parent.fit(labelled_examples())
    series = labelled_examples(seed=5)[0].series
    child = BoostingDetector(SMALL)
    assert child.fit([], parent=parent)["fallback"] == 1.0
    assert np.array_equal(child.score(series), parent.score(series))
    assert child.detect(series) == parent.detect(series)
    child.fit([Example(labelled_examples()[3].series, ())], parent=parent)
    assert child.trees is parent.trees


def test_thresholds_come_from_groups_that_were_left_out():
    detector = BoostingDetector(SMALL)
    examples = labelled_examples()
    detector.fit(examples)
    assert [e for e, _ in detector.held_out] == examples
    inside = detector.score(examples[0].series)
    assert not np.array_equal(detector.held_out[0][1], inside)


def test_a_single_group_cannot_be_left_out():
    one = labelled_examples()[0]
    detector = BoostingDetector(SMALL)
    detector.fit([one, one])
    base = boosting_features(one.series.filled())[1]
    assert all(np.array_equal(scores, base) for _, scores in detector.held_out)


def test_blending_can_be_switched_off():
    detector = BoostingDetector(BoostingConfig(trees=10, folds=2, blend=False))
    assert detector.fit(labelled_examples())["trees_weight"] == 1.0


@pytest.mark.parametrize("key", ["leaves", "feature_share"])
def test_impossible_settings_are_refused(key):
    with pytest.raises(ConfigError, match=f"boosting.{key}"):
        BoostingConfig(**{key: 40 if key == "leaves" else 1.5})


def test_sampling_keeps_every_event_and_balances_the_weights():
    examples = labelled_examples()
    tables = [np.arange(480, dtype=np.float32)[:, None] + 1000 * i for i in range(4)]
    rows = sample_rows(
        tables,
        examples,
        np.random.default_rng(0),
        positives_per_series=100,
        negatives_per_series=50,
        event_balance=1.0,
        positive_share=0.3,
    )
    assert rows is not None
    assert rows.anomalous.sum() == sum(len(i) for e in examples for i in e.intervals)
    inside, quiet = rows.weights[rows.anomalous], rows.weights[~rows.anomalous]
    assert inside.sum() == pytest.approx(0.3 * quiet.sum())
    places = rows.features[:, 0]
    sums = [
        rows.weights[(places >= 1000 * n + i.start) & (places <= 1000 * n + i.end)].sum()
        for n, e in enumerate(examples)
        for i in e.intervals
    ]
    assert sums == pytest.approx([sums[0]] * len(sums))  # every event weighs the same
    beside = examples[0].intervals[0].start - 1
    assert beside in places


def test_folds_keep_groups_together_and_spread_the_events():
    base = labelled_examples(7)
    examples = [*base, *(Example(e.series.window(0, 50), ()) for e in base)]
    folds = group_folds(examples, 3, np.random.default_rng(0))
    assert folds[:7] == folds[7:]
    assert sorted(set(folds[:6])) == [0, 1, 2]


def test_an_ensemble_leans_on_the_member_that_ranks_best():
    detector = EnsembleDetector(
        EnsembleConfig(members=["knn", "boosting:trees=30,folds=2,blend=false,min_rows_per_leaf=5"])
    )
    figures = detector.fit([pulses(seed) for seed in range(6)])
    assert figures["boosting_weight"] > figures["knn_weight"]
    assert figures["boosting_weight"] + figures["knn_weight"] == pytest.approx(1.0)


def test_an_ensemble_without_labels_is_the_plain_mean():
    detector = EnsembleDetector(EnsembleConfig(members=["knn", "residual"]))
    detector.fit([])
    series = labelled_examples()[0].series
    expected = np.mean([member.score(series) for member in detector.members], axis=0)
    assert detector.score(series) == pytest.approx(expected)


def test_a_member_that_fails_leaves_it_to_the_others():
    detector = EnsembleDetector(EnsembleConfig(members=["knn", "adtk:method=seasonal"]))
    noise = sample_series(np.random.default_rng(0).normal(size=300))
    assert np.array_equal(detector.score(noise), KnnDetector().score(noise))


@pytest.mark.parametrize(
    ("members", "said"),
    [([], "at least 1"), (["knn", "knn"], "twice"), (["ensemble"], "held-out"), (["kmn"], "knn")],
)
def test_strange_members_are_refused(members, said):
    with pytest.raises((ConfigError, DetectorError), match=said):
        EnsembleDetector(EnsembleConfig(members=members))
