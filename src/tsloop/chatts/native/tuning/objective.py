"""The loss of a step, computed in parts, by one process or several."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any, TypeVar

import torch

from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.native.tuning.batches import answer_loss, score_loss
from tsloop.chatts.native.tuning.data import PromptOf
from tsloop.chatts.native.tuning.draws import Step
from tsloop.chatts.native.tuning.processes import Processes

__all__ = ["Objective"]

T = TypeVar("T")


class Objective:
    """Mean loss of a step's windows plus mean loss of its answer tokens."""

    def __init__(
        self,
        model: Any,
        processor: Any,
        prompt_of: PromptOf,
        config: FinetuneConfig,
        processes: Processes,
        device: torch.device,
    ) -> None:
        self.model, self.processor, self.prompt_of = model, processor, prompt_of
        self.config, self.processes, self.device = config, processes, device

    def loss(self, step: Step, *, backward: bool = False) -> float:
        """The loss of all processes together; ``backward`` adds this one's gradients."""
        total = 0.0
        for windows in self._parts(step.windows):
            with self._precision():
                part = score_loss(
                    self.model, self.processor, windows, self.prompt_of, self.config, self.device
                )
            total += _learned(part / len(step.windows), backward)
        for texts in self._parts(step.texts):
            with self._precision():
                part = answer_loss(self.model, texts, self._pad_token_id, self.device)
            total += _learned(part / step.learned_tokens, backward)
        return self.processes.total(total, self.device)

    def _parts(self, examples: Sequence[T]) -> list[Sequence[T]]:
        mine = self.processes.mine(examples)
        per_process = ceil(self.config.batch_size / self.processes.count)
        size = ceil(per_process / self.config.accumulate)
        return [mine[i : i + size] for i in range(0, len(mine), size)]

    def _precision(self) -> torch.autocast:
        half = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)

    @property
    def _pad_token_id(self) -> int:
        return int(self.processor.tokenizer.pad_token_id or 0)


def _learned(loss: torch.Tensor, backward: bool) -> float:
    if backward:
        loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()
