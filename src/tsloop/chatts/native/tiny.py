"""Tiny random checkpoints under the official file and key names, for tests and benchmarks.

Everything is made from code: weights by a seed, a byte-level tokenizer without merges (so every
digit is a token). The tables of positions keep their official lengths, by which eras are told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tsloop.chatts.native.configuration import official_config
from tsloop.chatts.native.modeling import MODEL_CLASSES
from tsloop.errors import ConfigError
from tsloop.files import write_json

__all__ = ["SPECIAL_TOKENS", "TINY", "tiny_config", "tiny_model", "tiny_tokenizer", "write_tiny"]

TINY = ("paper", "0801", "8b", "llama")
"""What can be written: the three eras, and an encoder of the 8b era on a Llama with tied
embeddings whose pad token is its end token."""

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<ts>", "<ts/>")
_BYTES = 256
_ROWS = 272
"""Rows of the embedding: more than the tokenizer needs, as in Qwen."""


def tiny_tokenizer(*, series_tokens: bool = True, pad_is_eos: bool = False) -> Any:
    """A byte-level tokenizer: one id per byte, then the special tokens."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    names = SPECIAL_TOKENS if series_tokens else SPECIAL_TOKENS[:3]
    core.add_special_tokens(list(names))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>" if pad_is_eos else "<|endoftext|>",
        extra_special_tokens=[n for n in names if n not in ("<|im_end|>", "<|endoftext|>")],
        clean_up_tokenization_spaces=False,
        model_max_length=32768,
    )


def tiny_config(kind: str, *, hidden: int = 32, layers: int = 2) -> dict[str, Any]:
    """``config.json`` in the official layout, with small sizes and the tiny tokenizer's ids."""
    if kind not in TINY:
        raise ConfigError(f"Tiny checkpoint {kind!r} is unknown; choose one of {list(TINY)}.")
    config = official_config("8b" if kind == "llama" else kind)
    ids = {token: _BYTES + place for place, token in enumerate(SPECIAL_TOKENS)}
    config |= {
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "max_window_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": _ROWS,
        "initializer_range": 0.2,
        "torch_dtype": "float32",
        "pad_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "ts_token_start_index": ids["<ts>"],
        "ts_token_end_index": ids["<ts/>"],
    }
    config["ts"]["hidden_size"] = hidden
    if "head_dim" in config:
        config["head_dim"] = hidden // 4
    if "bos_token_id" in config:
        config["bos_token_id"] = ids["<|endoftext|>"]
    return _as_llama(config) if kind == "llama" else config


def _as_llama(config: dict[str, Any]) -> dict[str, Any]:
    for key in ("auto_map", "max_window_layers", "use_sliding_window"):
        del config[key]
    return config | {
        "architectures": ["LlamaTSForCausalLM"],
        "model_type": "llamats",
        "tie_word_embeddings": True,
        "pad_token_id": config["eos_token_id"],
    }


def tiny_model(
    kind: str, *, hidden: int = 32, layers: int = 2, seed: int = 0, labels: tuple[str, ...] = ()
) -> Any:
    """The model itself, seeded; ``labels`` gives it a score head. Global randomness is kept."""
    config = {**tiny_config(kind, hidden=hidden, layers=layers), "use_cache": True}
    config.pop("auto_map", None)
    model_class = MODEL_CLASSES[config["model_type"]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(model_class.config_class.from_dict(config))
        if labels:
            model.add_score_head(labels, width=16)
    return model.eval()


def write_tiny(
    directory: Path,
    kind: str = "8b",
    *,
    file_format: str = "safetensors",
    shards: int = 1,
    hidden: int = 32,
    layers: int = 2,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a checkpoint directory and return it.

    ``file_format`` is ``safetensors`` or ``bin`` (the official one); with more than one shard there
    is an index file. Tied weights are written once.
    """
    if file_format not in ("safetensors", "bin"):
        raise ConfigError(f"File format {file_format!r} is unknown; safetensors or bin.")
    directory.mkdir(parents=True, exist_ok=True)
    config = tiny_config(kind, hidden=hidden, layers=layers)
    model = tiny_model(kind, hidden=hidden, layers=layers, seed=seed)
    tied = set(model.all_tied_weights_keys)
    tensors = {k: v.to(dtype).contiguous() for k, v in model.state_dict().items() if k not in tied}
    config["torch_dtype"] = str(dtype).removeprefix("torch.")
    write_json(directory / "config.json", config)
    write_json(
        directory / "generation_config.json",
        {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95}
        | {key: config[key] for key in ("eos_token_id", "pad_token_id")},
    )
    tiny_tokenizer(pad_is_eos=kind == "llama").save_pretrained(str(directory))
    _write_shards(directory, tensors, file_format, shards)
    return directory


def _write_shards(
    directory: Path, tensors: dict[str, torch.Tensor], file_format: str, shards: int
) -> None:
    stem = "model" if file_format == "safetensors" else "pytorch_model"
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        part = {name: tensors[name] for name in names[shard::shards]}
        place = f"-{shard + 1:05d}-of-{shards:05d}" if shards > 1 else ""
        file = f"{stem}{place}.{file_format}"
        if file_format == "bin":
            torch.save(part, directory / file)
        else:
            save_file(part, directory / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    if shards > 1:
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        write_json(directory / f"{stem}.{file_format}.index.json", index)
