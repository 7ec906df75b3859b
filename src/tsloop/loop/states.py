"""Where an iteration stands, derived from what is there.

::

    Created → Annotating → DataReady → Training → Trained → Inferring → Reviewing ─┬→ Completed
                  ▲                                                                │
                  └────────────────────────────────────────────────────────────────┘

No state is stored: `derive_state` reads it off artifacts and jobs, so that a restart, a pull or a
``kill -9`` cannot leave a wrong one behind. That something failed is a flag beside the state (with
the reason), since what was reached before stays reached and the same step may simply run again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from tsloop.errors import IllegalTransitionError, IterationError

__all__ = [
    "TRANSITIONS",
    "IterationFacts",
    "State",
    "check_transition",
    "derive_state",
    "missing_for",
]


class State(StrEnum):
    """The states of an iteration, in their usual order."""

    CREATED = "Created"  # configured; nobody labelled anything yet
    ANNOTATING = "Annotating"  # labels are being made, or wait to become a dataset
    DATA_READY = "DataReady"  # snapshot and dataset are there
    TRAINING = "Training"  # a job fits the models
    TRAINED = "Trained"  # every variant has a model
    INFERRING = "Inferring"  # a job predicts
    REVIEWING = "Reviewing"  # predictions are there for people to correct
    COMPLETED = "Completed"  # good enough, and published


TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.CREATED: frozenset({State.ANNOTATING}),
        State.ANNOTATING: frozenset({State.DATA_READY}),
        State.DATA_READY: frozenset({State.TRAINING}),
        State.TRAINING: frozenset({State.TRAINED}),
        State.TRAINED: frozenset({State.INFERRING}),
        State.INFERRING: frozenset({State.REVIEWING}),
        State.REVIEWING: frozenset({State.ANNOTATING, State.COMPLETED}),
        State.COMPLETED: frozenset(),
    }
)
"""Which states may follow which."""


def check_transition(
    current: State,
    target: State,
    reason: str = "",
    *,
    missing: str = "",
    who: str = "The iteration",
    command: str = "",
) -> None:
    """Refuse a change of state that is not allowed, or for which something is missing.

    ``reason`` explains to a reader why the change needs what it needs; it is only said with a
    refusal. ``missing`` (see `missing_for`) refuses a change that would be allowed otherwise.
    ``who`` names the iteration, and ``command`` is what a user would type now.
    Raises `IllegalTransitionError`, which names the current state and what may follow it.
    """
    if target in TRANSITIONS[current] and not missing:
        return
    allowed = sorted(TRANSITIONS[current], key=list(State).index)
    following = " or ".join(allowed) if allowed else "nothing: the iteration is over"
    causes = "; ".join(text for text in (missing, reason) if text)
    raise IllegalTransitionError(
        f"{who} is {current}; it cannot become {target}{': ' if causes else ''}{causes}.",
        hint=command or f"What may follow {current} is {following}.",
    )


@dataclass(frozen=True, slots=True)
class IterationFacts:
    """What can be seen of an iteration.

    Artifacts count only where they are complete and belong to the present labels: a model that was
    trained on an older snapshot of the same iteration is not done.
    """

    created: bool = True
    """It is configured."""
    journal_exists: bool = False
    """There is a journal (human or simulated)."""
    labels_done: bool = False
    """The journal answers everything it was asked, and is closed."""
    snapshot: bool = False
    dataset: bool = False
    models_done: int = 0
    models_total: int = 0
    fit_job_running: bool = False
    """A job or a plain `dvc repro` fits its models, or a training job waits for its turn."""
    predictions_done: int = 0
    predictions_total: int = 0
    predict_job_running: bool = False
    """Some run of DVC makes its predictions."""
    report: bool = False
    """It was evaluated."""
    published: bool = False
    """``registry/<it>.json`` is there."""
    event_f1: float | None = None
    """Event-F1 of its primary variant on gold; ``None`` where undefined or not evaluated."""
    min_event_f1: float | None = None
    """``gate.min_event_f1``; ``None`` means that no iteration completes."""
    review_open: bool = False
    """People are still reviewing its predictions."""
    failure: str = ""
    """Why the last job or stage of the iteration failed; empty where it did not."""

    def __post_init__(self) -> None:
        for name, done, total in (
            ("models", self.models_done, self.models_total),
            ("predictions", self.predictions_done, self.predictions_total),
        ):
            if not 0 <= done <= total:
                raise IterationError(f"{done} of {total} {name} cannot be: count them again.")

    @property
    def has_data(self) -> bool:
        """Labels, snapshot and dataset are there."""
        return self.journal_exists and self.labels_done and self.snapshot and self.dataset

    @property
    def has_models(self) -> bool:
        """Every variant has its model."""
        return self.has_data and 0 < self.models_total == self.models_done

    @property
    def has_predictions(self) -> bool:
        """Every variant has its predictions."""
        return self.has_models and 0 < self.predictions_total == self.predictions_done


def derive_state(facts: IterationFacts) -> tuple[State, str | None]:
    """The state, and why the last attempt to get further failed (``None`` where none did).

    What runs decides first; it also means that an earlier failure is being mended. It is Inferring
    only once every variant has its model: until then more training follows. Labels that are open
    again take the iteration back to Annotating, whatever was made of the older ones.
    """
    if not facts.created:
        raise IterationError("The iteration is not configured, so it has no state.")
    if facts.fit_job_running or facts.predict_job_running:
        inferring = facts.predict_job_running and facts.has_models
        return (State.INFERRING if inferring else State.TRAINING), None
    return _state_at_rest(facts), facts.failure or None


def _state_at_rest(facts: IterationFacts) -> State:
    if not facts.journal_exists:
        return State.CREATED
    if not facts.has_data:
        return State.ANNOTATING
    if not facts.has_models:
        return State.DATA_READY
    if not facts.has_predictions:
        return State.TRAINED
    return State.REVIEWING if _missing_to_complete(facts) else State.COMPLETED


def _missing_to_complete(facts: IterationFacts) -> str:
    if not facts.report:
        return "it is not evaluated yet (run `dvc repro`)"
    if not facts.published:
        return "it is not published yet (run `dvc repro`)"
    if facts.review_open:
        return "its review is still open"
    if facts.min_event_f1 is None:
        return "gate.min_event_f1 is not set, so nobody knows when it is good enough"
    if facts.event_f1 is None or math.isnan(facts.event_f1):
        return "its event-F1 on gold is undefined (label gold series with events)"
    if facts.event_f1 < facts.min_event_f1:
        return (
            f"its event-F1 on gold is {facts.event_f1:.3f}, "
            f"below gate.min_event_f1={facts.min_event_f1:.3f}"
        )
    return ""


def missing_for(target: State, facts: IterationFacts) -> str:
    """What is still missing before the iteration can become ``target``; empty where nothing is.

    Meant for ``missing`` of `check_transition`: ``Training`` needs the dataset, ``Completed``
    the gate, and so on.
    """
    if target is State.DATA_READY:
        if not (facts.journal_exists and facts.labels_done):
            return (
                "its labels are not complete (write data/labels/<it>.jsonl, see docs/labels.md; "
                "simulated ones come with `dvc repro`)"
            )
        return "" if facts.has_data else "its dataset is not built (run `dvc repro`)"
    if target is State.TRAINING:
        if facts.fit_job_running:
            return "it is being trained already (see `tsloop jobs list`)"
        return missing_for(State.DATA_READY, facts)
    if target in (State.TRAINED, State.INFERRING):
        if target is State.INFERRING and facts.predict_job_running:
            return "its predictions are being made already"
        if facts.has_models:
            return ""
        return f"{facts.models_done} of {facts.models_total} models are trained"
    if target is State.REVIEWING:
        if facts.has_predictions:
            return ""
        return f"{facts.predictions_done} of {facts.predictions_total} predictions are made"
    if target is State.COMPLETED:
        return missing_for(State.REVIEWING, facts) or _missing_to_complete(facts)
    return ""
