"""LoRA on the language model, the encoder trained whole beside it.

The seven projections are named by an explicit pattern: "all linear layers" would adapt the encoder
too, and bare names such as "0" would hit the decoder layers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tsloop.errors import ConfigError, ModelFileError
from tsloop.files import read_json

__all__ = ["LORA_TARGETS", "add_lora", "load_lora", "lora_config"]

LORA_TARGETS = r"model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
"""Full names of the adapted layers (matched whole)."""


def lora_config(
    rank: int = 8,
    alpha: float = 16.0,
    *,
    dropout: float = 0.0,
    train_encoder: bool = True,
    score_head: bool = False,
) -> Any:
    """A ``peft.LoraConfig`` for `get_peft_model`.

    ``train_encoder`` and ``score_head`` train these modules whole and store them in the adapter.
    """
    if rank < 1:
        raise ConfigError(f"The rank of LoRA is {rank}; at least 1.")
    from peft import LoraConfig

    saved = ["ts_encoder"] * train_encoder + ["score_head"] * score_head
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=saved or None,
        bias="none",
        task_type="CAUSAL_LM",
    )


def add_lora(model: Any, config: Any) -> Any:
    """The model with fresh LoRA layers and all else frozen (``peft.get_peft_model``)."""
    from peft import get_peft_model

    with _quiet():
        return get_peft_model(model, config)


def load_lora(model: Any, directory: Path, *, trainable: bool = False) -> Any:
    """The model with the adapter in ``directory``; pickles and remote code are refused.

    An adapter that lacks a tensor, or has one that the model does not know, is an error.
    ``trainable`` leaves it open for more training; else it is frozen and in evaluation mode.
    """
    from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    directory = Path(directory)
    file = directory / "adapter_model.safetensors"
    if not file.is_file():
        raise ModelFileError(
            f"{directory} has no adapter_model.safetensors.", hint="Pickles are not loaded."
        )
    info = read_json(directory / "adapter_config.json")
    if not isinstance(info, dict) or info.get("auto_mapping") or "auto_map" in info:
        raise ModelFileError(f"{directory}/adapter_config.json names remote code: refused.")
    config = LoraConfig.from_pretrained(str(directory))
    config.inference_mode = not trainable
    wrapped = add_lora(model, config)
    expected, tensors = get_peft_model_state_dict(wrapped), load_file(file)
    wrong = set(expected) ^ set(tensors)
    wrong |= {n for n in set(expected) & set(tensors) if expected[n].shape != tensors[n].shape}
    if wrong:
        raise ModelFileError(
            f"The adapter in {directory} does not fit the model: {len(wrong)} tensors are missing, "
            f"unknown or of another shape ({', '.join(sorted(wrong)[:5])})."
        )
    set_peft_model_state_dict(wrapped, tensors)
    return wrapped if trainable else wrapped.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the deprecation that PEFT 0.21 causes on transformers 5.23."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        yield
