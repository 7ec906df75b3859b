"""What this room needs of a model and of its processor; `tsloop.chatts.native` has both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

__all__ = ["SeriesProcessor", "TextModel"]


class SeriesProcessor(Protocol):
    """Turns prompts with ``<ts><ts/>`` and their series into tensors."""

    tokenizer: Any
    """A fast tokenizer of Hugging Face."""

    def chat(self, user: str) -> str:
        """The text of a conversation in which the model is to answer ``user``."""
        ...

    def token_count(self, text: str, series: Sequence[Any]) -> int:
        """Tokens that the model sees for one text with its series."""
        ...

    def __call__(
        self, text: Sequence[str], timeseries: Sequence[Any], *, padding_side: str
    ) -> Mapping[str, torch.Tensor]:
        """``input_ids``, ``attention_mask`` (rows, tokens), ``timeseries`` (rows, series,
        samples) and ``ts_lengths`` (rows, series)."""
        ...


class TextModel(Protocol):
    """A causal language model of Hugging Face that takes what the processor makes."""

    config: Any

    @property
    def device(self) -> Any:
        """Where its weights are."""
        ...

    def generate(self, **kwargs: Any) -> Any:
        """Token ids of prompts and answers, (rows, tokens)."""
        ...
