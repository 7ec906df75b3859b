"""The shortest way to a whole answer from any state of the automaton."""

from __future__ import annotations

from tsloop.chatts.generate.constraints import AnswerConstraint, Phase, State
from tsloop.chatts.generate.digits import reaches, shortest_number
from tsloop.chatts.generate.strings import next_in_string

__all__ = ["shortest_completion"]


def shortest_completion(constraint: AnswerConstraint, state: State) -> bytes:
    """The fewest bytes that make the answer whole from here; empty once it is."""
    text = b""
    now: State | None = state
    while now is not None and now.phase is not Phase.DONE:
        piece = _step(constraint, now)
        text += piece
        now = constraint.follow(now, piece)
    return text


def _step(constraint: AnswerConstraint, state: State) -> bytes:
    phase, part = state.phase, state.part
    if phase is Phase.FIRST:
        return _rows(constraint, state)
    if phase is Phase.LAST:
        return _last(constraint, state)
    if phase is Phase.LABEL:
        fitting = [label for label in constraint.labels_for(state) if label.startswith(part)]
        return min(fitting, key=len)[len(part) :] + b'"'
    if phase is Phase.REASON:
        return b'"' if part in (b"", b"\\") else next_in_string(part)[:1]
    return constraint.next_bytes(state, closing=True)[:1]


def _rows(constraint: AnswerConstraint, state: State) -> bytes:
    """The digits of the first row, with the comma: a longer one may allow a shorter last row."""
    highest, part = constraint.n_rows - 1, state.part
    first = shortest_number(part, constraint.lowest_first(state), highest)
    choices = [first]
    if first == state.before[0] and reaches(part, first + 1, highest):
        choices.append(shortest_number(part, first + 1, highest))
    texts: list[tuple[int, bytes]] = []
    for choice in choices:
        text = f"{choice},".encode()[len(part) :]
        then = state._replace(phase=Phase.LAST, part=b"", first=choice)
        rest = _last(constraint, then)
        texts.append((len(text + rest) + _label(constraint, then, rest), text))
    return min(texts)[1]


def _last(constraint: AnswerConstraint, state: State) -> bytes:
    """The digits of the last row, with the bracket; a higher row may allow a shorter label."""
    highest, part = constraint.n_rows - 1, state.part
    last = shortest_number(part, constraint.lowest_last(state.first, state.before), highest)
    choices = [last]
    if (state.first, last) == state.before[:2] and reaches(part, last + 1, highest):
        choices.append(shortest_number(part, last + 1, highest))
    texts = [f"{choice}]".encode()[len(part) :] for choice in choices]
    return min(texts, key=lambda text: len(text) + _label(constraint, state, text))


def _label(constraint: AnswerConstraint, state: State, digits: bytes) -> int:
    """The length of the shortest label after the last row was ended with these digits."""
    last = int((state.part + digits).removesuffix(b"]"))
    return min(map(len, constraint.labels_for(state._replace(last=last))))
