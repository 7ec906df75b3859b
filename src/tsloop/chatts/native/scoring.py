"""A whole series through the score head: windows as prompts, one forward pass for some of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tsloop.chatts.scoring import score_windows
from tsloop.errors import DetectorError
from tsloop.grammar import shown_values

__all__ = ["score_values"]

Floats = npt.NDArray[np.float64]
Parts = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def score_values(
    model: Any,
    processor: Any,
    values: Floats,
    prompt_of: Callable[[int], str],
    *,
    window: int,
    overlap: int,
    batch_size: int,
) -> tuple[Floats, Floats]:
    """Logits ``(n,)`` per row and label logits ``(patches, labels)``; ``values`` is finite.

    ``prompt_of`` makes the question about a window of so many rows, as in training. Batches are
    halved where memory runs out. Logits that are not numbers are a `DetectorError`.
    """
    patch, n = processor.config.patch_size, len(values)
    rows = min(window // patch * patch, -(-n // patch) * patch)

    def forward(starts: Sequence[int]) -> Parts:
        return _forward(model, processor, [values[s : s + rows] for s in starts], prompt_of, rows)

    logits, labels = score_windows(n, patch, rows // patch, overlap // patch, forward, batch_size)
    if not (np.isfinite(logits).all() and np.isfinite(labels).all()):
        raise DetectorError(
            "The model's scores are not numbers.",
            hint="Load it in bfloat16 or float32; float16 overflows in some models.",
        )
    return logits, labels


def _forward(
    model: Any,
    processor: Any,
    windows: Sequence[Floats],
    prompt_of: Callable[[int], str],
    rows: int,
) -> Parts:
    try:
        return _score(model, processor, windows, prompt_of, rows)
    except torch.OutOfMemoryError as error:
        reason = str(error)
    if len(windows) == 1:
        raise DetectorError(
            f"Memory ran out on one window of {len(windows[0])} rows: {reason:.200}",
            hint="Lower detector.generate.window, or set detector.quantization.",
        )
    middle = len(windows) // 2
    parts = [
        _forward(model, processor, some, prompt_of, rows)
        for some in (windows[:middle], windows[middle:])
    ]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _score(
    model: Any,
    processor: Any,
    windows: Sequence[Floats],
    prompt_of: Callable[[int], str],
    rows: int,
) -> Parts:
    prompts = [processor.chat(prompt_of(len(window))) for window in windows]
    series = [[shown_values(window)] for window in windows]
    batch = processor(prompts, series, padding_side="right")
    with torch.inference_mode():
        found = model.score(**{name: tensor.to(model.device) for name, tensor in batch.items()})
    logits = found.row_logits[:, 0].float().cpu().numpy()
    labels = found.label_logits[:, 0].float().cpu().numpy()
    patches = rows // processor.config.patch_size
    return _filled(logits, rows), _filled(labels, patches)


def _filled(part: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """The second axis made ``size`` long: where the series ended before, it says nothing."""
    missing = [(0, 0)] * part.ndim
    missing[1] = (0, size - part.shape[1])
    return np.pad(part, missing)
