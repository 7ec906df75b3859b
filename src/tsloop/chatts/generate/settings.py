"""How a language model is asked."""

from __future__ import annotations

from dataclasses import dataclass

from tsloop.chatts.generate.windows import MIN_WINDOW
from tsloop.errors import ConfigError
from tsloop.grammar import LANGUAGES

__all__ = ["GenerateSettings"]

MAX_WINDOW = 1024


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """Prompts, windows and decoding; the windows should be those of training."""

    language: str = "zh"
    """Language of the prompts: zh or en."""
    window: int = 1024
    """Rows shown at once, 64 to 1024."""
    overlap: int = 128
    """Rows that neighbouring windows share."""
    max_new_tokens: int = 1024
    """Most tokens in one answer."""
    max_intervals: int = 32
    """Most intervals in one answer; a window with as many is asked about again in halves."""
    max_reason: int = 80
    """Most characters in the reason of one interval (constrained answers)."""
    max_prompt_tokens: int = 0
    """Most tokens in one prompt, patches included; 0: what the model's positions allow."""
    constrained: bool = True
    """Only answers that the grammar allows; no: whatever the model writes, read leniently."""
    temperature: float = 0.0
    """0: the likeliest token each time; above: tokens are drawn."""
    seed: int = 0
    """Seed of the draws, where temperature is above 0."""
    batch_size: int = 8
    """Windows asked about at once; fewer where memory runs out."""

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise ConfigError(
                f"generate.language is {self.language!r}; choose one of {list(LANGUAGES)}."
            )
        _check("window", self.window, MIN_WINDOW, MAX_WINDOW)
        _check("overlap", self.overlap, 0, self.window // 2)
        _check("max_new_tokens", self.max_new_tokens, 1, 10**6)
        _check("max_intervals", self.max_intervals, 1, 10**4)
        _check("max_reason", self.max_reason, 0, 10**4)
        _check("max_prompt_tokens", self.max_prompt_tokens, 0, 10**7)
        _check("temperature", self.temperature, 0.0, 10.0)
        _check("batch_size", self.batch_size, 1, 10**4)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"generate.{name} is {value}; it must lie between {low} and {high}.")
