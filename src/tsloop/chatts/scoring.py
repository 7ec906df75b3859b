"""One pass over a whole series: overlapping windows in, logits per row and per patch out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from tsloop.chatts.model import ChattsModel
from tsloop.chatts.windows import blend, window_starts

__all__ = ["BATCH", "score_channels"]

BATCH = 8
"""Windows per forward pass; fixed, because sums over another batch may differ in the last bit."""

OVERLAP = 4
"""Neighbouring windows share one part in so many."""


def score_channels(
    model: ChattsModel, channels: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Logits ``(n,)`` per row and label logits ``(ceil(n / patch), labels)`` per patch.

    ``channels`` is ``(n, c)`` with ``n >= 1``. A series shorter than a window is padded only to
    full patches.
    """
    patch, n = model.shape.patch, len(channels)
    patches = -(-n // patch)
    window = min(model.shape.window // patch, patches)
    starts = window_starts(patches, window, max(1, window - window // OVERLAP))
    padded = np.concatenate((channels, np.repeat(channels[-1:], patches * patch - n, axis=0)))
    known = np.arange(patches * patch) < n
    rows = window * patch
    logits = np.empty((len(starts), rows), np.float32)
    labels = np.empty((len(starts), window, len(model.shape.labels)), np.float32)
    with torch.inference_mode():
        for first in range(0, len(starts), BATCH):
            chosen = starts[first : first + BATCH]
            cut = np.stack([padded[s * patch : s * patch + rows] for s in chosen])
            valid = np.stack([known[s * patch : s * patch + rows] for s in chosen])
            row_logits, label_logits = model(torch.from_numpy(cut), torch.from_numpy(valid))
            logits[first : first + len(chosen)] = row_logits.numpy()
            labels[first : first + len(chosen)] = label_logits.numpy()
    places = [s * patch for s in starts]
    return blend(logits, places, patches * patch)[:n], blend(labels, starts, patches)
