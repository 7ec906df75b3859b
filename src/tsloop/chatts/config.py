"""Settings of the model and of its fine-tuning. Pure: no torch here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tsloop.errors import ConfigError, ModelFileError
from tsloop.evaluation.thresholds import OBJECTIVES

__all__ = ["METHODS", "PRECISIONS", "ChattsConfig", "FinetuneConfig", "ModelConfig"]

METHODS = ("lora", "qlora", "full", "head")
PRECISIONS = ("float32", "bfloat16")

_LEAST = {
    "rank": 1,
    "steps": 0,
    "batch_size": 1,
    "window": 8,
    "eval_every": 1,
    "accumulate": 1,
}


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the model; written beside the weights and checked against the tensors at load."""

    channels: list[str] = field(default_factory=list)
    """Input channels per sample, in order (`tsloop.chatts.channels.CHANNELS`)."""
    labels: list[str] = field(default_factory=list)
    """Label ids of the label head, in order."""
    label_set: str = "tsloop@1"
    patch: int = 8
    """Samples per token."""
    window: int = 1024
    """Longest stretch, in rows, that one forward pass sees; a multiple of ``patch``."""
    position_dim: int = 4
    """Width of the learned position embedding of each sample."""
    hidden: int = 128
    encoder_layers: int = 3
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    mlp: int = 256
    context: int = 32
    """Width of the patch context that the per-sample head sees beside the sample's channels."""
    point: int = 64
    """Hidden width of the per-sample head."""

    def __post_init__(self) -> None:
        if self.window % self.patch or self.hidden % self.heads or self.heads % self.kv_heads:
            raise ConfigError(
                f"Impossible model shape: window {self.window} / patch {self.patch}, hidden "
                f"{self.hidden} / heads {self.heads} / kv_heads {self.kv_heads} must divide."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``config.json``."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; an unknown key is an error."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ModelFileError(f"Unknown model config keys {unknown}; known are {sorted(known)}.")
        return cls(**data)


_SHARES = ("event_share", "synthetic_replay_share", "replay_share", "warmup", "augment")


@dataclass(frozen=True)
class FinetuneConfig:
    """How the model learns from labelled examples (``conf/finetune/*.yaml``)."""

    method: str = "lora"
    """``lora`` (adapters in the transformer; encoder and head trained), ``full`` or ``head``;
    ``qlora`` is ``lora`` on a native model that was loaded in 4 bits."""
    rank: int = 8
    """Rank of the LoRA matrices."""
    alpha: float = 16.0
    """LoRA scale: the update is multiplied by alpha / rank."""
    learning_rate: float = 8e-4
    """Peak learning rate of the adapters and the head."""
    encoder_learning_rate: float = 2e-4
    """Peak learning rate of the patch encoder; 0 freezes it."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    steps: int = 60
    """Optimiser steps of the final fit; each out-of-fold fit takes as many."""
    warmup: float = 0.1
    """Share of the steps with a rising learning rate; it falls as a cosine afterwards."""
    batch_size: int = 24
    """Windows per step."""
    window: int = 512
    """Rows per training window (at most the model's window; a multiple of its patch)."""
    event_share: float = 0.4
    """Share of the labelled windows that are drawn around an event."""
    synthetic_replay_share: float = 0.33
    """Share of each batch that is synthetic, so that the base's knowledge is kept."""
    synthetic_series: int = 24
    """How many synthetic series the replay draws from."""
    replay_share: float = 0.4
    """Share of the labelled windows drawn from examples that an earlier iteration learned from."""
    jitter: float = 0.05
    """Standard deviation of the noise added to the input channels."""
    dice: float = 0.15
    """Weight of the Dice loss beside the event-balanced cross-entropy."""
    label_weight: float = 0.2
    """Weight of the label cross-entropy."""
    gradient_clip: float = 1.0
    """Largest gradient norm."""
    eval_every: int = 10
    """Steps between two looks at the validation examples (where there are any)."""
    patience: int = 8
    """Looks without improvement after which training stops; the best weights are kept."""
    folds: int = 3
    """Out-of-fold fits (by group) that choose the blend and the thresholds; below 2: none."""
    threads: int = 1
    """Threads of the fit; more than one is slower on a busy small machine."""
    gradient_checkpointing: bool = False
    """Native model: compute activations twice instead of keeping them; slower, much less memory."""
    precision: str = "float32"
    """Native model: ``float32``, or ``bfloat16`` for the matrix products (autocast)."""
    accumulate: int = 1
    """Native model: parts that a batch is computed in; more parts need less memory."""
    augment: float = 0.0
    """Native model: share of the windows that are mirrored, reversed, scaled or shifted, as far as
    their labels allow it."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"finetune.method is {self.method!r}; choose one of {list(METHODS)}.")
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"finetune.precision is {self.precision!r}; choose one of {list(PRECISIONS)}."
            )
        for name, low in _LEAST.items():
            if getattr(self, name) < low:
                raise ConfigError(f"finetune.{name} is {getattr(self, name)}; at least {low}.")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"finetune.{name} is {getattr(self, name)}; it is a share, 0..1.")
        if self.accumulate > self.batch_size:
            raise ConfigError(
                f"finetune.accumulate is {self.accumulate}: a batch of {self.batch_size} has not "
                "so many parts."
            )


@dataclass(frozen=True)
class ChattsConfig:
    """Settings of the detector (``conf/detector/chatts_nano.yaml``)."""

    base: str = "embedded"
    """``embedded``, or a directory written by ``python -m tsloop.chatts.pretrain``."""
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    """How it learns from labels."""
    neighbours: float = 0.7
    """Weight of the nearest-neighbour evidence without labels, in [0, 1]."""
    spread: int = 17
    """Rows over which the network's verdict is spread without labels; 1: not at all."""
    tuned_neighbours: float = 0.45
    """The weight that labelled series have to outdo: a tuned network is trusted more."""
    tuned_spread: int = 9
    """The spread that labelled series have to outdo."""
    neighbour_choices: list[float] = field(default_factory=lambda: [0.15, 0.3, 0.45, 0.6, 0.75])
    """Weights that the labelled series may choose from."""
    spread_choices: list[int] = field(default_factory=lambda: [1, 9, 17, 33])
    """Spreads that the labelled series may choose from."""
    early_stopping: bool = False
    """Keep the validation examples out of the training and the weights that are best on them;
    otherwise they train too, and the folds alone judge."""
    objective: str = "balanced"
    """What the thresholds are fitted for (`tsloop.evaluation.thresholds.fit_decision`)."""

    refine_edges: bool = True
    """Move the edges of found intervals to where the values themselves deviate."""
    rejected_above: float = 0.6
    """Where the untuned model scores higher than this and the annotator saw nothing, the stretch
    counts in training like an event: labels teach what is normal. 1: no such stretches."""

    def __post_init__(self) -> None:
        _check_embedded(self.finetune)
        if self.objective not in OBJECTIVES:
            raise ConfigError(
                f"chatts.objective is {self.objective!r}; choose one of {list(OBJECTIVES)}."
            )
        if self.finetune.steps < 1:  # a language model may only fit its thresholds; this one not
            raise ConfigError(f"finetune.steps is {self.finetune.steps}; at least 1.")
        for value in (self.neighbours, self.tuned_neighbours, *self.neighbour_choices):
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"detector.neighbours {value} is not a weight in [0, 1].")
        for rows in (self.spread, self.tuned_spread, *self.spread_choices):
            if rows < 1:
                raise ConfigError(f"detector.spread {rows} is not a number of rows; at least 1.")


def _check_embedded(config: FinetuneConfig) -> None:
    """What only the native model can do is refused for the embedded one, never ignored."""
    plain = FinetuneConfig()
    if config.method == "qlora":
        raise ConfigError(
            "finetune.method is 'qlora', but the embedded base is not loaded in 4 bits.",
            hint="Set finetune=lora, or take a detector with a native checkpoint.",
        )
    for name in ("gradient_checkpointing", "precision", "accumulate", "augment"):
        if (value := getattr(config, name)) != getattr(plain, name):
            raise ConfigError(
                f"finetune.{name} is {value!r}, which the embedded base does not know.",
                hint=f"Set finetune.{name}={str(getattr(plain, name)).lower()}.",
            )
