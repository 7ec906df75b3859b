"""The patch encoder: ``patch`` samples with their channels and positions become one token.

As in ChatTS (0801 layout), a patch's vector is the concatenation of its values and of the learned
position embeddings of its samples, time-major; an MLP with exact GELU maps it to the transformer's
width. A last patch that is not full repeats the last sample and points at the padding position.
"""

from __future__ import annotations

import torch
from torch import nn

from tsloop.chatts.config import ModelConfig

__all__ = ["PatchEncoder"]


class PatchEncoder(nn.Module):
    """``(batch, rows, channels)`` -> ``(batch, rows / patch, hidden)``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.max_rows = config.window
        self.position_embedding = nn.Embedding(config.window + 1, config.position_dim)
        width = config.patch * (len(config.channels) + config.position_dim)
        layers: list[nn.Module] = []
        for index in range(config.encoder_layers - 1):
            layers += [nn.Linear(width if index == 0 else config.hidden, config.hidden), nn.GELU()]
        layers.append(nn.Linear(config.hidden, config.hidden))
        self.mlp = nn.Sequential(*layers)

    def forward(self, channels: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """``valid`` (batch, rows) is false on padding, which must lie at the end of a row."""
        batch, rows, _ = channels.shape
        positions = torch.arange(rows, device=channels.device).expand(batch, rows)
        positions = torch.where(valid, positions, self.max_rows)
        embedded = self.position_embedding(positions)
        patches = rows // self.patch
        flat = torch.cat(
            [channels.reshape(batch, patches, -1), embedded.reshape(batch, patches, -1)], dim=-1
        )
        tokens: torch.Tensor = self.mlp(flat.to(self.position_embedding.weight.dtype))
        return tokens
