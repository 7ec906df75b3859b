"""The automaton: exactly the answers of the grammar, and a way out of every state."""

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.chatts.generate.completion import shortest_completion
from tsloop.chatts.generate.constraints import AnswerConstraint, Phase, State
from tsloop.errors import ConfigError, LabelSetError
from tsloop.grammar import parse_answer, render_answer
from tsloop.intervals import Interval, Status
from tsloop.labels import Label, LabelSet, builtin_label_set

LABELS = builtin_label_set()
ODD = LabelSet(
    "odd", 1, tuple(Label(i, i, i) for i in ("a", "ab", '尖"峰', "back\\slash", "x<y", "Ω"))
)


def walk(constraint: AnswerConstraint, seed: int, stop: float = 0.02) -> tuple[str, State]:
    """A random answer: any byte that may follow, and sooner or later the shortest way out."""
    rng = random.Random(seed)
    state, text = constraint.start, bytearray()
    while state.phase is not Phase.DONE:
        closing = rng.random() < stop
        if closing:
            text += shortest_completion(constraint, state)
            break
        byte = rng.choice(constraint.next_bytes(state))
        text.append(byte)
        after = constraint.advance(state, byte)
        assert after is not None
        state = after
    return text.decode(), state


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 1200),
    st.integers(1, 6),
    st.integers(0, 30),
    st.integers(0, 10**9),
    st.sampled_from([LABELS, ODD]),
)
def test_every_answer_it_can_produce_reads_as_it_is(
    n_rows: int, most: int, reason: int, seed: int, label_set: LabelSet
) -> None:
    constraint = AnswerConstraint.of(n_rows, label_set, most, reason)
    text, _ = walk(constraint, seed)
    answer = parse_answer(text, n_rows, label_set)
    assert answer.form == "ok"
    assert answer.trusted
    assert answer.status is (Status.NONE if text == "[]" else Status.OK)
    assert len(answer.intervals) == text.count('"interval"') <= most
    keys = [(i.start, i.end, i.label) for i in answer.intervals]
    assert keys == sorted(set(keys))
    assert all(0 <= i.start <= i.end < n_rows and i.label in label_set for i in answer.intervals)
    assert "\n" not in text
    assert "<" not in text
    assert constraint.accepts(text)


@st.composite
def targets(draw: st.DrawFn) -> list[Interval]:
    keys = st.tuples(st.integers(0, 299), st.integers(0, 299), st.sampled_from(LABELS.ids))
    found = draw(st.lists(keys.map(lambda k: (min(k[:2]), max(k[:2]), k[2])), unique=True))
    alphabet = st.characters(exclude_categories=["Cs"])
    return [Interval(*key, reason=draw(st.text(alphabet, max_size=8))) for key in found]


@given(targets())
def test_every_training_target_is_an_answer_it_can_produce(intervals: list[Interval]) -> None:
    constraint = AnswerConstraint.of(300, LABELS, max_intervals=100, max_reason=60)
    assert constraint.accepts(render_answer(intervals, LABELS))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[ ]",
        '[{"interval":[0,10],"label":"step_up"}]',  # row 10 of 0..9
        '[{"interval":[5,4],"label":"step_up"}]',
        '[{"interval":[01,4],"label":"step_up"}]',
        '[{"interval":[1,4],"label":"glitch"}]',
        '[{"interval":[1,4],"label":""}]',
        '[{"interval":[1,4]}]',
        '[{"interval":[1,4],"label":"step_up"},]',
        '[{"interval":[1,4],"label":"step_up"},{"interval":[1,4],"label":"step_up"}]',
        '[{"interval":[1,4],"label":"step_up"},{"interval":[1,4],"label":"step_down"}]',
        '[{"interval":[1,4],"label":"step_up"},{"interval":[0,4],"label":"step_up"}]',
        '[{"interval":[1,4],"label":"step_up","reason":"12345678901"}]',
        '[{"interval":[1,4],"label":"step_up","reason":"a<b"}]',
        '[{"interval":[1,4],"label":"step_up","reason":"\\ud800"}]',
        '[{"interval":[1,4],"label":"step_up","reason":"a\u2028b"}]',
        '[{"interval":[1,4],"label":"step_up","reason":"\\x"}]',
        "[]]",
    ],
)
def test_what_is_no_answer(text: str) -> None:
    assert not AnswerConstraint.of(10, LABELS, max_reason=10).accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '[{"interval":[9,9],"label":"anomaly"}]',
        '[{"interval":[1,4],"label":"step_down"},{"interval":[1,4],"label":"step_up"}]',
        '[{"interval":[1,4],"label":"step_up","reason":"a \\u00e9é😀"}]',
        '[{"interval":[0,9],"label":"step_up","reason":""}]',
    ],
)
def test_what_is_an_answer(text: str) -> None:
    assert AnswerConstraint.of(10, LABELS, max_reason=10).accepts(text)


def test_the_number_of_items_is_bounded() -> None:
    items = [Interval(i, i, "anomaly") for i in range(4)]
    constraint = AnswerConstraint.of(10, LABELS, max_intervals=3)
    assert constraint.accepts(render_answer(items[:3], LABELS))
    assert not constraint.accepts(render_answer(items, LABELS))


def test_the_last_possible_item_ends_the_list() -> None:
    """After (9, 9, last label) no item could come: the comma is refused, not a dead end."""
    constraint = AnswerConstraint.of(10, LABELS)
    last = sorted(LABELS.ids)[-1]
    text = f'[{{"interval":[9,9],"label":"{last}"}}'.encode()
    state = constraint.follow(constraint.start, text)
    assert state is not None
    assert constraint.next_bytes(state) == b"]"


def reachable(constraint: AnswerConstraint) -> dict[State, set[State]]:
    """Every state of a small grammar with those that follow it (few characters of reasons)."""
    found: dict[State, set[State]] = {}
    waiting = [constraint.start]
    while waiting:
        state = waiting.pop()
        if state in found:
            continue
        allowed = constraint.next_bytes(state)
        if state.phase is Phase.REASON:
            allowed = allowed[:2] if state.part else bytes(b for b in allowed if b in b'"x\\\xe2')
        after = {s for byte in allowed if (s := constraint.advance(state, byte)) is not None}
        assert len(after) <= len(allowed)
        found[state] = after
        waiting += after
    return found


@pytest.mark.parametrize(("n_rows", "most", "reason"), [(5, 2, 0), (2, 1, 7), (23, 1, 0)])
def test_shortest_completions_and_reserves_hold_in_every_state(
    n_rows: int, most: int, reason: int
) -> None:
    constraint = AnswerConstraint(n_rows, (b"a", b"bcd"), most, reason)
    graph = reachable(constraint)
    back: dict[State, set[State]] = {}
    for state, after in graph.items():
        for one in after:
            back.setdefault(one, set()).add(state)
    distance = {state: 0 for state in graph if state.phase is Phase.DONE}
    queue = deque(distance)
    while queue:
        state = queue.popleft()
        for one in back.get(state, ()):
            if one not in distance:
                distance[one] = distance[state] + 1
                queue.append(one)
    assert set(distance) == set(graph)  # no dead end
    for state in graph:
        assert len(shortest_completion(constraint, state)) == distance[state]
        need = constraint.longest_closing(state)
        assert distance[state] <= need <= constraint.reserve
        closing = constraint.next_bytes(state, closing=True)
        assert set(closing) <= set(constraint.next_bytes(state))
        assert closing or state.phase is Phase.DONE
        for byte in closing:
            after = constraint.advance(state, byte)
            assert after is not None
            assert constraint.longest_closing(after) < need


def test_a_longer_first_row_may_make_a_shorter_answer() -> None:
    constraint = AnswerConstraint(5000, (b"a", b"b"), 9, 0)
    begun = constraint.follow(constraint.start, b'[{"interval":[5,1000],"label":"a"},{"interval":[')
    assert begun is not None
    assert shortest_completion(constraint, begun) == b'6,6],"label":"a"}]'


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one row"):
        AnswerConstraint.of(0, LABELS)
    with pytest.raises(ConfigError, match="max_intervals is 0"):
        AnswerConstraint.of(5, LABELS, max_intervals=0)
    with pytest.raises(LabelSetError, match="no labels"):
        AnswerConstraint.of(5, LabelSet("empty", 1, ()))
    with pytest.raises(LabelSetError, match="'normal' of label set bad@1 reads as something else"):
        AnswerConstraint.of(5, LabelSet("bad", 1, (Label("normal", "n", "n"),)))
    same = LabelSet("bad", 1, (Label("A", "x", "y"), Label("a", "x", "y")))
    with pytest.raises(LabelSetError, match="'a' of label set"):
        AnswerConstraint.of(5, same)
