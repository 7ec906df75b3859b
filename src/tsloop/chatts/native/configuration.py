"""Model configs: a backbone's, and a section ``ts`` that describes the encoder.

The fields are those of the official ``config.json``; ``score_head`` is this project's own.
"""

from __future__ import annotations

import copy
from typing import Any

from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from tsloop.errors import ConfigError

__all__ = [
    "OFFICIAL",
    "LlamaTSConfig",
    "Qwen2TSConfig",
    "Qwen3TSConfig",
    "official_config",
]


class Qwen3TSConfig(Qwen3Config):  # type: ignore[misc]
    """ChatTS-8B."""

    model_type = "qwen3ts"
    ts: dict[str, Any] | None = None
    ts_token_start_index: int | None = None
    ts_token_end_index: int | None = None
    score_head: dict[str, Any] | None = None


class Qwen2TSConfig(Qwen2Config):  # type: ignore[misc]
    """ChatTS-14B, both eras."""

    model_type = "chatts"
    ts: dict[str, Any] | None = None
    ts_token_start_index: int | None = None
    ts_token_end_index: int | None = None
    score_head: dict[str, Any] | None = None


class LlamaTSConfig(LlamaConfig):  # type: ignore[misc]
    """Llama and what is built like it (SmolLM2); no official checkpoint."""

    model_type = "llamats"
    ts: dict[str, Any] | None = None
    ts_token_start_index: int | None = None
    ts_token_end_index: int | None = None
    score_head: dict[str, Any] | None = None


_QWEN: dict[str, Any] = {
    "attention_dropout": 0.0,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "ignore_index": -100,
    "initializer_range": 0.02,
    "pad_token_id": 151643,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.52.4",
    "use_cache": False,
    "use_sliding_window": False,
}
_14B: dict[str, Any] = _QWEN | {
    "architectures": ["Qwen2TSForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_qwen2.Qwen2TSConfig",
        "AutoModelForCausalLM": "modeling_qwen2.Qwen2TSForCausalLM",
        "AutoProcessor": "processing_qwen2_ts.Qwen2TSProcessor",
    },
    "bos_token_id": 151643,
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "max_position_embeddings": 32768,
    "max_window_layers": 70,
    "model_type": "chatts",
    "num_attention_heads": 40,
    "num_hidden_layers": 48,
    "num_key_value_heads": 8,
    "sliding_window": 131072,
    "ts_token_end_index": 151666,
    "ts_token_start_index": 151665,
    "vocab_size": 152064,
}
_TS: dict[str, Any] = {
    "embedding_dim": 16,
    "max_length": 32768,
    "num_features": 2,
    "num_layers": 5,
    "patch_size": 8,
    "use_position_embedding": True,
    "use_position_idx": False,
}

OFFICIAL: dict[str, dict[str, Any]] = {
    "paper": _14B
    | {
        "ts": {
            "hidden_size": 5120,
            "max_length": 2048,
            "num_features": 2,
            "num_layers": 5,
            "patch_size": 16,
        },
        "transformers_version": "4.46.2",
    },
    "0801": _14B | {"ts": _TS | {"hidden_size": 5120, "max_sequence_length": 32768}},
    "8b": _QWEN
    | {
        "architectures": ["Qwen3TSForCausalLM"],
        "attention_bias": False,
        "auto_map": {
            "AutoConfig": "configuration_qwen3_ts.Qwen3TSConfig",
            "AutoModelForCausalLM": "modeling_qwen3_ts.Qwen3TSForCausalLM",
            "AutoProcessor": "processing_qwen3_ts.Qwen3TSProcessor",
        },
        "head_dim": 128,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "max_position_embeddings": 40960,
        "max_window_layers": 36,
        "model_type": "qwen3ts",
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "ts": _TS | {"hidden_size": 4096, "max_sequence_length": 8192, "use_layer_norm": False},
        "ts_token_end_index": 151670,
        "ts_token_start_index": 151669,
        "vocab_size": 151936,
    },
}
"""``config.json`` of the released checkpoints, by era."""


def official_config(era: str) -> dict[str, Any]:
    """A copy of `OFFICIAL` that may be changed."""
    if era not in OFFICIAL:
        raise ConfigError(f"Era {era!r} is unknown; choose one of {list(OFFICIAL)}.")
    return copy.deepcopy(OFFICIAL[era])
