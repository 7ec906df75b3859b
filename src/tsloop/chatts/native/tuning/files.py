"""A tuned model on disk: what tuning added to its base, never the base itself.

``adapter_model.safetensors`` and ``adapter_config.json``, which names the base and holds the hash
of both. Pickles, code, another base, another file and missing or foreign tensors are refused
before a tensor is used.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tsloop.chatts.adapter import Adapter, refuse_code
from tsloop.chatts.native.lora import LORA_TARGETS
from tsloop.chatts.native.tuning.identity import BaseIdentity
from tsloop.chatts.native.tuning.trainable import (
    LORA_METHODS,
    Record,
    live_tensors,
    record_of,
    wrap,
)
from tsloop.errors import ModelFileError
from tsloop.files import read_json, write_bytes_atomic, write_json
from tsloop.typed import from_mapping

__all__ = ["check_base", "load_tuned", "read_tuned", "save_tuned"]

SCHEMA = "tsloop.tuned/1"
_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"


def save_tuned(directory: Path, model: Any, base: BaseIdentity) -> None:
    """Write both files; the same tensors give the same bytes. ``model`` comes from `tune`."""
    record = record_of(model)
    tensors = {n: t.detach().cpu().contiguous() for n, t in live_tensors(model, record).items()}
    data = save_tensors({name: tensors[name] for name in sorted(tensors)})
    info: dict[str, Any] = {
        "schema": SCHEMA,
        **dataclasses.asdict(record),
        "quantization": _quantization(model),
        "score_head": model.config.score_head if record.head else None,
        "sha256": hashlib.sha256(data).hexdigest(),
        "base_model_name_or_path": base.id,
        "base_revision": base.revision,
        "base_sha256": base.sha256,
    }
    if record.method in LORA_METHODS:
        info |= {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": record.rank,
            "lora_alpha": record.alpha,
            "target_modules": LORA_TARGETS,
            "modules_to_save": _modules_to_save(record),
        }
    write_bytes_atomic(directory / _WEIGHTS, data)
    write_json(directory / _CONFIG, info)


def load_tuned(model: Any, directory: Path, base: BaseIdentity) -> Any:
    """The model with what `save_tuned` wrote, frozen and in evaluation mode.

    LoRA wraps the model, the other methods change it in place. A model without a score head gets
    one where it is needed. `ModelFileError` says why a directory is refused.
    """
    check_base(directory, base)
    adapter, record, info = _read(Path(directory))
    if (found := _quantization(model)) != info["quantization"]:
        raise ModelFileError(
            f"The adapter in {directory} was trained on a model of quantization "
            f"{info['quantization'] or 'none'}, this one has {found or 'none'}.",
            hint="Load the base with the same quantization.",
        )
    _prepare_head(model, info["score_head"], directory)
    wrapped = wrap(model, record)
    live = live_tensors(wrapped, record)
    _compare(live, adapter.tensors, directory)
    with torch.no_grad():
        for name, tensor in live.items():
            tensor.copy_(adapter.tensors[name])
    return wrapped.requires_grad_(False).eval()


def read_tuned(directory: Path) -> tuple[Adapter, Record]:
    """Tensors and record, checked but for the base (see `check_base`)."""
    adapter, record, _ = _read(Path(directory))
    return adapter, record


def check_base(directory: Path, base: BaseIdentity) -> None:
    """`ModelFileError` where the directory is not of this base."""
    info = _info(Path(directory))
    if info.get("base_sha256") != base.sha256:
        raise ModelFileError(
            f"The adapter in {directory} belongs to base {info.get('base_model_name_or_path')!r} "
            f"(sha256 {str(info.get('base_sha256'))[:12]}…), at hand is {base.id!r} "
            f"({base.sha256[:12]}…).",
            hint="Use the base that it was trained on, in the same files, or fit again from base.",
        )


def _info(directory: Path) -> dict[str, Any]:
    refuse_code(directory)
    info = read_json(directory / _CONFIG)
    if not isinstance(info, dict) or info.get("schema") != SCHEMA:
        raise ModelFileError(f"{directory}/{_CONFIG} is not of schema {SCHEMA!r}.")
    if "auto_map" in info or "auto_mapping" in info:
        raise ModelFileError(f"{directory}/{_CONFIG} names remote code: refused.")
    missing = {"quantization", "score_head", "sha256"} - set(info)
    if missing:
        raise ModelFileError(f"{directory}/{_CONFIG} lacks {sorted(missing)}.")
    return info


def _read(directory: Path) -> tuple[Adapter, Record, dict[str, Any]]:
    info = _info(directory)
    names = [field.name for field in dataclasses.fields(Record)]
    record = from_mapping(Record, {n: info[n] for n in names if n in info}, _CONFIG)
    path = directory / _WEIGHTS
    if not path.is_file():
        raise ModelFileError(f"Adapter directory {directory} has no {_WEIGHTS}.")
    data = path.read_bytes()
    if data[8:9] != b"{":
        raise ModelFileError(f"{path} is not a safetensors file: refused before loading.")
    if (digest := hashlib.sha256(data).hexdigest()) != info["sha256"]:
        raise ModelFileError(
            f"{path} has sha256 {digest[:12]}…, {_CONFIG} says {str(info['sha256'])[:12]}…: "
            "the file is damaged or not the one that belongs to it."
        )
    return Adapter(record.method, record.rank, record.alpha, load_tensors(data)), record, info


def _prepare_head(model: Any, head: dict[str, Any] | None, directory: Path) -> None:
    if head is None:
        return
    if model.score_head is None:
        model.add_score_head(
            head["labels"], width=head["width"], bidirectional=head["bidirectional"]
        )
    elif model.config.score_head != head:
        raise ModelFileError(
            f"The adapter in {directory} has a score head of {head}, the model one of "
            f"{model.config.score_head}."
        )


def _compare(
    live: dict[str, torch.Tensor], tensors: dict[str, torch.Tensor], directory: Path
) -> None:
    wrong = set(live) ^ set(tensors)
    wrong |= {n for n in set(live) & set(tensors) if live[n].shape != tensors[n].shape}
    if wrong:
        raise ModelFileError(
            f"The adapter in {directory} does not fit the model: {len(wrong)} tensors are missing, "
            f"unknown or of another shape (first: {min(wrong)})."
        )


def _modules_to_save(record: Record) -> list[str]:
    return ["ts_encoder"] * record.encoder + ["score_head"] * record.head


def _quantization(model: Any) -> str | None:
    if getattr(model, "is_loaded_in_4bit", False):
        return "nf4"
    return "int8" if getattr(model, "is_loaded_in_8bit", False) else None
