import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.errors import EvaluationError
from tsloop.evaluation._search import Pool
from tsloop.evaluation.clicks import Clicks, count_clicks
from tsloop.evaluation.thresholds import (
    LABEL_FREE_SIGMAS,
    Decision,
    fit_decision,
    label_free_decision,
)
from tsloop.intervals import Interval


def labelled(n_series, seed=0, n_events=3, peak=0.9, noise=0.3, n=600):
    """Series whose events stand out as ``peak`` over noise that never reaches ``noise``."""
    rng = np.random.default_rng(seed)
    scores, truths = [], []
    for _ in range(n_series):
        values = rng.random(n) * noise
        starts = rng.choice(np.arange(10, n - 40, 50), n_events, replace=False)
        events = [Interval(int(s), int(s) + 14) for s in sorted(starts)]
        for event in events:
            values[event.start : event.end + 1] = peak
        scores.append(values)
        truths.append(events)
    return scores, truths, [f"g{i}" for i in range(n_series)]


def clicks_of(decision, scores, truths):
    pairs = zip(scores, truths, strict=True)
    return sum((count_clicks(t, decision.apply(s)) for s, t in pairs), Clicks())


@pytest.mark.parametrize("objective", ["balanced", "clicks", "f1"])
def test_separable_scores_are_separated(objective):
    scores, truths, groups = labelled(4)
    decision = fit_decision(scores, truths, groups, objective=objective)
    assert decision.rule == "labels:groups"
    clicks = clicks_of(decision, *labelled(6, seed=1)[:2])
    assert (clicks.missed, clicks.false) == (0, 0)


def test_scores_on_a_small_scale_are_followed():
    scores, truths, groups = labelled(8, peak=0.03, noise=0.01)
    decision = fit_decision(scores, truths, groups)
    assert clicks_of(decision, scores, truths).saved > 0.9


def test_more_labels_move_the_rule_further_from_the_label_free_one():
    prior = label_free_decision().hi
    few = fit_decision(*labelled(2, peak=0.3, noise=0.2))
    many = fit_decision(*labelled(40, peak=0.3, noise=0.2))
    assert few.rule == many.rule == "labels:groups"
    assert many.hi <= few.hi < prior


def test_an_unsure_model_stays_silent():
    rng = np.random.default_rng(5)
    _, truths, groups = labelled(10)
    scores = [rng.random(600) for _ in truths]
    others = [rng.random(600) for _ in range(20)]
    for objective in ("clicks", "balanced"):
        decision = fit_decision(scores, truths, groups, objective=objective)
        assert sum(len(decision.apply(s)) for s in others) <= 20
        assert clicks_of(decision, scores, truths).saved > -0.1


@pytest.mark.parametrize("objective", ["balanced", "clicks", "f1"])
def test_one_interval_over_everything_is_no_answer(objective):
    rng = np.random.default_rng(1)
    scores = [rng.random(600) for _ in range(12)]  # flagging all of it finds every event
    truths = [[Interval(300, 310)] for _ in scores]
    decision = fit_decision(scores, truths, [f"g{i}" for i in range(12)], objective=objective)
    assert sum(len(i) for s in scores for i in decision.apply(s)) <= 0.1 * 12 * 600


def test_silence_lies_above_everything_seen():
    scores, _, groups = labelled(5, peak=0.8)
    elsewhere = [[Interval(0, 1), Interval(4, 5)] for _ in scores]  # the peaks are all false
    decision = fit_decision(scores, elsewhere, groups, objective="clicks")
    assert decision.hi == pytest.approx(0.9)
    assert clicks_of(decision, scores, elsewhere).saved == 0.0


def test_silence_is_possible_where_scores_reach_one():
    rng = np.random.default_rng(1495)
    scores = [np.round(rng.random(60), 1) for _ in range(3)]
    truths = [[Interval(5, 9), Interval(30, 33)] for _ in scores]
    decision = fit_decision(scores, truths, list("abc"), objective="clicks", n_grid=6)
    assert max(s.max() for s in scores) == 1.0
    assert clicks_of(decision, scores, truths).saved == 0.0


def test_series_that_are_one_event_can_be_fitted():
    scores, truths = [np.full(20, 0.7)] * 5, [[Interval(0, 19)]] * 5
    decision = fit_decision(scores, truths, list("abcde"))
    assert clicks_of(decision, scores, truths).saved == 1.0


def test_f1_may_cost_clicks_that_balanced_does_not_spend():
    rng = np.random.default_rng(2)
    scores, truths, groups = labelled(12)
    for values in scores:  # half of the false peaks are as high as the events
        for row in rng.choice(600, 12):
            values[row] = 0.9
    costs = [
        clicks_of(fit_decision(scores, truths, groups, objective=o), scores, truths).saved
        for o in ("f1", "balanced", "clicks")
    ]
    assert costs[1] >= costs[0] - 1e-9
    assert costs[2] >= 0.0


def test_false_alarms_on_clean_series_count():
    scores, truths, groups = labelled(6, peak=0.7)
    loud = np.zeros(600)
    loud[::20] = 0.65
    lax = fit_decision(scores, truths, groups)
    strict = fit_decision([*scores, *[loud] * 6], [*truths, *[[]] * 6], [*groups, *"abcdef"])
    assert len(strict.apply(loud)) < len(lax.apply(loud)) or not lax.apply(loud)
    assert strict.apply(loud) == []
    assert clicks_of(strict, scores, truths).missed == 0


def test_few_labels_are_split_in_time():
    scores, truths, _ = labelled(1, n_events=8, peak=0.4)
    decision = fit_decision(scores, truths, ["one"])
    assert decision.rule == "labels:time"
    assert clicks_of(decision, scores, truths).missed == 0


def test_what_does_not_hold_later_is_not_kept():
    rng = np.random.default_rng(0)
    scores = [rng.random(600) * 0.2]
    early, late = [Interval(50, 60), Interval(150, 160)], [Interval(450, 460)]
    for event in early:
        scores[0][event.start : event.end + 1] = 0.35
    scores[0][400:600:12] = 0.35  # later, the same level is noise
    scores[0][450:461] = 0.9
    assert fit_decision(scores, [early + late], ["one"]).rule == "label-free"


@pytest.mark.parametrize(
    "events",
    [
        [],
        [Interval(10, 20)],
        [Interval(10, 20), Interval(250, 320)],  # the second one crosses the cut
        [Interval(400, 410), Interval(500, 510)],
    ],
)
def test_too_few_labels_leave_the_label_free_rule(events):
    scores = [np.linspace(0.0, 0.5, 600)]
    assert fit_decision(scores, [events], ["one"]) == label_free_decision(scores)
    assert fit_decision([], [], []) == label_free_decision()


def test_the_same_input_gives_the_same_rule_in_any_order():
    scores, truths, groups = labelled(5, peak=0.5, noise=0.45)
    decision = fit_decision(scores, truths, groups)
    assert fit_decision(scores, truths, groups, seed=9) == decision
    assert fit_decision(scores[::-1], truths[::-1], groups[::-1]) == decision


def test_label_free_rule():
    assert label_free_decision().hi == LABEL_FREE_SIGMAS / (LABEL_FREE_SIGMAS + 6.0)
    assert label_free_decision(sigmas=6.0).hi == 0.5
    quiet = np.zeros(100)
    quiet[:5] = 0.9
    assert label_free_decision([quiet]) == label_free_decision()
    loud = np.linspace(0.0, 1.0, 101)  # another scale: most rows would be flagged
    assert label_free_decision([loud]).hi == pytest.approx(0.9)
    with pytest.raises(EvaluationError, match="sigmas > 0"):
        label_free_decision(sigmas=0.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["balanced", "clicks", "f1"]))
def test_every_fitted_rule_can_answer_none(seed, objective):
    rng = np.random.default_rng(seed)
    scores = [np.round(rng.random(60), 1) for _ in range(3)]
    truths = [[Interval(5, 9), Interval(30, 33)] for _ in scores]
    decision = fit_decision(scores, truths, list("abc"), objective=objective, n_grid=6)
    assert 0.0 < decision.lo <= decision.hi
    assert decision.apply(np.zeros(60)) == []
    saved = clicks_of(decision, scores, truths).saved
    assert objective != "clicks" or saved >= -1e-9


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.3, 0.6, 0.9]),
    st.sampled_from([1.0, 0.6]),
    st.sampled_from([0, 3, 10]),
    st.sampled_from([1, 3]),
)
def test_the_search_counts_what_applying_the_rule_gives(seed, hi, ratio, gap, length):
    rng = np.random.default_rng(seed)
    scores = [np.round(rng.random(int(rng.integers(1, 50))), 1) for _ in range(4)]
    truths = [[Interval(0, min(6, len(s) - 1))] for s in scores]
    truths[0].append(Interval(0, 0))  # overlapping events are allowed
    pool = Pool.of(scores, truths, max_gap=10)
    found, predicted, edges, flagged = pool.counts([(hi, ratio, gap, length)])[0].tolist()
    decision = Decision(hi, hi * ratio, gap, length)
    clicks = clicks_of(decision, scores, truths)
    assert flagged == sum(len(i) for s in scores for i in decision.apply(s))
    assert (found, predicted - found, edges) == (5 - clicks.missed, clicks.false, clicks.edges)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"objective": "luck"}, "Unknown threshold objective 'luck'"),
        ({"groups": []}, "one of each per series"),
        ({"n_grid": 1}, "n_grid must be at least 2"),
        ({"scores": [np.full(30, np.nan)]}, "not finite"),
        ({"truths": [[Interval(30, 30)]]}, "after its 30 rows"),
    ],
)
def test_impossible_input_is_refused(change, text):
    given_ = {"scores": [np.zeros(30)], "truths": [[]], "groups": ["a"]} | change
    with pytest.raises(EvaluationError, match=text):
        fit_decision(**given_)
