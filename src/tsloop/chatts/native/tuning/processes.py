"""Data-parallel training: several processes share each batch and add up their gradients.

Started by ``accelerate launch``; alone, nothing here does anything. Each process holds the whole
model and draws the same steps, takes its part of each, and makes the same update.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch

__all__ = ["Processes"]

T = TypeVar("T")


class Processes:
    """The processes of this training; one, unless ``WORLD_SIZE`` says more."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.count = 0, 1
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            state = PartialState(cpu=device.type == "cpu")
            self.rank, self.count = state.process_index, state.num_processes

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def mine(self, examples: Sequence[T]) -> Sequence[T]:
        """This process's part, of nearly equal size for all."""
        n = len(examples)
        return examples[self.rank * n // self.count : (self.rank + 1) * n // self.count]

    def total(self, number: float, device: torch.device) -> float:
        """The sum over all processes."""
        if self.count == 1:
            return number
        tensor = torch.tensor(number, dtype=torch.float64, device=device)
        _all_reduce(tensor)
        return float(tensor)

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Every gradient becomes the sum over all processes; a parameter that none has used keeps
        none, so that weight decay leaves it alone as it does in one process."""
        if self.count == 1:
            return
        parameters = list(parameters)
        used = torch.tensor([float(p.grad is not None) for p in parameters])
        used = used.to(parameters[0].device)
        _all_reduce(used)
        for parameter, times in zip(parameters, used.tolist(), strict=True):
            if times:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                _all_reduce(parameter.grad)

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            torch.distributed.barrier()


def _all_reduce(tensor: Any) -> None:
    torch.distributed.all_reduce(tensor)
