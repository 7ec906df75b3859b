"""How much memory a fine-tuning takes, before anything is loaded.

    python -m tsloop.chatts.native.estimate CHECKPOINT_OR_ERA --method qlora --rank 16 --rows 1024

Weights and optimiser are counted; activations follow from what each layer keeps for its backward
pass. The peaks of an 8B that were measured on a GPU (``docs/results/native_lora.json``) are met
within 5 %. What the driver and other libraries take is not in it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

from tsloop.chatts.config import METHODS, PRECISIONS
from tsloop.errors import ConfigError
from tsloop.files import read_json

__all__ = ["Estimate", "describe", "estimate", "main"]

GIB = 2**30
_TEXT = 128
"""Tokens of question and answer that the command assumes."""
_HEAD_WIDTH, _LABELS = 256, 16
"""Of a score head where the config has none."""


@dataclass(frozen=True)
class Estimate:
    """GiB at the peak of a training step; ``trainable`` parameters; operations of one step."""

    weights_gib: float
    trainable: int
    optimizer_gib: float
    activations_gib: float
    """Activations of one batch with the logits, or two times the gradients where that is more."""
    total_gib: float
    step_flops: float


@dataclass(frozen=True)
class _Sizes:
    """Numbers of the config that the formulas need."""

    hidden: int
    inner: int
    queries: int
    keys: int
    layers: int
    vocabulary: int
    patch: int
    normed_heads: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> _Sizes:
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        return cls(
            config["hidden_size"],
            config["intermediate_size"],
            heads * width,
            config.get("num_key_value_heads", heads) * width,
            config["num_hidden_layers"],
            config["vocab_size"],
            config["ts"]["patch_size"],
            config["model_type"] == "qwen3ts",
        )


@dataclass(frozen=True)
class _Counts:
    """Parameters by part."""

    projections: int
    lora: int
    encoder: int
    head: int
    embeddings: int
    rest: int

    @property
    def language(self) -> int:
        """The language model's own."""
        return self.projections + self.embeddings + self.rest


def estimate(
    config_json: Mapping[str, Any],
    method: str,
    rank: int,
    rows: int,
    batch: int,
    tokens: int,
    precision: str,
    checkpointing: bool,
    *,
    learned: int | None = None,
) -> Estimate:
    """Memory and work of a step of ``batch`` windows of ``rows`` samples and ``tokens`` of text.

    ``config_json`` has a section ``ts``. ``batch`` is what is computed at once (batch size over
    ``accumulate``). ``precision`` is ``float32``, or ``bfloat16`` for a model that is loaded in it
    (``full``: in float32) and trained under autocast. ``learned`` is the number of positions per
    window that logits are made of; None: all, as
    without `tune`; 0: the score head alone.
    """
    _check(method, precision, {"rank": rank, "rows": rows, "batch": batch})
    sizes, counts = _Sizes.of(config_json), _count(config_json, rank)
    half = precision == "bfloat16"
    patches = ceil(rows / sizes.patch)
    length = patches + tokens
    positions = 0 if method == "head" else batch * (length if learned is None else learned)
    trainable = _trainable(counts, method)
    weights = _weight_bytes(counts, method, half)
    optimizer = 8 * trainable
    activations = batch * length * _token_bytes(sizes, method, half, checkpointing)
    activations += 40 * batch * patches * sizes.hidden  # the encoder: five layers, their GELUs
    activations += _logit_bytes(sizes, positions, method, half)
    if method == "full" and half:
        activations += 2 * counts.language  # autocast keeps a copy of every weight
    activations = max(activations, 2 * 4 * trainable)
    return Estimate(
        weights / GIB,
        trainable,
        optimizer / GIB,
        activations / GIB,
        (weights + optimizer + activations) / GIB,
        _flops(sizes, counts, method, batch, length, checkpointing),
    )


def describe(name: str, method: str, rank: int, rows: int, found: Estimate) -> str:
    """``ChatTS-8B QLoRA r=16, 1024 points: about 13.3 GiB``."""
    how = {"lora": f"LoRA r={rank}", "qlora": f"QLoRA r={rank}"}.get(method, method)
    return f"{name} {how}, {rows} points: about {found.total_gib:.1f} GiB"


def _check(method: str, precision: str, sizes: Mapping[str, int]) -> None:
    if method not in METHODS:
        raise ConfigError(f"method is {method!r}; choose one of {list(METHODS)}.")
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; choose one of {list(PRECISIONS)}.")
    for name, value in sizes.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}; at least 1.")


def _count(config_json: Mapping[str, Any], rank: int) -> _Counts:
    """Counted on the model itself, without weights."""
    import torch

    from tsloop.chatts.native.heads import ScoreHead
    from tsloop.chatts.native.lora import LORA_TARGETS
    from tsloop.chatts.native.modeling import MODEL_CLASSES

    model_class = MODEL_CLASSES[config_json["model_type"]]
    settings = {k: v for k, v in config_json.items() if k not in ("auto_map", "score_head")}
    with torch.device("meta"):
        model = model_class(model_class.config_class.from_dict(settings))
        given = config_json.get("score_head") or {"labels": range(_LABELS), "width": _HEAD_WIDTH}
        head = ScoreHead(
            settings["hidden_size"],
            settings["ts"]["patch_size"],
            len(given["labels"]),
            given["width"],
        )
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    projections = {
        n: s for n, s in shapes.items() if re.fullmatch(LORA_TARGETS, n.removesuffix(".weight"))
    }
    encoder = sum(prod(s) for n, s in shapes.items() if n.startswith("ts_encoder."))
    embeddings = sum(prod(s) for n, s in shapes.items() if "embed_tokens" in n or "lm_head" in n)
    own = sum(prod(s) for s in projections.values())
    return _Counts(
        own,
        rank * sum(sum(s) for s in projections.values()),
        encoder,
        sum(p.numel() for p in head.parameters()),
        embeddings,
        sum(map(prod, shapes.values())) - own - encoder - embeddings,
    )


def _trainable(counts: _Counts, method: str) -> int:
    if method == "head":
        return counts.head
    if method == "full":
        return counts.language + counts.encoder + counts.head
    return counts.lora + counts.encoder + counts.head


def _weight_bytes(counts: _Counts, method: str, half: bool) -> float:
    """Of the weights as they lie in memory; LoRA trains a copy of encoder and head."""
    own = 4 * (counts.encoder + counts.head)
    width = 2 if half and method != "full" else 4
    if method == "qlora":  # half a byte and a float32 per 64 weights; the rest is float32
        language = counts.projections * (0.5 + 4 / 64) + 4 * (counts.embeddings + counts.rest)
    else:
        language = width * float(counts.language)
    if method in ("lora", "qlora"):
        return language + 2 * own + 4 * counts.lora
    return language + own


def _token_bytes(sizes: _Sizes, method: str, half: bool, checkpointing: bool) -> int:
    """What all layers keep of one token for their backward pass.

    ``stream``: width of the residual stream and of what frozen layers return; ``product``: width
    of what matrix products and attention keep. With checkpointing it is the residual stream, and
    one layer that is computed again.
    """
    if method == "head":
        return 0
    stream = 2 if half and method == "lora" else 4
    product = 2 if half else 4
    norms = 2 * 4 * sizes.hidden
    if sizes.normed_heads:
        norms += 4 * (sizes.queries + sizes.keys)
    inputs = sizes.queries + sizes.inner + (5 if method != "full" else 2) * sizes.hidden
    attention = product * (2 * sizes.queries + 2 * sizes.keys)
    gated = 3 * stream * sizes.inner
    layer = norms + product * inputs + attention + gated
    if checkpointing:
        return layer + sizes.layers * sizes.hidden * stream
    return sizes.layers * layer


def _logit_bytes(sizes: _Sizes, positions: int, method: str, half: bool) -> int:
    """Logits, in float32 and before; their softmax, and its gradient. A float32 output layer is
    copied by autocast."""
    if not positions:
        return 0
    copied = 2 * sizes.vocabulary * sizes.hidden if half and method != "lora" else 0
    return positions * sizes.vocabulary * (3 * 4 + (2 if half else 0)) + copied


def _flops(
    sizes: _Sizes, counts: _Counts, method: str, batch: int, length: int, checkpointing: bool
) -> float:
    """Two operations per weight and token forward; backward as much again for what activations
    need, and again for the weights that are trained."""
    weights = counts.projections + sizes.vocabulary * sizes.hidden
    forward = 2.0 * batch * length * weights
    forward += 2.0 * batch * sizes.layers * 2 * length * length * sizes.queries
    passes = {"head": 1, "full": 3}.get(method, 2) + int(checkpointing and method != "head")
    return passes * forward


def _config_of(where: str) -> tuple[str, Mapping[str, Any]]:
    """Name and config of an era or a checkpoint directory."""
    from tsloop.chatts.native.configuration import OFFICIAL, official_config

    if where in OFFICIAL:
        names = {"8b": "ChatTS-8B", "0801": "ChatTS-14B", "paper": "ChatTS-14B (paper)"}
        return names[where], official_config(where)
    path = Path(where) / "config.json"
    if not path.is_file():
        raise ConfigError(f"{where!r} is neither a checkpoint directory nor one of {[*OFFICIAL]}.")
    config = read_json(path)
    if "ts" not in config:
        raise ConfigError(f"{path} has no section 'ts': it is no ChatTS checkpoint.")
    return Path(where).resolve().name, config


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module text."""
    parser = argparse.ArgumentParser(
        prog="python -m tsloop.chatts.native.estimate",
        description="Estimate the memory of a fine-tuning.",
    )
    parser.add_argument("base", help="checkpoint directory, or an era: 8b, 0801, paper")
    parser.add_argument("--method", choices=METHODS, default="qlora")
    parser.add_argument("--rank", type=int, default=16, help="rank of the LoRA matrices")
    parser.add_argument("--rows", type=int, default=1024, help="samples per window")
    parser.add_argument("--batch", type=int, default=4, help="windows at once")
    parser.add_argument("--tokens", type=int, default=_TEXT, help="text tokens per window")
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    options = parser.parse_args(arguments)
    name, config = _config_of(options.base)
    found = estimate(
        config,
        options.method,
        options.rank,
        options.rows,
        options.batch,
        options.tokens,
        options.precision,
        options.checkpointing,
    )
    sys.stdout.write(
        f"{describe(name, options.method, options.rank, options.rows, found)}\n"
        f"  weights {found.weights_gib:.1f}, optimiser {found.optimizer_gib:.1f}, activations "
        f"{found.activations_gib:.1f} GiB; {found.trainable:,} parameters trained; "
        f"{found.step_flops / 1e12:.1f} TFLOP a step\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
