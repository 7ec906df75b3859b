import json

import numpy as np
import pytest

from tsloop.errors import ConfigError, EvaluationError
from tsloop.evaluation.scorecard import Scorecard, score_series
from tsloop.intervals import Detection, Interval
from tsloop.loop.gate import GateConfig, Verdict, evaluate_gate

CONFIG = GateConfig(n_bootstrap=400)
EVENTS = [Interval(10, 19), Interval(50, 59), Interval(90, 99)]


def card(recall, n_groups=12, *, seed=0, truth=EVENTS, n_rows=120, draws=None):
    """Every event of two series a group is found with the chance ``recall``; nothing is false.

    After ``draws`` groups the outcomes repeat.
    """
    rng = np.random.default_rng(seed)
    draws = draws or n_groups
    found = [[event for event in truth if rng.random() < recall] for _ in range(2 * draws)]
    series = [
        score_series(
            f"s{group:03d}{side}",
            f"g{group:03d}",
            truth,
            Detection.of(found[2 * (group % draws) + side]),
            np.zeros(n_rows),
            n_rows,
        )
        for group in range(n_groups)
        for side in range(2)
    ]
    return Scorecard.of(series, n_bootstrap=0)


def test_clearly_better_wins_and_clearly_worse_loses():
    strong, weak = card(0.9), card(0.4, seed=1)
    win = evaluate_gate(strong, weak, CONFIG)
    assert (win.result, win.against, win.metric) == ("win", "incumbent", "event_f1")
    assert 0.0 < win.low <= win.delta <= win.high
    assert win.delta == pytest.approx(win.value - win.reference)
    assert win.more_groups_needed is None
    assert "event_f1 +" in win.text
    lose = evaluate_gate(weak, strong, CONFIG)
    assert lose.result == "lose"
    assert (lose.delta, lose.low, lose.high) == pytest.approx((-win.delta, -win.high, -win.low))


def test_the_same_model_is_undecided_and_no_gold_would_decide():
    same = evaluate_gate(card(0.7), card(0.7), CONFIG)
    assert (same.result, same.delta, same.low, same.high) == ("undecided", 0.0, 0.0, 0.0)
    assert same.more_groups_needed is None


def test_undecided_says_how_much_more_gold_would_decide():
    near = evaluate_gate(card(0.72, seed=5), card(0.65, seed=6), CONFIG)
    assert near.result == "undecided"
    assert near.more_groups_needed >= 1
    assert f"About {near.more_groups_needed} more gold group" in near.text
    assert "luck" in near.text
    # the same outcomes on that many more groups do decide
    times = -(-(12 + near.more_groups_needed) // 12)
    ours, theirs = (card(r, 12 * times, seed=s, draws=12) for r, s in ((0.72, 5), (0.65, 6)))
    enough = evaluate_gate(ours, theirs, CONFIG)
    assert enough.delta == pytest.approx(near.delta)
    assert enough.result == ("win" if near.delta > 0 else "lose")


def test_few_groups_are_always_undecided():
    few = evaluate_gate(card(1.0, 4), card(0.1, 4, seed=1), CONFIG)
    assert few.result == "undecided"
    assert (few.low, few.high) == (None, None)
    assert few.delta > 0.5
    assert few.more_groups_needed >= 1
    assert "only 4 of at least 5 gold groups" in few.text
    assert evaluate_gate(card(1.0, 1), card(0.1, 1), CONFIG).more_groups_needed == 4


def test_an_improvement_that_has_to_be_certain():
    strong, weak = card(0.9), card(0.6, seed=1)
    assert evaluate_gate(strong, weak, CONFIG).result == "win"
    picky = GateConfig(n_bootstrap=400, min_delta=0.6)
    assert evaluate_gate(strong, weak, picky).result == "lose"
    close = GateConfig(n_bootstrap=400, min_delta=evaluate_gate(strong, weak, CONFIG).delta)
    assert evaluate_gate(strong, weak, close).result == "undecided"


def test_without_an_incumbent_the_best_baseline_is_the_mark():
    baselines = {"nothing": card(0.0), "random": card(0.2, seed=3)}
    verdict = evaluate_gate(card(0.8), None, CONFIG, baselines=baselines)
    assert (verdict.result, verdict.against) == ("win", "baseline random")
    with pytest.raises(EvaluationError, match="nothing to compare with"):
        evaluate_gate(card(0.8), None, CONFIG)


def test_better_than_the_incumbent_but_not_than_a_baseline_loses():
    baselines = {"value": card(0.8, seed=3), "nothing": card(0.0)}
    verdict = evaluate_gate(card(0.5), card(0.1, seed=1), CONFIG, baselines=baselines)
    assert verdict.result == "lose"
    assert verdict.low > 0
    assert "no better than the trivial baseline 'value'" in verdict.text
    lenient = GateConfig(n_bootstrap=400, require_baselines=False)
    assert evaluate_gate(card(0.5), card(0.1, seed=1), lenient, baselines).result == "win"


@pytest.mark.parametrize(
    "other",
    [
        card(0.5, 11),  # fewer series
        card(0.5, truth=EVENTS[:2]),  # gold was corrected
        card(0.5, n_rows=130),  # the series grew
    ],
)
def test_numbers_on_different_gold_are_never_compared(other):
    with pytest.raises(EvaluationError, match="never compared"):
        evaluate_gate(card(0.5), other, CONFIG)
    with pytest.raises(EvaluationError, match="baseline random"):
        evaluate_gate(card(0.5), card(0.5), CONFIG, baselines={"random": other})


def test_gold_without_an_event_cannot_decide():
    verdict = evaluate_gate(card(0.5, truth=[]), card(0.5, truth=[]), CONFIG)
    assert verdict.result == "undecided"
    assert (verdict.value, verdict.delta) == (None, None)
    assert "undefined: no positives" in verdict.text


def test_other_metrics_and_round_trip():
    config = GateConfig(metric="clicks_saved", n_bootstrap=400)
    verdict = evaluate_gate(card(0.9), card(0.3, seed=1), config, {"nothing": card(0.0)})
    assert verdict.result == "win"
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict
    assert evaluate_gate(card(0.9), card(0.3, seed=1), config, {"nothing": card(0.0)}) == verdict


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"metric": "clicks"}, "gate.metric must be one of"),
        ({"metric": "accuracy"}, "got 'accuracy'"),
        ({"confidence": 1.0}, "gate.confidence"),
        ({"min_groups": 1}, "gate.min_groups"),
        ({"n_bootstrap": 10}, "gate.n_bootstrap"),
        ({"min_event_f1": 1.5}, "gate.min_event_f1"),
        ({"min_delta": float("nan")}, "gate.min_delta"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, text):
    with pytest.raises(ConfigError, match=text):
        GateConfig(**change)
