"""Adapters: what fine-tuning adds to a base, and how it is stored.

``lora``: PEFT LoRA on the seven projections of every transformer layer (an explicit pattern; never
"all linear"), encoder and head trained whole (``modules_to_save``). ``full`` and ``head`` store the
trained tensors themselves. On disk an adapter is ``adapter_model.safetensors`` and
``adapter_config.json``, which names the base and its sha256. Anything else (pickles, remote code,
another base, a missing or foreign tensor) is refused before a tensor is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from tsloop.chatts.bases import Base, load_model
from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.model import ChattsModel
from tsloop.errors import DetectorError, ModelFileError
from tsloop.files import read_json, write_bytes_atomic, write_json

__all__ = [
    "LORA_TARGETS",
    "Adapter",
    "Trainable",
    "as_start",
    "check_adapter_config",
    "check_trained",
    "load_adapter",
    "merged_model",
    "refuse_code",
    "save_adapter",
]

LORA_TARGETS = r"backbone\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
"""Full names of the adapted Linear layers (matched whole)."""

SAVED_MODULES = ("encoder", "head")
SCHEMA = "tsloop.adapter/1"
_CODE_SUFFIXES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".py", ".joblib"}

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Adapter:
    """Trained tensors with the settings that say how to apply them."""

    method: str
    rank: int
    alpha: float
    tensors: Tensors


class Trainable:
    """A base model made ready for training by one method, optionally starting from an adapter."""

    def __init__(self, base: Base, config: FinetuneConfig, start: Adapter | None = None) -> None:
        self.config = config
        self.base = base
        self.module: nn.Module = load_model(base)
        for parameter in self.module.parameters():
            parameter.requires_grad_(config.method == "full")
        if config.method == "lora":
            self.module = get_peft_model(self.module, _lora_config(config.rank, config.alpha))
        elif config.method == "head":
            for parameter in self.module.head.parameters():
                parameter.requires_grad_(True)
        if config.encoder_learning_rate == 0:
            for name, parameter in self.module.named_parameters():
                if "encoder." in name:
                    parameter.requires_grad_(False)
        if start is not None:
            _apply(self.module, config.method, as_start(start, config).tensors)

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups with their peak learning rate under ``peak``."""
        encoder: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad:
                (encoder if "encoder." in name else rest).append(parameter)
        groups: list[dict[str, Any]] = [{"params": rest, "peak": self.config.learning_rate}]
        if encoder:
            groups.append({"params": encoder, "peak": self.config.encoder_learning_rate})
        return groups

    def adapter(self) -> Adapter:
        """A copy of what has been trained so far."""
        if self.config.method == "lora":
            found = get_peft_model_state_dict(self.module)
        else:
            names = {n for n, p in self.module.named_parameters() if p.requires_grad}
            found = {n: t for n, t in self.module.state_dict().items() if n in names}
        tensors = {name: found[name].detach().clone().contiguous() for name in sorted(found)}
        return Adapter(self.config.method, self.config.rank, self.config.alpha, tensors)


def _lora_config(rank: int, alpha: float) -> LoraConfig:
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=LORA_TARGETS,
        modules_to_save=list(SAVED_MODULES),
        bias="none",
    )


def _apply(module: nn.Module, method: str, tensors: Tensors) -> None:
    """Copy an adapter's tensors into a prepared module; none may miss or be left over."""
    if method == "lora":
        expected = get_peft_model_state_dict(module)
    else:
        expected = module.state_dict()
        tensors = {**(expected if method == "head" else {}), **tensors}
    wrong = set(expected) ^ set(tensors)
    wrong |= {n for n in set(expected) & set(tensors) if expected[n].shape != tensors[n].shape}
    if wrong:
        raise ModelFileError(
            f"The adapter does not fit its base: {len(wrong)} tensors are missing, unknown or of "
            f"another shape (first: {min(wrong)})."
        )
    if method == "lora":
        set_peft_model_state_dict(module, tensors)
    else:
        module.load_state_dict(tensors, strict=True)


def merged_model(base: Base, adapter: Adapter | None) -> ChattsModel:
    """The plain model for scoring: the base with the adapter merged into its weights."""
    if adapter is None:
        return load_model(base)
    if adapter.method != "lora":
        model = load_model(base)
        _apply(model, adapter.method, adapter.tensors)
        return model.eval()
    wrapped = get_peft_model(load_model(base), _lora_config(adapter.rank, adapter.alpha))
    _apply(wrapped, "lora", adapter.tensors)
    merged: ChattsModel = wrapped.merge_and_unload()
    return merged.eval()


def as_start(parent: Adapter, config: FinetuneConfig) -> Adapter:
    """The parent's adapter in the shape that a fit needs to go on from it.

    Another rank or alpha gives the same update where the new rank is large enough, and its closest
    one of lower rank (singular values) where it is not. Added directions start without effect.
    Another method cannot go on: `DetectorError`.
    """
    if parent.method != config.method:
        raise DetectorError(
            f"The parent was tuned with {parent.method}, this fit asks for {config.method}.",
            hint=f"Set finetune={parent.method}, or start again from base.",
        )
    shape = (config.rank, config.alpha)
    if parent.method not in ("lora", "qlora") or (parent.rank, parent.alpha) == shape:
        return parent
    tensors = dict(parent.tensors)
    for name in [n for n in tensors if "lora_A" in n]:
        partner = name.replace("lora_A", "lora_B")
        tensors[name], tensors[partner] = _refactored(
            tensors[name], tensors[partner], parent.alpha / parent.rank, *shape
        )
    return Adapter(parent.method, *shape, tensors)


def _refactored(
    down: torch.Tensor, up: torch.Tensor, scale: float, rank: int, alpha: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """``down`` (r, in) and ``up`` (out, r) of ``scale * up @ down`` with another rank and scale."""
    # Of the product's factors, not of the product, which is as large as the layer.
    out_basis, out_part = torch.linalg.qr(up.double())
    in_basis, in_part = torch.linalg.qr(down.double().T)
    core = (scale * rank / alpha) * (out_part @ in_part.T)
    left, values, right = torch.linalg.svd(core, full_matrices=False)
    left, right = out_basis @ left, right @ in_basis.T
    kept = min(rank, len(values), down.shape[0])
    root = values[:kept].sqrt()
    new_down = torch.zeros(rank, down.shape[1], dtype=torch.float64)
    new_up = torch.zeros(up.shape[0], rank, dtype=torch.float64)
    new_down[:kept], new_up[:, :kept] = root[:, None] * right[:kept], left[:, :kept] * root
    if rank > kept:
        spread = down.shape[1] ** -0.5
        new_down[kept:] = spread * (2 * torch.rand(rank - kept, down.shape[1]).double() - 1)
    return new_down.to(down.dtype).contiguous(), new_up.to(up.dtype).contiguous()


def check_trained(adapter: Adapter, start: Adapter) -> None:
    """Raise where training changed nothing: no LoRA update, or tensors equal to the start."""
    if adapter.method in ("lora", "qlora"):
        updates = [t for name, t in adapter.tensors.items() if "lora_B" in name]
        if not updates or not any(bool(t.count_nonzero()) for t in updates):
            raise DetectorError(
                "Every LoRA update is zero after training: the adapter would change nothing.",
                hint="Check finetune.learning_rate and finetune.steps.",
            )
    if all(torch.equal(start.tensors[name], t) for name, t in adapter.tensors.items()):
        raise DetectorError(
            "The weights are the same after training as before.",
            hint="Check finetune.learning_rate and finetune.steps.",
        )


def save_adapter(directory: Path, adapter: Adapter, base: Base) -> None:
    """Write the two files into an existing directory; same adapter, same bytes."""
    write_bytes_atomic(directory / "adapter_model.safetensors", save_tensors(adapter.tensors))
    info: dict[str, Any] = {
        "schema": SCHEMA,
        "method": adapter.method,
        "rank": adapter.rank,
        "alpha": adapter.alpha,
        "base_model_name_or_path": base.id,
        "base_sha256": base.sha256,
    }
    if adapter.method == "lora":
        names = {n for n, _ in load_model(base).named_modules() if re.fullmatch(LORA_TARGETS, n)}
        info |= {
            "peft_type": "LORA",
            "r": adapter.rank,
            "lora_alpha": adapter.alpha,
            "target_modules": sorted(names),
            "modules_to_save": sorted(SAVED_MODULES),
        }
    write_json(directory / "adapter_config.json", info)


def load_adapter(directory: Path, base: Base) -> Adapter:
    """Read and check what `save_adapter` wrote; see the module text for what is refused."""
    refuse_code(directory)
    info = read_json(directory / "adapter_config.json")
    check_adapter_config(info, base, directory)
    path = directory / "adapter_model.safetensors"
    if not path.is_file():
        raise ModelFileError(f"Adapter directory {directory} has no adapter_model.safetensors.")
    data = path.read_bytes()
    if data[8:9] != b"{":
        raise ModelFileError(f"{path} is not a safetensors file: refused before loading.")
    return Adapter(info["method"], int(info["rank"]), float(info["alpha"]), load_tensors(data))


def refuse_code(directory: Path) -> None:
    """`ModelFileError` where an adapter's directory holds a pickle or code, or is not there."""
    if not directory.is_dir():
        raise ModelFileError(f"There is no adapter directory {directory}.")
    foreign = sorted(p.name for p in directory.iterdir() if p.suffix in _CODE_SUFFIXES)
    if foreign:
        raise ModelFileError(
            f"Adapter directory {directory} holds {foreign[0]}: pickles and code are not loaded.",
            hint="Adapters are safetensors files; convert it, or fit again.",
        )


def check_adapter_config(info: Mapping[str, Any], base: Base, directory: Path) -> None:
    """Refuse remote code, foreign formats and foreign bases."""
    if not isinstance(info, Mapping) or info.get("schema") != SCHEMA:
        raise ModelFileError(f"{directory}/adapter_config.json is not of schema {SCHEMA!r}.")
    if "auto_map" in info or "auto_mapping" in info:
        raise ModelFileError(f"{directory}/adapter_config.json names remote code: refused.")
    if info.get("base_sha256") != base.sha256:
        raise ModelFileError(
            f"The adapter in {directory} belongs to base {info.get('base_model_name_or_path')!r} "
            f"(sha256 {str(info.get('base_sha256'))[:12]}…), at hand is {base.id!r} "
            f"({base.sha256[:12]}…).",
            hint="Use the base that it was trained on, or fit again from base.",
        )
