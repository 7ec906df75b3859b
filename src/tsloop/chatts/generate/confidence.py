"""How sure the model was of each interval, from the probabilities of its own tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tsloop.chatts.generate.constraints import AnswerConstraint, Phase, State
from tsloop.chatts.generate.vocabulary import TokenTable

__all__ = ["item_confidences", "mean_confidence"]

_CORE = frozenset(
    {Phase.ITEM, Phase.FIRST, Phase.LAST, Phase.LABEL_KEY, Phase.LABEL, Phase.LABELLED}
)


def item_confidences(
    table: TokenTable,
    constraint: AnswerConstraint,
    tokens: Sequence[int],
    log_probabilities: Sequence[float],
) -> list[float]:
    """For each item of a constrained answer, in order: a number in (0, 1].

    It is the geometric mean of the probabilities, among the tokens that were allowed, of the tokens
    which write the item up to its label; what only the reason says does not count.
    """
    state = State()
    logs: list[list[float]] = []
    for token, log in zip(tokens, log_probabilities, strict=False):
        text = table.texts[token] if token < len(table) else b""
        after = constraint.follow(state, text) if text else None
        if after is None:
            break
        while len(logs) < after.items:
            logs.append([])
        if after.phase in _CORE or after.items > state.items:
            logs[after.items - 1].append(log)
        elif state.phase in _CORE:
            logs[state.items - 1].append(log)
        state = after
    return [mean_confidence(item) for item in logs]


def mean_confidence(log_probabilities: Sequence[float]) -> float:
    """The geometric mean of probabilities; 1 where there are none."""
    if not log_probabilities:
        return 1.0
    return min(1.0, math.exp(math.fsum(log_probabilities) / len(log_probabilities)))
