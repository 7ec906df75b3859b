"""The model: patch encoder, a Qwen3 transformer over the patches, a score and a label head.

Series tokens attend to each other in both directions (an explicit 4-D mask takes the place of the
causal one). The score head gives one logit per sample: it sees what the transformer says of the
patch and the sample's own channels, so edges stay sharp at any patch length. The label head gives
one logit per patch and label.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import cast

import torch
from torch import nn
from transformers import Qwen3Config, Qwen3Model

from tsloop.chatts.config import ModelConfig
from tsloop.chatts.encoder import PatchEncoder

__all__ = ["ChattsModel", "ScoreHead", "build_model", "deterministic"]


class ScoreHead(nn.Module):
    """Logits per sample and label logits per patch from token states and channels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.norm = nn.LayerNorm(2 * config.hidden)
        self.context = nn.Linear(2 * config.hidden, config.context)
        self.own = nn.Linear(len(config.channels), config.point)
        self.mix = nn.Linear(config.context + config.patch, config.point)
        self.out = nn.Linear(config.point, 1)
        self.labels = nn.Sequential(
            nn.Linear(2 * config.hidden, config.point),
            nn.GELU(),
            nn.Linear(config.point, len(config.labels)),
        )

    def forward(
        self, states: torch.Tensor, tokens: torch.Tensor, channels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``(b, p, h)`` twice, ``(b, p*patch, c)`` -> ``(b, p*patch)`` and ``(b, p, labels)``."""
        both = self.norm(torch.cat([states, tokens], dim=-1))
        batch, patches, _ = both.shape
        place = torch.eye(self.patch, device=both.device, dtype=both.dtype)
        weight = self.mix.weight
        width = self.context.out_features
        # The mix of context and place in the patch, without building the repeated context.
        shared = nn.functional.linear(self.context(both), weight[:, :width], self.mix.bias)
        placed = shared.unsqueeze(2) + place @ weight[:, width:].T
        own = self.own(channels).reshape(batch, patches, self.patch, -1)
        logits = self.out(nn.functional.gelu(placed + own)).reshape(batch, patches * self.patch)
        return logits, self.labels(both)


class ChattsModel(nn.Module):
    """See the module text; inputs are ``channels (b, rows, c)`` and ``valid (b, rows)``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.shape = config
        self.encoder = PatchEncoder(config)
        self.backbone = Qwen3Model(_backbone_config(config))
        self.head = ScoreHead(config)

    def forward(
        self, channels: torch.Tensor, valid: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample logits ``(b, rows)`` and label logits ``(b, rows / patch, labels)``."""
        tokens = self.encoder(channels, valid)
        seen = valid.reshape(valid.shape[0], -1, self.shape.patch).any(dim=-1)
        mask = torch.zeros(seen.shape, dtype=tokens.dtype, device=tokens.device)
        mask = mask.masked_fill(~seen, torch.finfo(tokens.dtype).min)
        mask = mask[:, None, None, :].expand(-1, 1, seen.shape[1], -1)
        states = self.backbone(
            inputs_embeds=tokens, attention_mask=mask, use_cache=False
        ).last_hidden_state
        return cast("tuple[torch.Tensor, torch.Tensor]", self.head(states, tokens, channels))


def _backbone_config(config: ModelConfig) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=1,
        hidden_size=config.hidden,
        intermediate_size=config.mlp,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.hidden // config.heads,
        max_position_embeddings=config.window // config.patch,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="sdpa",
    )


def build_model(config: ModelConfig, seed: int = 0) -> ChattsModel:
    """A model with seeded random weights; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ChattsModel(config)
        for module in model.encoder.mlp:
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(model.encoder.position_embedding.weight, std=0.1)
        nn.init.constant_(model.head.out.bias, -3.0)
    return model


@contextlib.contextmanager
def deterministic(threads: int = 1) -> Iterator[None]:
    """Deterministic torch algorithms with a fixed number of threads; both are set back after."""
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(before)
