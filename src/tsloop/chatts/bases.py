"""Base checkpoints: ``config.json`` + ``model.safetensors``, verified by hash before use.

The embedded base lies in this package (``base/``): a small model that was trained on synthetic
series only (``python -m tsloop.chatts.pretrain``; its recipe is in its config).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tsloop.chatts.channels import CHANNELS
from tsloop.chatts.config import ModelConfig
from tsloop.chatts.model import ChattsModel
from tsloop.errors import ModelFileError
from tsloop.files import read_json, write_bytes_atomic, write_json

__all__ = ["EMBEDDED", "Base", "load_base", "load_model", "save_base"]

EMBEDDED = "embedded"
SCHEMA = "tsloop.chatts/1"


@dataclass(frozen=True, eq=False)
class Base:
    """A verified base: ``id`` and ``sha256`` (of the weight file) are what adapters record."""

    id: str
    sha256: str
    config: ModelConfig
    tensors: dict[str, torch.Tensor]
    recipe: dict[str, Any]


_loaded: dict[str, Base] = {}


def load_base(where: str = EMBEDDED) -> Base:
    """Read and verify a base: ``embedded`` or a directory; each is read once per process."""
    if where == EMBEDDED:
        if EMBEDDED not in _loaded:
            with resources.as_file(resources.files("tsloop.chatts") / "base") as directory:
                _loaded[EMBEDDED] = _read(directory, EMBEDDED)
        return _loaded[EMBEDDED]
    return _read(Path(where), where)


def _read(directory: Path, name: str) -> Base:
    config_file, weight_file = directory / "config.json", directory / "model.safetensors"
    if not config_file.is_file() or not weight_file.is_file():
        raise ModelFileError(
            f"Base model {name!r} is not at hand: {directory} has no config.json and "
            "model.safetensors.",
            hint="Set the detector's base to 'embedded' or to a directory that pretrain wrote.",
        )
    info = read_json(config_file)
    if not isinstance(info, dict) or info.get("schema") != SCHEMA:
        raise ModelFileError(f"{config_file} is not a base of tsloop (schema {SCHEMA!r}).")
    if "auto_map" in info or "auto_map" in info.get("model", {}):
        raise ModelFileError(f"{config_file} names remote code (auto_map): refused.")
    data = weight_file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != info["sha256"]:
        raise ModelFileError(
            f"{weight_file} has sha256 {digest[:12]}…, its config says {info['sha256'][:12]}…: "
            "the file is damaged or not the one that belongs to it."
        )
    config = ModelConfig.from_dict(info["model"])
    if tuple(config.channels) != CHANNELS:
        raise ModelFileError(
            f"Base model {name!r} was trained on other input channels than this version makes.",
            hint="Pre-train it again with: python -m tsloop.chatts.pretrain --output DIR",
        )
    return Base(info["id"], digest, config, load_tensors(data), info.get("recipe", {}))


def load_model(base: Base) -> ChattsModel:
    """A model with the base's weights, in evaluation mode; no tensor may miss or be left over."""
    model = ChattsModel(base.config)
    try:
        model.load_state_dict(base.tensors, strict=True)
    except RuntimeError as error:
        raise ModelFileError(f"Base model {base.id!r} does not fit its config: {error}") from error
    return model.eval()


def save_base(directory: Path, base_id: str, model: ChattsModel, recipe: dict[str, Any]) -> str:
    """Write ``model.safetensors`` and ``config.json``; returns the sha256 of the weights."""
    tensors = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    data = save_tensors(tensors)
    digest = hashlib.sha256(data).hexdigest()
    write_bytes_atomic(directory / "model.safetensors", data)
    info = {
        "schema": SCHEMA,
        "id": base_id,
        "sha256": digest,
        "model": model.shape.to_dict(),
        "recipe": recipe,
    }
    write_json(directory / "config.json", info)
    return digest
