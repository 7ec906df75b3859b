import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.errors import EvaluationError
from tsloop.evaluation.measures import COLUMNS, MEASURES
from tsloop.evaluation.scorecard import Scorecard, count_table, score_series
from tsloop.intervals import Detection, Interval, to_mask

N = 300


def scored(name, truth, found, *, group=None, scores="truth", failed=False, **options):
    """Score one series of 300 rows; its scores are the true rows unless said otherwise."""
    detection = Detection.failed("no memory") if failed else Detection.of(found)
    values = to_mask(truth, N).astype(float) if isinstance(scores, str) else scores
    values = None if failed else values
    return score_series(name, group or name, truth, detection, values, N, **options)


NEED_EVENTS = {
    "event_recall",
    "event_f1",
    "event_f1_iou30",
    "event_f1_iou50",
    "vus_pr",
    "auc_pr",
    "point_f1",
    "point_best_f1",
    "affiliation_recall",
    "affiliation_f1",
    "clicks_saved",
}

A, B, C = Interval(10, 19, "spike"), Interval(100, 139, "drift"), Interval(200, 204, "spike")


def test_by_hand():
    card = Scorecard.of(
        [
            scored("s1", [A, B], [A, Interval(90, 109, "drift"), Interval(250, 251, "spike")]),
            scored("s2", [C], []),
            scored("clean", [], [Interval(5, 5, "level")]),
        ]
    )
    m = card.metrics
    assert (m["n_series"], m["n_events"], m["n_predicted"], m["n_failed"]) == (3, 3, 4, 0)
    assert m["event_recall"] == pytest.approx(2 / 3)
    assert m["event_precision"] == pytest.approx(2 / 4)
    assert m["event_f1"] == pytest.approx(4 / 7)
    assert m["event_f1_iou30"] == pytest.approx(2 / 7)  # 10 of 50 rows are shared by the second
    assert m["clicks"] == 2 * 1 + 2 + 2  # one missed, two false, both edges of the second
    assert m["clicks_saved"] == pytest.approx(1 - 6 / 6)
    assert m["false_alarms_per_clean_series"] == 1.0
    assert m["label_accuracy"] == 1.0
    assert m["auc_pr"] == m["point_best_f1"] == 1.0
    assert m["point_f1"] == pytest.approx(2 * 20 / (2 * 20 + 10 + 2 + 1 + 30 + 5))
    assert card.per_label["spike"] == {
        "n_events": 2.0,
        "n_found": 1.0,
        "n_predicted": 2.0,
        "n_right": 1.0,
        "event_recall": 0.5,
        "event_precision": 0.5,
    }
    assert card.per_label["level"]["event_precision"] == 0.0
    assert "event_recall" not in card.per_label["level"]
    assert card.per_group["s2"]["event_f1"] == 0.0
    assert "event_f1" not in card.per_group["clean"]
    assert card.undefined["intervals"] == "undecided: 3 groups, at least 5 are needed"


def test_perfect_prediction_is_one():
    card = Scorecard.of([scored("s1", [A, B], [A, B]), scored("s2", [C], [C])])
    for name in [
        "event_precision",
        "event_recall",
        "event_f1",
        "event_f1_iou30",
        "event_f1_iou50",
        "label_accuracy",
        "auc_pr",
        "point_f1",
        "point_best_f1",
        "affiliation_f1",
        "clicks_saved",
    ]:
        assert card.metrics[name] == pytest.approx(1.0), name
    assert card.metrics["clicks"] == 0
    assert 0.5 < card.metrics["vus_pr"] <= 1.0


def test_failures_stay_in_every_denominator():
    good = scored("s1", [A], [A])
    card = Scorecard.of([good, scored("s2", [B, C], [], failed=True)])
    alone = Scorecard.of([good])
    assert card.metrics["n_failed"] == 1
    assert card.metrics["event_recall"] == pytest.approx(1 / 3)
    assert card.metrics["vus_pr"] == pytest.approx(alone.metrics["vus_pr"] / 2)
    assert card.metrics["auc_pr"] == 0.5
    assert card.metrics["affiliation_recall"] == 0.5
    assert card.metrics["affiliation_precision"] == 1.0
    assert card.metrics["clicks_saved"] == pytest.approx(1 / 3)
    # a clean series on which the detector failed is not a clean series without a false alarm
    clean = Scorecard.of([scored("c1", [], [A]), scored("c2", [], [], failed=True)])
    assert clean.metrics["false_alarms_per_clean_series"] == 1.0
    failed = Scorecard.of([scored("c2", [], [], failed=True)])
    assert failed.undefined["false_alarms_per_clean_series"].startswith("undefined")


def test_no_positives_are_said_and_never_nan():
    card = Scorecard.of([scored(f"c{i}", [], []) for i in range(6)])
    for name in [
        "event_recall",
        "event_f1",
        "event_f1_iou50",
        "vus_pr",
        "auc_pr",
        "point_f1",
        "affiliation_f1",
        "clicks_saved",
    ]:
        assert name not in card.metrics
        assert card.undefined[name] == "undefined: no positives"
    assert card.undefined["event_precision"] == "undefined: no predictions"
    assert card.undefined["intervals"] == "undefined: no positives"
    assert card.intervals == {}
    assert card.metrics["false_alarms_per_clean_series"] == 0.0


def test_an_empty_scorecard_is_allowed():
    card = Scorecard.of([])
    assert card.metrics["n_series"] == 0
    assert card.series == ()
    assert set(card.metrics) | set(card.undefined) >= set(MEASURES)


def test_predicting_nothing_saves_nothing():
    card = Scorecard.of([scored("s1", [A, B], [], scores=np.zeros(N))])
    assert card.metrics["event_f1"] == 0.0
    assert card.metrics["clicks_saved"] == 0.0
    assert card.metrics["affiliation_f1"] == 0.0
    assert card.undefined["event_precision"] == "undefined: no predictions"


def test_answers_without_scores_leave_ranking_undefined():
    card = Scorecard.of([scored("s1", [A], [A], scores=None), scored("s2", [B], [B])])
    assert card.undefined["vus_pr"] == "undefined: 1 series have no scores"
    assert card.metrics["event_f1"] == 1.0


def test_wrong_labels_cost_clicks_only_when_asked():
    wrong = [A.replace(label="drift")]
    free = Scorecard.of([scored("s1", [A], wrong)])
    paid = Scorecard.of([scored("s1", [A], wrong, labels=True)])
    assert free.metrics["label_accuracy"] == 0.0
    assert free.metrics["clicks_saved"] == 1.0
    assert paid.metrics["clicks_saved"] == 0.5
    assert paid.clicks.labels == 1


def test_intervals_over_groups():
    rng = np.random.default_rng(0)
    series = [
        scored(f"s{i:02d}", [A, B], [A] if rng.random() < 0.5 else [A, B], group=f"g{i % 8}")
        for i in range(24)
    ]
    card = Scorecard.of(series, n_bootstrap=400, seed=1)
    assert "intervals" not in card.undefined
    for name in ("event_f1", "vus_pr", "clicks_saved"):
        low, high = card.intervals[name]
        assert low <= card.metrics[name] <= high
    assert Scorecard.of(series[::-1], n_bootstrap=400, seed=1) == card
    assert Scorecard.of(series, n_bootstrap=0).intervals == {}
    assert Scorecard.of(series, n_bootstrap=0).metrics == card.metrics
    assert sum(g["n_events"] for g in card.per_group.values()) == card.metrics["n_events"]


def test_round_trip_through_json():
    card = Scorecard.of(
        [scored(f"s{i}", [A, C], [A, B]) for i in range(6)] + [scored("f", [A], [], failed=True)]
    )
    text = json.dumps(card.to_dict(), sort_keys=True, allow_nan=False)
    assert Scorecard.from_dict(json.loads(text)) == card


def test_truth_tells_other_gold_apart():
    one = Scorecard.of([scored("s", [A, B], [])])
    assert one.truth == Scorecard.of([scored("s", [B, A], [A], failed=True)]).truth
    assert one.truth != Scorecard.of([scored("s", [A], [])]).truth
    assert one.truth != Scorecard.of([scored("s", [A, B.replace(label="spike")], [])]).truth
    assert one.truth != Scorecard.of([scored("s", [A, B], [], group="other")]).truth


events = st.lists(
    st.builds(
        lambda a, n, label: Interval(a, a + n, label),
        st.integers(0, 280),
        st.integers(0, 19),
        st.sampled_from(["spike", "drift"]),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(events, events, st.booleans()), max_size=6), st.integers(0, 99))
def test_figures_are_finite_bounded_or_explained(parts, seed):
    rng = np.random.default_rng(seed)
    series = [
        scored(f"s{i}", truth, found, failed=failed, scores=np.round(rng.random(N), 2))
        for i, (truth, found, failed) in enumerate(parts)
    ]
    card = Scorecard.of(series, n_bootstrap=50)
    assert set(card.metrics) | set(card.undefined) - {"intervals"} == set(MEASURES)
    for name, value in card.metrics.items():
        assert math.isfinite(value)
        if name == "clicks_saved":
            assert value <= 1.0
        elif not name.startswith(("n_", "clicks", "false_alarms")):
            assert 0.0 <= value <= 1.0 + 1e-9
    assert all(math.isfinite(x) for bounds in card.intervals.values() for x in bounds)
    table = count_table(series)
    assert table.shape == (len(parts), len(COLUMNS))
    assert np.isfinite(table).all()


def test_impossible_input_is_refused():
    with pytest.raises(EvaluationError, match="'s' has 300 rows, but a true event ends at row 300"):
        scored("s", [Interval(1, 300)], [], scores=np.zeros(N))
    with pytest.raises(EvaluationError, match="a predicted event ends at row 310"):
        scored("s", [A], [Interval(1, 310)])
    with pytest.raises(EvaluationError, match=r"scores have the shape \(4,\)"):
        scored("s", [A], [A], scores=np.zeros(4))
