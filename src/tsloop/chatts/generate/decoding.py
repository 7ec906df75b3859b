"""Logits processors for ``generate``: only whole answers, and what the model thought of its tokens.

Both are plain callables ``(input_ids, scores) -> scores``, with ``input_ids`` of shape
``(rows, tokens)`` (left-padded, all prompts of one length) and ``scores`` of shape
``(rows, vocabulary)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from tsloop.chatts.generate.constraints import AnswerConstraint, Phase, State
from tsloop.chatts.generate.vocabulary import Bools, TokenTable
from tsloop.errors import ConfigError, DetectorError

__all__ = ["ConstrainedDecoding", "TokenProbabilities", "Trace"]


@dataclass
class Trace:
    """What one row has generated so far.

    ``tokens`` are all of them, padding after the end included; the first ``length`` write the
    answer. ``cut``: the model wanted to begin a further item when the token budget did not allow
    it.
    """

    state: State
    tokens: list[int] = field(default_factory=list)
    length: int = 0
    ended: bool = False
    cut: bool = False


class ConstrainedDecoding:
    """Keeps every row on the way to a whole answer within ``max_new_tokens``.

    ``constraints`` has one entry per prompt; with several rows per prompt (beams, several answers)
    consecutive rows belong together, as ``generate`` orders them. When the remaining budget
    is just enough for the longest item, the answer is closed: no further item, no further
    reason; so each answer is whole, and none is ``[]`` for want of room.
    """

    def __init__(
        self,
        table: TokenTable,
        constraints: Sequence[AnswerConstraint],
        prompt_tokens: int,
        max_new_tokens: int,
        eos_token_ids: Sequence[int],
    ) -> None:
        for constraint in constraints:
            table.check(constraint)
            if max_new_tokens < constraint.min_new_tokens:
                raise ConfigError(
                    f"max_new_tokens is {max_new_tokens}; an answer to {constraint.n_rows} rows "
                    f"with this label set needs at least {constraint.min_new_tokens}."
                )
        self.table = table
        self.constraints = tuple(constraints)
        self.prompt_tokens = prompt_tokens
        self.max_new_tokens = max_new_tokens
        self.eos_token_ids = tuple(eos_token_ids)
        self.traces: list[Trace] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores with minus infinity for every token that may not follow."""
        masks = np.zeros(tuple(scores.shape), dtype=np.bool_)
        for row, trace in enumerate(self.read(input_ids)):
            if trace.ended or trace.state.phase is Phase.DONE:
                masks[row, [i for i in self.eos_token_ids if i < masks.shape[1]]] = True
                continue
            mask = self._mask(self._constraint(row), trace, scores[row])
            shared = min(len(mask), masks.shape[1])
            masks[row, :shared] = mask[:shared]
        allowed = torch.from_numpy(masks).to(scores.device)
        return scores.masked_fill(~allowed, -torch.inf)

    def read(self, sequences: torch.Tensor) -> list[Trace]:
        """The traces of all rows, brought up to date with their tokens.

        Call it once more with what ``generate`` returned, for the last token.
        """
        generated = sequences[:, self.prompt_tokens :].tolist()
        if len(self.traces) != len(generated):
            self.traces = [Trace(State()) for _ in generated]
        for row, tokens in enumerate(generated):
            trace = self.traces[row]
            if tokens[: len(trace.tokens)] != trace.tokens:  # a beam took another row's place
                trace = self.traces[row] = Trace(State())
            for token in tokens[len(trace.tokens) :]:
                self._take(self._constraint(row), trace, token)
        return self.traces

    def _constraint(self, row: int) -> AnswerConstraint:
        return self.constraints[row * len(self.constraints) // len(self.traces)]

    def _take(self, constraint: AnswerConstraint, trace: Trace, token: int) -> None:
        trace.tokens.append(token)
        if trace.ended:
            return
        if trace.state.phase is Phase.DONE and token in self.eos_token_ids:
            trace.ended = True
            return
        text = self.table.texts[token] if token < len(self.table) else b""
        after = constraint.follow(trace.state, text) if text else None
        if after is None:
            raise DetectorError(
                f"Token {token} ({text!r}) was generated where the answer cannot go on with it.",
                hint="No other logits processor may force tokens beside this one.",
            )
        trace.state = after
        trace.length += 1

    def _mask(self, constraint: AnswerConstraint, trace: Trace, scores: torch.Tensor) -> Bools:
        free = self.table.mask(constraint, trace.state)
        left = self.max_new_tokens - len(trace.tokens)
        if left >= constraint.reserve + 2:
            return free
        closing = self.table.mask(constraint, trace.state, closing=True)
        wanted = _best(scores, free)
        if not closing[wanted]:
            after = constraint.follow(trace.state, self.table.texts[wanted])
            trace.cut |= after is not None and after.items > trace.state.items
        return closing


class TokenProbabilities:
    """Remembers the log probability of every generated token, under the scores as they come here.

    Put it last. Only one step of scores is kept. Rows must keep their places (no beams). Scores
    that are not numbers are a `DetectorError`: a constraint would make a whole answer of them.
    """

    def __init__(self) -> None:
        self._steps: list[torch.Tensor] = []
        self._last: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores, unchanged."""
        self._take(input_ids)
        self._last = torch.log_softmax(scores.float(), dim=-1)
        if bool(self._last.isnan().any()):
            raise DetectorError(
                "The model's scores are not numbers: whatever it answered would mean nothing.",
                hint="Load it in bfloat16 or float32; float16 overflows in some models.",
            )
        return scores

    def log_probabilities(self, sequences: torch.Tensor) -> npt.NDArray[np.float64]:
        """Shape ``(rows, generated tokens)``; ``sequences`` is what ``generate`` returned."""
        self._take(sequences)
        self._last = None
        rows = sequences.shape[0]
        if not self._steps:
            return np.zeros((rows, 0))
        return torch.stack(self._steps, dim=1).double().cpu().numpy()

    def _take(self, sequences: torch.Tensor) -> None:
        if self._last is not None:
            self._steps.append(self._last.gather(1, sequences[:, -1:]).squeeze(1))


def _best(scores: torch.Tensor, mask: Bools) -> int:
    ids = torch.from_numpy(np.flatnonzero(mask[: scores.shape[0]])).to(scores.device)
    return int(ids[scores[ids].argmax()])
