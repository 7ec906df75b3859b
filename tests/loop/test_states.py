"""The state machine: every pair of states, every combination of facts."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import pytest

from tsloop.errors import IllegalTransitionError, IterationError
from tsloop.loop.states import (
    TRANSITIONS,
    IterationFacts,
    State,
    check_transition,
    derive_state,
    missing_for,
)

ALLOWED = {
    ("Created", "Annotating"),
    ("Annotating", "DataReady"),
    ("DataReady", "Training"),
    ("Training", "Trained"),
    ("Trained", "Inferring"),
    ("Inferring", "Reviewing"),
    ("Reviewing", "Annotating"),
    ("Reviewing", "Completed"),
}

STEPS: list[tuple[State, dict[str, Any]]] = [
    (State.CREATED, {}),
    (State.ANNOTATING, {"journal_exists": True}),
    (State.DATA_READY, {"labels_done": True, "snapshot": True, "dataset": True}),
    (State.TRAINING, {"fit_job_running": True}),
    (State.TRAINED, {"fit_job_running": False, "models_done": 2}),
    (State.INFERRING, {"predict_job_running": True}),
    (State.REVIEWING, {"predict_job_running": False, "predictions_done": 2}),
    (State.COMPLETED, {"report": True, "published": True, "event_f1": 0.7}),
]


def facts(state: State = State.CREATED, **changes: Any) -> IterationFacts:
    """What is seen of an iteration that came to this state on the usual way."""
    values: dict[str, Any] = {"models_total": 2, "predictions_total": 2, "min_event_f1": 0.6}
    for step, seen in STEPS:
        values |= seen
        if step is state:
            break
    return IterationFacts(**{**values, **changes})


@pytest.mark.parametrize(("current", "target"), list(itertools.product(State, State)))
def test_every_pair(current: State, target: State) -> None:
    if (current, target) in ALLOWED:
        check_transition(current, target)
        check_transition(current, target, "models are made from data")
        with pytest.raises(IllegalTransitionError, match="no dataset") as refused:
            check_transition(current, target, missing="no dataset")
    else:
        with pytest.raises(IllegalTransitionError, match="because") as refused:
            check_transition(current, target, "because")
    message = str(refused.value)
    assert f"is {current};" in message
    assert f"become {target}" in message
    for following in TRANSITIONS[current]:
        assert following in message.split("What may follow")[1]


def test_the_message_names_both_ways_out_of_reviewing() -> None:
    with pytest.raises(IllegalTransitionError, match="Reviewing is Annotating or Completed"):
        check_transition(State.REVIEWING, State.TRAINING)
    with pytest.raises(IllegalTransitionError, match="the iteration is over"):
        check_transition(State.COMPLETED, State.REVIEWING)


def test_the_usual_way_is_legal() -> None:
    for (before, _), (after, _) in itertools.pairwise(STEPS):
        assert derive_state(facts(before)) == (before, None)
        assert derive_state(facts(after)) == (after, None)
        check_transition(before, after)


def test_every_combination_of_facts() -> None:
    flags = (
        "journal_exists",
        "labels_done",
        "snapshot",
        "dataset",
        "fit_job_running",
        "predict_job_running",
        "report",
        "published",
        "review_open",
    )
    seen = set()
    for values in itertools.product([False, True], repeat=len(flags)):
        for models, predictions, f1 in itertools.product(range(3), range(3), (None, 0.5, 0.9)):
            found = IterationFacts(
                **dict(zip(flags, values, strict=True)),
                models_done=models,
                models_total=2,
                predictions_done=predictions,
                predictions_total=2,
                event_f1=f1,
                min_event_f1=0.6,
                failure="it broke",
            )
            state, failure = derive_state(found)
            seen.add(state)
            running = found.fit_job_running or found.predict_job_running
            assert failure == (None if running else "it broke")
            assert (state in (State.TRAINING, State.INFERRING)) == running
            # What a state promises is there, and the next one is not reached yet.
            if state is State.COMPLETED:
                assert missing_for(State.COMPLETED, found) == ""
                assert f1 == 0.9
                assert not found.review_open
            if state is State.REVIEWING:
                assert missing_for(State.REVIEWING, found) == ""
                assert missing_for(State.COMPLETED, found) != ""
            if state is State.TRAINED:
                assert (models, predictions < 2) == (2, True)
            if state is State.DATA_READY:
                assert found.has_data
                assert models < 2
            if state is State.ANNOTATING:
                assert found.journal_exists
                assert missing_for(State.DATA_READY, found) != ""
            if state is State.CREATED:
                assert not found.journal_exists
    assert seen == set(State)


def test_open_labels_take_an_iteration_back() -> None:
    again = facts(State.REVIEWING, labels_done=False)
    assert derive_state(again) == (State.ANNOTATING, None)
    check_transition(State.REVIEWING, State.ANNOTATING)


def test_a_failure_is_a_flag_beside_the_state() -> None:
    failed = facts(State.DATA_READY, failure="fit@it001-chatts ended with exit code 1")
    assert derive_state(failed) == (State.DATA_READY, "fit@it001-chatts ended with exit code 1")
    mending = dataclasses.replace(failed, fit_job_running=True)
    assert derive_state(mending) == (State.TRAINING, None)


def test_one_job_that_fits_and_predicts() -> None:
    both = {"fit_job_running": True, "predict_job_running": True}
    assert derive_state(facts(State.DATA_READY, **both)) == (State.TRAINING, None)
    assert derive_state(facts(State.TRAINED, **both)) == (State.INFERRING, None)


def test_training_again_is_training_though_the_old_models_are_there() -> None:
    again = facts(State.COMPLETED, fit_job_running=True)
    assert derive_state(again) == (State.TRAINING, None)
    halfway = facts(State.DATA_READY, models_done=1, predict_job_running=True)
    assert derive_state(halfway) == (State.TRAINING, None), "the other variant is yet to come"


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"report": False}, "not evaluated"),
        ({"published": False}, "not published"),
        ({"review_open": True}, "review is still open"),
        ({"min_event_f1": None}, "min_event_f1 is not set"),
        ({"event_f1": None}, "undefined"),
        ({"event_f1": math.nan}, "undefined"),
        ({"event_f1": 0.59}, "0.590, below gate.min_event_f1=0.600"),
        ({"predictions_done": 1}, "1 of 2 predictions"),
    ],
)
def test_what_completion_needs(changes: dict[str, Any], missing: str) -> None:
    found = facts(State.COMPLETED, **changes)
    assert derive_state(found)[0] is not State.COMPLETED
    said = missing_for(State.COMPLETED, found)
    assert missing in said
    with pytest.raises(IllegalTransitionError, match="Completed"):
        check_transition(State.REVIEWING, State.COMPLETED, missing=said)


def test_what_the_other_states_need() -> None:
    created, ready, trained = (facts(s) for s in (State.CREATED, State.DATA_READY, State.TRAINED))
    assert missing_for(State.ANNOTATING, created) == ""
    assert "labels are not complete" in missing_for(State.DATA_READY, created)
    assert "labels are not complete" in missing_for(State.TRAINING, created)
    unbuilt = facts(State.DATA_READY, dataset=False)
    assert "dataset is not built" in missing_for(State.TRAINING, unbuilt)
    assert missing_for(State.TRAINING, ready) == ""
    assert "being trained already" in missing_for(State.TRAINING, facts(State.TRAINING))
    assert "0 of 2 models" in missing_for(State.TRAINED, ready)
    assert missing_for(State.INFERRING, trained) == ""
    assert "being made already" in missing_for(State.INFERRING, facts(State.INFERRING))
    assert "0 of 2 predictions" in missing_for(State.REVIEWING, trained)


def test_impossible_facts_are_refused() -> None:
    with pytest.raises(IterationError, match="not configured"):
        derive_state(IterationFacts(created=False))
    for wrong in ({"models_done": 1}, {"predictions_done": -1}):
        with pytest.raises(IterationError, match="count them again"):
            IterationFacts(**wrong)
