"""The scripted reviewer of benchmarks/review_cost.py: it arrives at the truth by real keys."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tsloop.intervals import Interval
from tsloop.labels import builtin_label_set

ROOT = Path(__file__).parents[2]
LABELS = builtin_label_set().ids
N_ROWS = 2880
STEP, SPIKE = LABELS[4], LABELS[1]


@pytest.fixture(scope="module")
def model() -> ModuleType:
    if not (ROOT / "web" / "src").is_dir():
        pytest.skip("no web/ here: the keys are read from the page's source")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import reviewer_model

        return reviewer_model
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def chords(
    model: ModuleType, truth: Sequence[Interval], proposals: Sequence[Interval]
) -> list[str]:
    plan = model.review_plan(truth, proposals, N_ROWS, LABELS, model.page_keys(), STEP)
    assert model.same_answer(truth, plan.answer)
    return [" ".join(step) if step[0] != "key" else step[1] for step in plan.steps]


EVENTS = [Interval(400, 499, STEP), Interval(1000, 1099, STEP)]
SHORT, EARLY = Interval(400, 478, STEP), Interval(300, 499, STEP)
HALF, REST = Interval(400, 460, STEP), Interval(465, 499, STEP)
WIDER = ["shift+ArrowRight"] * 3
WRONG = [Interval(1500, 1520, STEP), Interval(2000, 2020, STEP)]


@pytest.mark.parametrize(
    ("truth", "proposals", "expected"),
    [
        (EVENTS, EVENTS, ["a", "a"]),
        (EVENTS, [], ["drag 400 499", "drag 1000 1099", "Enter"]),
        ([], [], ["0"]),
        ([], WRONG, ["0"]),
        (EVENTS, [*EVENTS, *WRONG], ["a", "a", "Enter"]),
        (EVENTS, [*EVENTS, WRONG[0]], ["a", "a", "x"]),
        (EVENTS, EVENTS[:1], ["drag 1000 1099", "a", "a"]),
        (EVENTS[:1], [SHORT], ["e", "Tab", "shift+ArrowRight", "ArrowRight", "Enter", "Enter"]),
        (EVENTS, [EARLY, EVENTS[1]], ["e", "ctrl+ArrowRight", "Enter", "a", "a"]),
        (EVENTS[:1], [Interval(400, 499, SPIKE)], ["5", "Enter"]),
        # What an edited interval has swallowed comes last: the page goes on behind the interval.
        (EVENTS, [HALF, REST, EVENTS[1]], ["e", "Tab", *WIDER, "Enter", "a", "a", "x"]),
        (EVENTS[:1], [Interval(480, 2500, STEP)], ["drag 400 499", "Enter"]),
    ],
)  # fmt: skip
def test_the_shortest_way_to_the_truth(
    model: ModuleType, truth: list[Interval], proposals: list[Interval], expected: list[str]
) -> None:
    assert chords(model, truth, proposals) == expected


def test_one_row_is_drawn_where_it_can_be_hit(model: ModuleType) -> None:
    found = chords(model, [Interval(1297, 1297, SPIKE)], [])
    assert found == ["click 1297", "+", "+", "drag 1297 1297", "2", "Enter"]


def test_seconds_are_the_operators(model: ModuleType) -> None:
    plan = model.review_plan(EVENTS, EVENTS, N_ROWS, LABELS, model.page_keys(), STEP)
    assert plan.operators == {"E": 12, "M": 4, "K": 2}
    assert plan.seconds == pytest.approx(12 * 0.23 + 4 * 1.35 + 2 * 0.28)
    assert (plan.n_keys, plan.n_gestures, dict(plan.decisions)) == (2, 0, {"accept": 2})


def test_whatever_is_proposed_the_truth_comes_out(model: ModuleType) -> None:
    rng = np.random.default_rng(0)

    def some(n: int) -> list[Interval]:
        starts = np.sort(rng.choice(np.arange(0, N_ROWS - 80, 90), n, replace=False))
        return [
            Interval(int(s), int(s + rng.integers(0, 80)), str(rng.choice(LABELS))) for s in starts
        ]

    for _ in range(300):
        truth, proposals = some(int(rng.integers(0, 8))), some(int(rng.integers(0, 8)))
        assert chords(model, truth, proposals)
        nothing = model.review_plan(truth, [], N_ROWS, LABELS, model.page_keys(), STEP)
        right = model.review_plan(truth, truth, N_ROWS, LABELS, model.page_keys(), STEP)
        assert right.seconds <= nothing.seconds


def test_every_key_is_one_of_the_page(model: ModuleType) -> None:
    keys = model.page_keys()
    assert keys["accept"] == "a"
    assert {"edgeLeft100", "edgeCommit", "none", "done", "palette", "fitAll"} <= set(keys)
