"""One round of questions to the model: prompts in batches in, raw answers out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from tsloop.chatts.generate.confidence import item_confidences, mean_confidence
from tsloop.chatts.generate.constraints import AnswerConstraint
from tsloop.chatts.generate.decoding import ConstrainedDecoding, TokenProbabilities
from tsloop.chatts.generate.protocols import SeriesProcessor, TextModel
from tsloop.chatts.generate.settings import GenerateSettings
from tsloop.chatts.generate.tokens import eos_ids, token_table
from tsloop.errors import DetectorError
from tsloop.labels import LabelSet

__all__ = ["Asker", "Question", "RawAnswer"]


@dataclass(frozen=True, slots=True)
class Question:
    """A whole prompt (chat text with one ``<ts><ts/>``) and the values that it shows."""

    text: str
    values: list[float]


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What the model wrote, without the tokens that end it.

    ``cut``: it wanted to write more than the token budget allowed. ``confidences``: one number per
    item in the order of rows (constrained), or one for the whole answer. ``error`` says why there
    is no answer; it is empty otherwise.
    """

    text: str
    cut: bool = False
    confidences: tuple[float, ...] = ()
    error: str = ""


class Asker:
    """A model with its processor and settings, ready to be asked."""

    def __init__(
        self,
        model: TextModel,
        processor: SeriesProcessor,
        label_set: LabelSet,
        settings: GenerateSettings,
    ) -> None:
        self.model, self.processor = model, processor
        self.label_set, self.settings = label_set, settings
        self.eos = eos_ids(processor.tokenizer, model)
        self.table = token_table(processor.tokenizer) if settings.constrained else None

    @property
    def max_prompt_tokens(self) -> int | None:
        """Most tokens in a prompt, patches included; ``None`` where nothing bounds them."""
        if self.settings.max_prompt_tokens:
            return self.settings.max_prompt_tokens
        positions = getattr(self.model.config, "max_position_embeddings", None)
        if positions is None:
            return None
        if positions <= self.settings.max_new_tokens:
            raise DetectorError(
                f"The model has {positions} positions, and generate.max_new_tokens is "
                f"{self.settings.max_new_tokens}: no room is left for a prompt.",
                hint="Lower generate.max_new_tokens.",
            )
        return int(positions) - self.settings.max_new_tokens

    def prompt_tokens(self, question: Question) -> int:
        """Tokens of a prompt as the model sees it."""
        return self.processor.token_count(question.text, [question.values])

    def ask(self, questions: Sequence[Question]) -> list[RawAnswer]:
        """An answer for each question, in order; batches are halved where memory runs out."""
        size = self.settings.batch_size
        answers: list[RawAnswer] = []
        with self._seeded():
            for first in range(0, len(questions), size):
                answers += self._batch(questions[first : first + size])
        return answers

    def _batch(self, questions: Sequence[Question]) -> list[RawAnswer]:
        try:
            return self._generate(questions)
        except torch.OutOfMemoryError as error:
            reason = str(error)
        if len(questions) == 1:
            return [RawAnswer("", error=f"Memory ran out: {reason:.200}")]
        middle = len(questions) // 2
        return self._batch(questions[:middle]) + self._batch(questions[middle:])

    def _generate(self, questions: Sequence[Question]) -> list[RawAnswer]:
        batch = self.processor(
            [question.text for question in questions],
            [[question.values] for question in questions],
            padding_side="left",
        )
        inputs = {name: tensor.to(self.model.device) for name, tensor in batch.items()}
        width = inputs["input_ids"].shape[1]
        probabilities = TokenProbabilities()
        constrained = self._constrained(questions, width)
        used = [probabilities] if constrained is None else [constrained, probabilities]
        sequences = self.model.generate(**inputs, **self._arguments(), logits_processor=used)
        logs = probabilities.log_probabilities(sequences).tolist()
        if constrained is None:
            rows = sequences[:, width:].tolist()
            return [self._free_answer(ids, log) for ids, log in zip(rows, logs, strict=True)]
        return _whole_answers(constrained, sequences, logs)

    def _constrained(self, questions: Sequence[Question], width: int) -> ConstrainedDecoding | None:
        if self.table is None:
            return None
        constraints = [
            AnswerConstraint.of(
                len(question.values),
                self.label_set,
                self.settings.max_intervals,
                self.settings.max_reason,
            )
            for question in questions
        ]
        budget = self.settings.max_new_tokens
        return ConstrainedDecoding(self.table, constraints, width, budget, self.eos)

    def _arguments(self) -> dict[str, Any]:
        """Everything that decides on the answer is said, whatever the checkpoint's defaults are."""
        pad = self.processor.tokenizer.pad_token_id
        chosen: dict[str, Any] = {
            "max_new_tokens": self.settings.max_new_tokens,
            "eos_token_id": list(self.eos),
            "pad_token_id": self.eos[0] if pad is None else pad,
            "num_beams": 1,
            "repetition_penalty": 1.0,
            "use_cache": True,
            "do_sample": self.settings.temperature > 0,
        }
        if self.settings.temperature > 0:
            chosen |= {"temperature": self.settings.temperature, "top_k": 0, "top_p": 1.0}
        return chosen

    def _free_answer(self, ids: list[int], logs: list[float]) -> RawAnswer:
        """An unconstrained answer: up to the first token that ends it."""
        length = next((i for i, token in enumerate(ids) if token in self.eos), len(ids))
        text = self.processor.tokenizer.decode(ids[:length], skip_special_tokens=True)
        cut = length == len(ids)
        return RawAnswer(text, cut=cut, confidences=(mean_confidence(logs[:length]),))

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Draws from the settings' seed; the caller's random state stays as it is."""
        if self.settings.temperature == 0:
            yield
            return
        device = torch.device(self.model.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.settings.seed)
            yield


def _whole_answers(
    decoding: ConstrainedDecoding, sequences: torch.Tensor, logs: Sequence[Sequence[float]]
) -> list[RawAnswer]:
    answers: list[RawAnswer] = []
    table = decoding.table
    traces = decoding.read(sequences)
    for trace, constraint, log in zip(traces, decoding.constraints, logs, strict=True):
        text = b"".join(table.texts[i] for i in trace.tokens[: trace.length])
        confidences = item_confidences(table, constraint, trace.tokens, log)
        answers.append(RawAnswer(text.decode(), trace.cut, tuple(confidences)))
    return answers
