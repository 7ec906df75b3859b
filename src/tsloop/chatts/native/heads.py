"""What the model says of each patch, and the score head that makes logits of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["ScoreHead", "ScoreOutput", "SeriesStates"]


@dataclass(frozen=True, eq=False)
class SeriesStates:
    """What the model makes of each patch; zeros where ``mask`` is false."""

    states: torch.Tensor
    """(B, S, Pmax, H), the last layer's hidden states at the ``<ts>`` positions."""
    features: torch.Tensor
    """(B, S, Pmax, H), the encoder's output for the same patches, in its own dtype."""
    mask: torch.Tensor
    """(B, S, Pmax), true where there is a patch."""


@dataclass(frozen=True, eq=False)
class ScoreOutput:
    """Logits of the score head; they mean something where the masks are true."""

    row_logits: torch.Tensor
    """(B, S, Lmax), one per sample."""
    row_mask: torch.Tensor
    """(B, S, Lmax)."""
    label_logits: torch.Tensor
    """(B, S, Pmax, labels), one per patch and label."""
    patch_mask: torch.Tensor
    """(B, S, Pmax)."""


class ScoreHead(nn.Module):
    """``LayerNorm(state) ++ LayerNorm(feature)`` of a patch -> its rows and its labels.

    The encoder's feature knows the patch's values, the hidden state what they mean in their
    surroundings. Each has a norm of its own, because their magnitudes differ by far. Runs in its
    own dtype.
    """

    def __init__(self, hidden: int, patch_size: int, labels: int, width: int) -> None:
        super().__init__()
        self.state_norm = nn.LayerNorm(hidden)
        self.feature_norm = nn.LayerNorm(hidden)
        self.mix = nn.Linear(2 * hidden, width)
        self.rows = nn.Linear(width, patch_size)
        self.labels = nn.Linear(width, labels)

    def forward(
        self, states: torch.Tensor, features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(…, P, H) twice -> row logits (…, P * patch size) and label logits (…, P, labels)."""
        dtype = self.mix.weight.dtype
        both = torch.cat(
            [self.state_norm(states.to(dtype)), self.feature_norm(features.to(dtype))], dim=-1
        )
        mixed = nn.functional.gelu(self.mix(both))
        return self.rows(mixed).flatten(-2), self.labels(mixed)
