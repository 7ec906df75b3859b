"""Where the series stand in a batch of tokens, and who attends to whom among them."""

from __future__ import annotations

import torch

from tsloop.errors import DetectorError

__all__ = ["bidirectional_mask", "check_counts", "grid", "series_ids"]


def check_counts(is_ts: torch.Tensor, counts: torch.Tensor) -> None:
    """Patches (B, S) and ``<ts>`` tokens (B, T) of every row must agree, else `DetectorError`."""
    patches, tokens = counts.sum(dim=-1), is_ts.sum(dim=-1)
    if patches.shape == tokens.shape and bool((patches == tokens).all()):
        return
    if patches.shape != tokens.shape:
        raise DetectorError(
            f"Series were given for {len(patches)} rows, but input_ids has {len(tokens)}."
        )
    row = int((patches != tokens).nonzero()[0])
    raise DetectorError(
        f"Row {row}: its series make {int(patches[row])} patches, but its input_ids hold "
        f"{int(tokens[row])} <ts> tokens.",
        hint="Let TimeSeriesProcessor make both, with the patch size of this model.",
    )


def grid(counts: torch.Tensor) -> torch.Tensor:
    """Mask (B, S, Pmax) of the patches that exist; its order is that of the ``<ts>`` tokens."""
    most = int(counts.max()) if counts.numel() else 0
    return torch.arange(most, device=counts.device) < counts.unsqueeze(-1)


def series_ids(is_ts: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Which series of its row a token belongs to, (B, T); -1 for text."""
    ends = counts.cumsum(dim=-1)
    place = is_ts.cumsum(dim=-1) - 1
    ids = torch.searchsorted(ends, place.clamp_min(0), right=True)
    return torch.where(is_ts, ids, -1)


def bidirectional_mask(
    ids: torch.Tensor, attention_mask: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Additive mask (B, 1, T, T): causal, but both ways among the tokens of one series."""
    length = ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    same = (ids.unsqueeze(1) == ids.unsqueeze(2)) & (ids.unsqueeze(1) >= 0)
    seen = (causal | same) & attention_mask.bool().unsqueeze(1)
    # Padding sees itself, so that no row of the softmax is empty.
    seen |= torch.eye(length, dtype=torch.bool, device=ids.device)
    mask = torch.zeros(seen.shape, dtype=dtype, device=ids.device)
    return mask.masked_fill(~seen, torch.finfo(dtype).min).unsqueeze(1)
