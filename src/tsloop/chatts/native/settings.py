"""Settings of the detector that puts a native model into the loop. Pure: no torch here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.generate.settings import GenerateSettings
from tsloop.errors import ConfigError, ModelFileError
from tsloop.evaluation.thresholds import OBJECTIVES

__all__ = ["ANSWERS", "DEVICES", "DTYPES", "ChattsLlmConfig", "checkpoint_directory"]

ANSWERS = ("score", "generate")
QUANTIZATIONS = ("none", "int8", "nf4")
DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda")

_VARIABLE = re.compile(r"TSLOOP_[A-Z0-9_]+")


@dataclass(frozen=True)
class ChattsLlmConfig:
    """``conf/detector/chatts_8b.yaml`` and its kin."""

    checkpoint: str = ""
    """Directory of the checkpoint; empty: what the environment variable below names."""
    checkpoint_variable: str = "TSLOOP_CHATTS_8B"
    """Environment variable that names the directory, so that a saved model holds no path."""
    answer: str = "score"
    """``score``: one forward pass and a head; ``generate``: the model writes intervals as JSON."""
    learn: str = "answer"
    """``answer``: labels teach what ``answer`` needs; ``both``: half of each batch the other one,
    so that one adapter answers both ways."""
    quantization: str = "none"
    """``none``, ``int8`` or ``nf4`` (bitsandbytes)."""
    dtype: str = "auto"
    """``auto`` (bfloat16 on a GPU, float32 on a CPU), ``float32``, ``bfloat16`` or ``float16``."""
    device: str = "auto"
    """``auto`` (the GPU where there is one), ``cpu`` or ``cuda``."""
    labels: str = "tsloop"
    """The label set: ``tsloop`` (built in), or a JSON file."""
    bidirectional: bool = False
    """Score: the tokens of a series see each other in both directions."""
    batch_size: int = 8
    """Score: windows per forward pass."""
    generate: GenerateSettings = field(default_factory=GenerateSettings)
    """Prompt language, windows (of both answers) and decoding."""
    finetune: FinetuneConfig = field(default_factory=lambda: FinetuneConfig(steps=0))
    """How it learns from labels; by default only the thresholds are fitted."""
    objective: str = "balanced"
    """What the thresholds are fitted for (`tsloop.evaluation.thresholds.fit_decision`)."""
    refine_edges: bool = True
    """Move the edges of found intervals to where the values themselves deviate."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("answer", ANSWERS),
            ("learn", ("answer", "both")),
            ("quantization", QUANTIZATIONS),
            ("dtype", DTYPES),
            ("device", DEVICES),
            ("objective", OBJECTIVES),
        ):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"detector.{name} is {getattr(self, name)!r}; choose one of {list(choices)}."
                )
        if self.checkpoint_variable and not _VARIABLE.fullmatch(self.checkpoint_variable):
            raise ConfigError(
                f"detector.checkpoint_variable is {self.checkpoint_variable!r}; only names that "
                "begin with TSLOOP_ are read."
            )
        if self.batch_size < 1:
            raise ConfigError(f"detector.batch_size is {self.batch_size}; at least 1.")
        self._check_method()

    @property
    def taught(self) -> str:
        """What tuning teaches: ``score``, ``generate`` or ``both``."""
        return "both" if self.learn == "both" else self.answer

    def _check_method(self) -> None:
        method = self.finetune.method
        if self.finetune.steps == 0:  # nothing is tuned: every base can be asked
            return
        if method == "head" and self.taught != "score":
            raise ConfigError(
                "finetune.method 'head' trains the score head alone, and generate does not use it.",
                hint="Set answer=score, or tune with lora.",
            )
        fitting = {"none": ("lora", "full", "head"), "nf4": ("qlora", "head"), "int8": ("head",)}
        if method not in fitting[self.quantization]:
            raise ConfigError(
                f"finetune.method {method!r} does not go with quantization {self.quantization!r}, "
                f"which takes {' or '.join(fitting[self.quantization])}.",
                hint="Or set finetune.steps=0: then only the thresholds are fitted.",
            )


def checkpoint_directory(config: ChattsLlmConfig) -> Path:
    """The directory that the settings name; `ModelFileError` says how to get one."""
    name = config.checkpoint or os.environ.get(config.checkpoint_variable, "")
    if not name:
        raise ModelFileError(
            f"No checkpoint is named: detector.checkpoint is empty, and the environment variable "
            f"{config.checkpoint_variable or '(none)'} is not set.",
            hint=_HOW,
        )
    directory = Path(name).expanduser()
    if not (directory / "config.json").is_file():
        said = "detector.checkpoint" if config.checkpoint else config.checkpoint_variable
        raise ModelFileError(
            f"The checkpoint {str(directory)!r} ({said}) has no config.json.", hint=_HOW
        )
    return directory


_HOW = (
    "Download ChatTS-8B or ChatTS-14B and convert it once with `python -m "
    "tsloop.chatts.native.convert SRC DST`, or make a small one with `python -m "
    "tsloop.chatts.native.smollm2 DST`; then export the variable with DST. See docs/chatts.md."
)
