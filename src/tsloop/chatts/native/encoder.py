"""The time-series encoder of ChatTS: ``patch_size`` samples become one token of the model's width.

A patch's vector is the concatenation of its values and (0801, 8b) of the position embeddings of
its samples, time-major; an MLP with exact GELU maps it to the language model's width. Padding is
told by the lengths, never by the values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tsloop.chatts.native.eras import EncoderLayout
from tsloop.errors import SeriesError

__all__ = ["TimeSeriesEncoder", "from_official", "group_rows", "xavier"]


def from_official(timeseries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The official flat layout into values and lengths.

    ``timeseries`` is (S, 2L, 1), or anything that reshapes to (S, L, 2): interleaved pairs of value
    and mask, padding at the end. Returns values (S, L) and lengths (S,).
    """
    pairs = timeseries.reshape(timeseries.shape[0], -1, 2)
    # Counted as integers: a sum in half precision is exact to 2048 only.
    return pairs[..., 0], pairs[..., 1].long().sum(dim=-1)


def group_rows(
    values: torch.Tensor, lengths: torch.Tensor, patch_size: int, tokens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat series into the rows of a batch, by the number of ``<ts>`` tokens of each row (B,).

    (S, L), (S,) -> (B, Smax, L), (B, Smax). Where the counts do not fit, `SeriesError`.
    """
    counts = (lengths + patch_size - 1) // patch_size
    ends, goals = counts.cumsum(0), tokens.cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    row = torch.searchsorted(goals, starts, right=True)
    fits = int(ends[-1]) == int(goals[-1]) and bool(
        (ends <= goals[row.clamp_max(len(goals) - 1)]).all()
    )
    if not fits:
        raise SeriesError(
            f"The series make {counts.tolist()} patches, the rows hold {tokens.tolist()} <ts> "
            "tokens."
        )
    per_row = torch.bincount(row, minlength=len(tokens))
    first = per_row.cumsum(0) - per_row
    place = torch.arange(len(row), device=row.device) - first[row]
    most = int(per_row.max())
    grouped = values.new_zeros(len(tokens), most, values.shape[-1])
    sizes = lengths.new_zeros(len(tokens), most)
    grouped[row, place], sizes[row, place] = values, lengths
    return grouped, sizes


def xavier(part: nn.Module, init: Any = nn.init) -> None:
    """In place, as a new ChatTS starts: Xavier-normal matrices (also the table), zero biases.

    ``init`` may be ``transformers.initialization``, which leaves loaded tensors alone.
    """
    for module in part.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            init.xavier_normal_(module.weight)
        if isinstance(module, nn.Linear):
            init.zeros_(module.bias)
        if isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)


class TimeSeriesEncoder(nn.Module):
    """Official parameter names: ``mlp.{0,2,4,…}``, a norm after them, ``position_embedding``."""

    def __init__(self, layout: EncoderLayout) -> None:
        super().__init__()
        self.layout = layout
        hidden = layout.hidden_size
        layers: list[nn.Module] = []
        for index in range(layout.num_layers - 1):
            layers += [nn.Linear(hidden if index else layout.in_features, hidden), nn.GELU()]
        layers.append(nn.Linear(hidden if layers else layout.in_features, hidden))
        if layout.layer_norm:
            layers.append(nn.LayerNorm(hidden))
        self.mlp = nn.Sequential(*layers)
        if layout.max_samples is not None:
            self.position_embedding = nn.Embedding(layout.max_samples + 1, layout.position_dim)

    def forward(
        self, values: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of all patches of all series, and how many each series has.

        ``values`` is (…, L), usually (B, S, L), with ``lengths`` (…) in samples; a length of 0 is
        no series. Without ``lengths`` it is the official flat layout, see `from_official`.
        Returns features (sum of patches, H) in the encoder's own dtype, also under autocast, in the
        order of the series, and patch counts (…). A value that is not finite, or a series longer
        than ``values`` or than the table of positions, raises `SeriesError`.
        """
        if lengths is None:
            values, lengths = from_official(values)
        self._check(values, lengths)
        patches, positions = self._patches(values.flatten(0, -2), lengths.flatten())
        with torch.autocast(values.device.type, enabled=False):
            features = self._features(patches, positions)
        return features, self.patch_counts(lengths)

    def _features(self, patches: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """(M, patch size) twice -> (M, H)."""
        dtype = next(self.parameters()).dtype
        inputs = patches.to(dtype)
        if self.layout.max_samples is not None:
            embedded = self.position_embedding(positions)
            inputs = torch.cat([inputs, embedded.flatten(1).to(dtype)], dim=-1)
        features: torch.Tensor = self.mlp(inputs)
        return features

    def patch_counts(self, lengths: torch.Tensor) -> torch.Tensor:
        """Patches of each series, of the shape of ``lengths``."""
        return (lengths + self.layout.patch_size - 1) // self.layout.patch_size

    def _patches(
        self, values: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, L), (N,) -> values and positions, both (sum of patches, patch size)."""
        size = self.layout.patch_size
        counts = self.patch_counts(lengths)
        most = int(counts.max()) if len(counts) else 0
        place = torch.arange(most * size, device=values.device).expand(len(lengths), -1)
        inside = place < lengths[:, None]
        filled = values.gather(1, torch.minimum(place, (lengths[:, None] - 1).clamp_min(0)))
        if self.layout.tail == "zeros":
            filled = filled * inside
        positions = place
        if self.layout.max_samples is not None:
            positions = torch.where(inside, place, self.layout.max_samples)
        kept = torch.arange(most, device=values.device) < counts[:, None]
        shape = (len(lengths), most, size)
        patches = filled.reshape(shape)[kept]
        if not bool(torch.isfinite(patches).all()):
            raise SeriesError(
                "A series holds a value that is not finite.", hint="Fill or cut out the gaps first."
            )
        return patches, positions.reshape(shape)[kept]

    def _check(self, values: torch.Tensor, lengths: torch.Tensor) -> None:
        if values.shape[:-1] != lengths.shape:
            raise SeriesError(
                f"Values of shape {tuple(values.shape)} do not go with lengths of shape "
                f"{tuple(lengths.shape)}; expected are (…, samples) and (…)."
            )
        longest = int(lengths.max()) if lengths.numel() else 0
        limit = self.layout.max_samples
        if limit is not None and longest > limit:
            raise SeriesError(
                f"A series has {longest} samples; this model's table of positions ends at {limit}.",
                hint="Cut the series into windows, or thin it out.",
            )
        if longest > values.shape[-1] or (lengths.numel() and int(lengths.min()) < 0):
            raise SeriesError(
                f"Lengths from {int(lengths.min())} to {longest} do not fit {values.shape[-1]} "
                "values."
            )
