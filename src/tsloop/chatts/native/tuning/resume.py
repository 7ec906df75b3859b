"""Checkpoints of a training: everything that the next step depends on, in one directory.

A checkpoint appears whole or not at all; the older one goes when the newer is there. Its hash of
config, data and first weights keeps one training from going on with another's state.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tsloop.chatts.config import FinetuneConfig
from tsloop.files import fresh_dir, read_json, write_json

__all__ = ["Checkpoints", "Progress", "State", "fingerprint"]

Tensors = dict[str, torch.Tensor]


@dataclass
class Progress:
    """Numbers of a training after ``step`` steps."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    start_valid: float | None = None
    """Validation loss before the first step."""
    best_valid: float | None = None
    """Lowest validation loss so far, with that of the start."""
    best_step: int = 0
    """Where it was; 0: nothing was better than the start."""
    waited: int = 0
    """Looks at the validation examples since then."""
    figures: dict[str, float] = field(default_factory=dict)
    """What was reported of the last step, or would have been but for a kill."""


@dataclass(frozen=True, eq=False)
class State:
    """Progress, and tensors by name; ``best`` is empty while the start is the best."""

    progress: Progress
    weights: Tensors
    optimizer: Tensors
    best: Tensors
    random: Tensors


_TENSORS = ("weights", "optimizer", "best", "random")


class Checkpoints:
    """The checkpoints in a directory that belong to one ``fingerprint``."""

    def __init__(self, directory: Path, fingerprint: str) -> None:
        self.directory, self.fingerprint = Path(directory), fingerprint

    def newest(self) -> State | None:
        """The newest one; those of another training are left where they are, with a warning."""
        foreign = []
        for place in sorted(self.directory.glob("step-*"), reverse=True):
            info = read_json(place / "state.json")
            if info["fingerprint"] == self.fingerprint:
                tensors = {name: load_file(place / f"{name}.safetensors") for name in _TENSORS}
                return State(Progress(**info["progress"]), **tensors)
            foreign.append(place.name)
        if foreign:
            logging.getLogger(__name__).warning(
                "%s holds the checkpoint %s of a training with another config, data or start: it "
                "is not used, and goes when the first of this training is written.",
                self.directory,
                foreign[0],
            )
        return None

    def save(self, state: State) -> None:
        """Write a checkpoint, then remove all others and what killed processes left."""
        place = self.directory / f"step-{state.progress.step:08d}"
        with fresh_dir(place) as temporary:
            for name in _TENSORS:
                save_file(getattr(state, name), temporary / f"{name}.safetensors")
            info: dict[str, Any] = {
                "fingerprint": self.fingerprint,
                "progress": dataclasses.asdict(state.progress),
            }
            write_json(temporary / "state.json", info)
        for other in (*self.directory.glob("step-*"), *self.directory.glob(".step-*")):
            if other != place:
                shutil.rmtree(other)


def fingerprint(config: FinetuneConfig, answer: str, seed: int, data: str, start: Tensors) -> str:
    """Hash of everything that two equal trainings have in common; ``data`` is its digest."""
    settings = {"config": dataclasses.asdict(config), "answer": answer, "seed": seed, "data": data}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in sorted(start):
        digest.update(name.encode())
        digest.update(start[name].flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
