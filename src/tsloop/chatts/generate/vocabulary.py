"""Which tokens of a vocabulary may follow in an answer.

The texts of the tokens are sorted once, so that tokens with a common beginning lie side by side and
are accepted or refused together. Within a reason nearly every token may follow; these tokens are
told apart once for the whole vocabulary, and only those with a quote or a backslash are looked at
again. Masks are remembered by state.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tsloop.chatts.generate.constraints import AnswerConstraint, Phase, State
from tsloop.chatts.generate.strings import LONGEST_ESCAPE, is_clean
from tsloop.errors import DetectorError

__all__ = ["TokenTable"]

Bools = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]

_UNBOUNDED = -(10**9)


class TokenTable:
    """The text of every token, and the masks made from it.

    ``texts[i]`` is what token ``i`` adds to the text, in bytes; empty for tokens that may never
    occur in an answer (control tokens, unused ids).
    """

    def __init__(self, texts: Sequence[bytes], remembered: int = 512) -> None:
        self._single = {text[0] for text in texts if len(text) == 1}
        self._need(bytes(range(0x20, 0x7F)))
        if not self._single.issuperset(range(0x80, 0xC0)):  # a begun character could not be ended
            texts = [text if _is_whole(text) else b"" for text in texts]
        self.texts = tuple(texts)
        filled = [i for i, text in enumerate(self.texts) if text]
        self._tokens = _SortedTexts([self.texts[i] for i in filled], filled)
        self._reasons = _ReasonTokens(self.texts)
        self._remembered = lru_cache(maxsize=remembered)(self._make)

    def __len__(self) -> int:
        return len(self.texts)

    def check(self, constraint: AnswerConstraint) -> None:
        """Raise `DetectorError` where labels have characters that no token can write."""
        for label in constraint.labels:
            self._need(label)

    def mask(self, constraint: AnswerConstraint, state: State, closing: bool = False) -> Bools:
        """Shape ``(len(self),)``, read-only: which whole tokens may follow.

        Every token in it may follow by `AnswerConstraint.follow`. The reverse holds but for tokens
        with a backslash near the end of a reason's room. Before the answer is complete at least
        one token may follow, for every byte has a token of its own.
        """
        return self._remembered(constraint, self._same_room(constraint, state), closing)

    def _make(self, constraint: AnswerConstraint, state: State, closing: bool) -> Bools:
        mask = np.zeros(len(self), dtype=np.bool_)
        if state.phase is Phase.REASON and not state.part:
            self._reasons.allow(mask, constraint, state, closing)
        else:
            mask[self._tokens.following(constraint, state, closing)] = True
        mask.flags.writeable = False
        return mask

    def _same_room(self, constraint: AnswerConstraint, state: State) -> State:
        """States in which every token has room enough are one."""
        if state.phase is not Phase.REASON:
            return state
        enough = constraint.max_reason - self._reasons.longest - LONGEST_ESCAPE
        return state._replace(used=max(state.used, enough))

    def _need(self, wanted: bytes) -> None:
        if missing := [byte for byte in wanted if byte not in self._single]:
            raise DetectorError(
                f"The vocabulary has no token for the byte {bytes(missing[:1])!r} alone: answers "
                "cannot be constrained with it.",
                hint="Ask without constraint, or use a tokenizer that knows every byte.",
            )


class _SortedTexts:
    """Texts in order, each with the id that it stands for."""

    def __init__(self, texts: Sequence[bytes], ids: Sequence[int]) -> None:
        order = sorted(range(len(texts)), key=texts.__getitem__)
        self.texts = [texts[i] for i in order]
        self.ids = np.array([ids[i] for i in order], dtype=np.int64)

    def following(self, constraint: AnswerConstraint, state: State, closing: bool) -> Ids:
        """The ids of all texts that may follow a state."""
        found: list[int] = []
        self._walk(constraint, state, closing, b"", (0, len(self.texts)), found.append)
        return self.ids[found]

    def _walk(
        self,
        constraint: AnswerConstraint,
        state: State,
        closing: bool,
        begin: bytes,
        span: tuple[int, int],
        found: Callable[[int], None],
    ) -> None:
        """Texts ``span[0]..span[1]-1`` begin with ``begin``, after which the state is ``state``."""
        low, high = span
        while low < high and len(self.texts[low]) == len(begin):
            found(low)
            low += 1
        allowed = constraint.next_bytes(state, closing)
        if high - low <= 2 * len(allowed):
            for place in range(low, high):
                rest = self.texts[place][len(begin) :]
                if constraint.follow(state, rest, closing) is not None:
                    found(place)
            return
        for byte in sorted(allowed):
            longer = begin + bytes((byte,))
            first = bisect_left(self.texts, longer, low, high)
            if first == high or not self.texts[first].startswith(longer):
                continue
            last = bisect_left(self.texts, begin + bytes((byte + 1,)), first, high)
            after = constraint.advance(state, byte)
            if after is not None:
                self._walk(constraint, after, closing, longer, (first, last), found)


class _ReasonTokens:
    """The tokens told apart by what they are at the begin of a character of a reason.

    *Plain* ones stay within the reason. *Crossing* ones hold a quote or a backslash; what comes
    from there on (their rest) is judged by the automaton, once for all tokens that share it.
    """

    def __init__(self, texts: Sequence[bytes]) -> None:
        plain: list[tuple[int, int]] = []
        quoted: list[tuple[int, int, bytes]] = []
        escaped: list[tuple[int, int, bytes]] = []
        for number, text in enumerate(texts):
            cut = _first_special(text)
            before = _characters(text[:cut], whole=cut < len(text))
            if not text or before is None:
                continue
            if cut == len(text):
                plain.append((number, before))
            elif text[cut] == ord('"'):
                quoted.append((number, before, text[cut:]))
            else:
                escaped.append((number, len(text), text[cut:]))
        self.plain = _columns(plain)
        self.quoted = _columns([row[:2] for row in quoted])
        self.escaped = _columns([row[:2] for row in escaped])
        columns = (self.plain, self.quoted, self.escaped)
        self.longest = max((int(column.max()) for _, column in columns if len(column)), default=0)
        self._quote_rests = _Rests([row[2] for row in quoted])
        self._escape_rests = _Rests([row[2] for row in escaped])

    def allow(self, mask: Bools, constraint: AnswerConstraint, state: State, closing: bool) -> None:
        """Set the mask for a state in which a character of a reason may begin."""
        room = 0 if closing else constraint.max_reason - state.used
        free = state._replace(used=_UNBOUNDED)
        ids, characters = self.plain
        mask[ids[characters <= room]] = True
        ids, characters = self.quoted
        mask[ids[(characters <= room) & self._quote_rests.follow(constraint, free, closing)]] = True
        if room >= LONGEST_ESCAPE:
            ids, characters = self.escaped
            fitting = characters + LONGEST_ESCAPE - 1 <= room
            mask[ids[fitting & self._escape_rests.follow(constraint, free, closing)]] = True


class _Rests:
    """Rests of tokens, many of which are equal."""

    def __init__(self, rests: Sequence[bytes]) -> None:
        distinct = sorted(set(rests))
        place = {rest: number for number, rest in enumerate(distinct)}
        self._of_token = np.array([place[rest] for rest in rests], dtype=np.int64)
        self._sorted = _SortedTexts(distinct, range(len(distinct)))
        self.follow = lru_cache(maxsize=128)(self._follow)

    def _follow(self, constraint: AnswerConstraint, state: State, closing: bool) -> Bools:
        """For each token: whether its rest may follow."""
        good = np.zeros(len(self._sorted.texts), dtype=np.bool_)
        good[self._sorted.following(constraint, state, closing)] = True
        return good[self._of_token]


def _is_whole(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _columns(rows: Sequence[tuple[int, int]]) -> tuple[Ids, Ids]:
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _first_special(text: bytes) -> int:
    """Where the first quote or backslash is; the length where there is none."""
    places = [place for place in (text.find(b'"'), text.find(b"\\")) if place >= 0]
    return min(places, default=len(text))


def _characters(text: bytes, whole: bool) -> int | None:
    """How many characters begin in a text; ``None`` where a reason cannot hold them.

    A text that is not ``whole`` may end within a character.
    """
    try:
        return len(text.decode()) if is_clean(text.decode()) else None
    except UnicodeDecodeError as error:
        if whole or error.reason != "unexpected end of data":
            return None
        begun = text[: error.start].decode()
        return len(begun) + 1 if is_clean(begun) else None
