"""Exactly the answers of the grammar, as an automaton that reads UTF-8 bytes.

An answer to a window of ``n_rows`` rows is ``[]`` or a list on one line, without spaces::

    [{"interval":[a,b],"label":"<id>","reason":"…"},{"interval":[c,d],"label":"<id>"}]

with ``0 <= a <= b < n_rows``, items strictly ascending by (a, b, label), labels of the label set,
at most ``max_intervals`` items, and an optional reason of at most ``max_reason`` characters as
written. It reads bytes because tokens of byte-level vocabularies may end within a character.

*Closing* is the way in which an answer ends soon without inventing anything: no further item, no
reason that has not begun; a begun reason ends at the next character. Rows and label of a begun
item stay free.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple, Self

from tsloop.chatts.generate.digits import reaches
from tsloop.chatts.generate.strings import (
    LONGEST_ESCAPE,
    QUOTE,
    complete,
    next_in_string,
    pending,
)
from tsloop.errors import ConfigError, LabelSetError
from tsloop.grammar import parse_answer, render_answer
from tsloop.intervals import Interval
from tsloop.labels import LabelSet

__all__ = ["AnswerConstraint", "Phase", "State"]


class Phase(IntEnum):
    """Where in an answer a state is."""

    OPEN = 0  # nothing was read
    LIST = 1  # after "[": the end, or the first item
    ITEM = 2  # within {"interval":[
    FIRST = 3  # digits of the first row
    LAST = 4  # digits of the last row
    LABEL_KEY = 5  # within ],"label":"
    LABEL = 6
    LABELLED = 7  # after the label's quote: the end of the item, or a reason
    REASON_KEY = 8  # within ,"reason":"
    REASON = 9
    REASONED = 10  # after the reason's quote
    CLOSED = 11  # after "}": the end, or a further item
    DONE = 12


_ITEM = b'{"interval":['
_LABEL_KEY = b'],"label":"'
_REASON_KEY = b',"reason":"'
_LITERALS = {
    Phase.OPEN: (b"[", Phase.LIST),
    Phase.ITEM: (_ITEM, Phase.FIRST),
    Phase.LABEL_KEY: (_LABEL_KEY, Phase.LABEL),
    Phase.REASON_KEY: (_REASON_KEY, Phase.REASON),
    Phase.REASONED: (b"}", Phase.CLOSED),
}


class State(NamedTuple):
    """What was read so far, as far as it decides on what may follow.

    ``part``: bytes of the literal, number, label, character or escape that is being read.
    ``before``: (first, last, label) of the item before the present one, in the order of the labels.
    ``items``: how many were begun. ``used``: characters of the present reason.
    """

    phase: Phase = Phase.OPEN
    part: bytes = b""
    first: int = 0
    last: int = 0
    label: int = 0
    before: tuple[int, int, int] = (0, 0, -1)
    items: int = 0
    used: int = 0


@dataclass(frozen=True)
class AnswerConstraint:
    """The answers that are possible for one window; see the module text.

    ``labels`` are the label ids as written in JSON, in UTF-8 and in ascending order of the ids.
    """

    n_rows: int
    labels: tuple[bytes, ...]
    max_intervals: int = 32
    max_reason: int = 80

    def __post_init__(self) -> None:
        if self.n_rows < 1:
            raise ConfigError(f"A window has at least one row, not {self.n_rows}.")
        if self.max_intervals < 1 or self.max_reason < 0:
            raise ConfigError(
                f"max_intervals is {self.max_intervals} and max_reason {self.max_reason}: an "
                "answer must have room for one interval, and a reason cannot be shorter than 0."
            )
        if not self.labels:
            raise LabelSetError("The label set has no labels: no interval could be answered.")

    @classmethod
    def of(
        cls, n_rows: int, label_set: LabelSet, max_intervals: int = 32, max_reason: int = 80
    ) -> Self:
        """The constraint for a label set; an id that an answer cannot carry is an error."""
        labels: list[bytes] = []
        for label_id in sorted(label_set.ids):
            text = render_answer([Interval(0, 0, label_id)], label_set)
            read = parse_answer(text, 1, label_set)
            if [i.label for i in read.intervals] != [label_id] or read.form != "ok":
                raise LabelSetError(
                    f"Label id {label_id!r} of label set {label_set.ref} reads as something else "
                    "in an answer.",
                    hint="Rename it: ids differ in more than case and are no word for 'none'.",
                )
            labels.append(text.split('"label":"')[1].removesuffix('"}]').encode())
        return cls(n_rows, tuple(labels), max_intervals, max_reason)

    @property
    def start(self) -> State:
        """The state in which nothing was read."""
        return State()

    @cached_property
    def reserve(self) -> int:
        """Bytes that the longest item without a reason takes, with the end of the list."""
        return self.longest_closing(State(Phase.ITEM))

    @property
    def min_new_tokens(self) -> int:
        """The smallest token budget in which an answer can be closed and its first item is free."""
        return self.reserve + 3

    def next_bytes(self, state: State, closing: bool = False) -> bytes:
        """The bytes that may follow, in no particular order; empty once the answer is complete."""
        phase = state.phase
        if phase in _LITERALS:
            return _LITERALS[phase][0][len(state.part) :][:1]
        if phase is Phase.LIST:
            return b"]" if closing else b"]{"
        if phase is Phase.FIRST:
            return self._next_in_number(state, self.lowest_first(state), b",")
        if phase is Phase.LAST:
            return self._next_in_number(state, self.lowest_last(state.first, state.before), b"]")
        if phase is Phase.LABEL:
            return self._next_in_label(state)
        if phase is Phase.LABELLED:
            return b"}" if closing or not self.max_reason else b"},"
        if phase is Phase.REASON:
            return self._next_in_reason(state, closing)
        if phase is Phase.CLOSED:
            return b"]" if closing or not self._may_go_on(state) else b"],"
        return b""

    def advance(self, state: State, byte: int) -> State | None:
        """The state after one more byte; ``None`` where it may not follow."""
        if byte not in self.next_bytes(state):
            return None
        phase, part = state.phase, state.part + bytes((byte,))
        if phase in _LITERALS:
            return _in_literal(state, part)
        if phase is Phase.REASON:
            return _in_reason(state, byte, part)
        if byte == ord("]") and phase in (Phase.LIST, Phase.CLOSED):
            return state._replace(phase=Phase.DONE, part=b"")
        if phase in (Phase.LIST, Phase.CLOSED):
            begun = b"{" if phase is Phase.LIST else b""
            return state._replace(phase=Phase.ITEM, part=begun, items=state.items + 1)
        if phase is Phase.FIRST and byte == ord(","):
            return state._replace(phase=Phase.LAST, part=b"", first=int(state.part))
        if phase is Phase.LAST and byte == ord("]"):
            return state._replace(phase=Phase.LABEL_KEY, part=b"]", last=int(state.part))
        if phase is Phase.LABEL and byte == QUOTE and state.part in self.labels:
            label = self.labels.index(state.part)
            return state._replace(phase=Phase.LABELLED, part=b"", label=label)
        if phase is Phase.LABELLED:
            return (
                _closed(state)
                if byte == ord("}")
                else state._replace(phase=Phase.REASON_KEY, part=b",", used=0)
            )
        return state._replace(part=part)

    def follow(self, state: State, text: bytes, closing: bool = False) -> State | None:
        """The state after a whole token; ``None`` where the token may not follow."""
        now: State | None = state
        for byte in text:
            if now is None or (closing and byte not in self.next_bytes(now, closing)):
                return None
            now = self.advance(now, byte)
        return now

    def accepts(self, text: str) -> bool:
        """Whether a text is one whole answer."""
        state = self.follow(self.start, text.encode("utf-8", "surrogatepass"))
        return state is not None and state.phase is Phase.DONE

    def longest_closing(self, state: State) -> int:
        """Bytes that are needed at most to complete the answer when it is closed from here.

        Each byte that may follow while closing makes this at least one less.
        """
        phase, read = state.phase, len(state.part)
        digits = len(str(self.n_rows - 1))
        label = max(map(len, self.labels)) + len(b'"}]')
        keyed = len(_LABEL_KEY) + label
        if phase is Phase.REASON:
            return pending(state.part) + len(b'"}]')
        return {
            Phase.OPEN: 2,
            Phase.LIST: 1,
            Phase.ITEM: len(_ITEM) - read + 2 * digits + 1 + keyed,
            Phase.FIRST: 2 * digits - read + 1 + keyed,
            Phase.LAST: digits - read + keyed,
            Phase.LABEL_KEY: keyed - read,
            Phase.LABEL: label - read,
            Phase.LABELLED: 2,
            Phase.REASON_KEY: len(_REASON_KEY) - read + len(b'"}]'),
            Phase.REASONED: 2,
            Phase.CLOSED: 1,
            Phase.DONE: 0,
        }[phase]

    def lowest_last(self, first: int, before: tuple[int, int, int]) -> int:
        """The lowest last row for a first row: of two equal ones the later label must be free."""
        if first > before[0]:
            return first
        return before[1] + (before[2] == len(self.labels) - 1)

    def lowest_first(self, state: State) -> int:
        """The lowest first row after the item before; ``n_rows`` where none is left."""
        first = state.before[0]
        return first + (self.lowest_last(first, state.before) >= self.n_rows)

    def labels_for(self, state: State) -> tuple[bytes, ...]:
        """The labels that may follow the rows of a state, in order."""
        same = (state.first, state.last) == state.before[:2]
        return self.labels[state.before[2] + 1 :] if same else self.labels

    def _next_in_number(self, state: State, lowest: int, end: bytes) -> bytes:
        part, highest = state.part, self.n_rows - 1
        if part == b"0":
            return end
        digits = bytes(d for d in b"0123456789" if reaches(part + bytes((d,)), lowest, highest))
        return digits + (end if part and lowest <= int(part) <= highest else b"")

    def _next_in_label(self, state: State) -> bytes:
        part = state.part
        fitting = [label for label in self.labels_for(state) if label.startswith(part)]
        longer = {label[len(part)] for label in fitting if len(label) > len(part)}
        return bytes(longer) + (b'"' if part in fitting else b"")

    def _next_in_reason(self, state: State, closing: bool) -> bytes:
        room = self.max_reason - state.used
        if state.part:
            return next_in_string(state.part)
        if closing or room <= 0:
            return b'"'
        return (_PLAIN if room < LONGEST_ESCAPE else next_in_string(b"")) + b'"'

    def _may_go_on(self, state: State) -> bool:
        return state.items < self.max_intervals and self.lowest_first(state) < self.n_rows


_PLAIN = next_in_string(b"").replace(b"\\", b"")


def _in_literal(state: State, part: bytes) -> State:
    literal, after = _LITERALS[state.phase]
    if len(part) < len(literal):
        return state._replace(part=part)
    return _closed(state) if after is Phase.CLOSED else state._replace(phase=after, part=b"")


def _in_reason(state: State, byte: int, part: bytes) -> State:
    if not state.part and byte == QUOTE:
        return state._replace(phase=Phase.REASONED, part=b"")
    used = state.used + (byte < 0x80 or byte >= 0xC0)
    return state._replace(part=b"" if complete(part) else part, used=used)


def _closed(state: State) -> State:
    """The item is done: what it says is what the next one must come after."""
    before = (state.first, state.last, state.label)
    return state._replace(
        phase=Phase.CLOSED, part=b"", first=0, last=0, label=0, before=before, used=0
    )
