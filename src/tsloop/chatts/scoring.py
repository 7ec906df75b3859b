"""One pass over a whole series: overlapping windows in, logits per row and per patch out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from tsloop.chatts.model import ChattsModel
from tsloop.chatts.windows import blend, window_starts

__all__ = ["BATCH", "Forward", "score_channels", "score_windows"]

BATCH = 8
"""Windows per forward pass; fixed, because sums over another batch may differ in the last bit."""

OVERLAP = 4
"""Neighbouring windows share one part in so many."""

Logits = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Forward = Callable[[Sequence[int]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
"""First rows of some windows -> row logits ``(windows, rows)`` and label logits ``(windows,
patches, labels)``; what they say of rows beyond the series is ignored."""


def score_windows(
    n: int, patch: int, window: int, overlap: int, forward: Forward, batch: int = BATCH
) -> Logits:
    """Logits ``(n,)`` per row and label logits ``(ceil(n / patch), labels)`` per patch.

    ``window`` and ``overlap`` count patches, so that windows share their borders of patches; a
    shorter series has one window of all its patches.
    """
    patches = -(-n // patch)
    window = min(window, patches)
    starts = window_starts(patches, window, max(1, window - overlap))
    rows = [start * patch for start in starts]
    parts = [forward(rows[first : first + batch]) for first in range(0, len(rows), batch)]
    logits, labels = (np.concatenate(some) for some in zip(*parts, strict=True))
    return blend(logits, rows, patches * patch)[:n], blend(labels, starts, patches)


def score_channels(model: ChattsModel, channels: npt.NDArray[np.float32]) -> Logits:
    """`score_windows` by the embedded model; ``channels`` is ``(n, c)`` with ``n >= 1``.

    A series shorter than a window is padded only to full patches.
    """
    patch, n = model.shape.patch, len(channels)
    patches = -(-n // patch)
    window = min(model.shape.window // patch, patches)
    padded = np.concatenate((channels, np.repeat(channels[-1:], patches * patch - n, axis=0)))
    known = np.arange(patches * patch) < n
    rows = window * patch

    def forward(starts: Sequence[int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        cut = np.stack([padded[s : s + rows] for s in starts])
        valid = np.stack([known[s : s + rows] for s in starts])
        with torch.inference_mode():
            logits, labels = model(torch.from_numpy(cut), torch.from_numpy(valid))
        return logits.numpy(), labels.numpy()

    return score_windows(n, patch, window, window // OVERLAP, forward)
