"""Examples into tensors on the model's device, and the losses of both ways to answer.

Each window has its own loss and each answer token too; a batch is their mean. So a batch that is
computed in parts, or by several processes, has the same gradient as one that is computed at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.generate.targets import Target, collate_targets
from tsloop.chatts.native.tuning.data import PromptOf, ScoreWindow
from tsloop.chatts.training import RowTargets, loss_of

__all__ = ["answer_loss", "score_inputs", "score_loss"]

Tensors = dict[str, torch.Tensor]


def score_inputs(processor: Any, series: Sequence[Any], prompt_of: PromptOf) -> Tensors:
    """What ``model.score`` takes for one window per row, padded at the right.

    The question stands in a chat, as it does when the model answers in text.
    """
    prompts = [processor.chat(prompt_of(len(values))) for values in series]
    made: Tensors = processor(prompts, [[values] for values in series], padding_side="right")
    return made


def score_loss(
    model: Any,
    processor: Any,
    windows: Sequence[ScoreWindow],
    prompt_of: PromptOf,
    config: FinetuneConfig,
    device: torch.device,
) -> torch.Tensor:
    """Sum of the windows' losses, float32."""
    inputs = score_inputs(processor, [window.values for window in windows], prompt_of)
    found = model.score(**_to(inputs, device))
    patches = found.label_logits.shape[2]
    rows = patches * processor.config.patch_size
    logits = functional.pad(found.row_logits[:, 0].float(), (0, rows - found.row_logits.shape[2]))
    targets = _targets(windows, rows, device)
    label_logits = found.label_logits[:, 0].float()
    losses = [
        loss_of(
            logits[i : i + 1, : p * processor.config.patch_size],
            label_logits[i : i + 1, :p],
            _row(targets, i, p * processor.config.patch_size),
            dice=config.dice,
            label_weight=config.label_weight,
        )
        for i, p in enumerate(found.patch_mask[:, 0].sum(dim=-1).tolist())
    ]
    return torch.stack(losses).sum()


def answer_loss(
    model: Any, texts: Sequence[Target], pad_token_id: int, device: torch.device
) -> torch.Tensor:
    """Sum of the cross-entropies of all answer tokens, float32.

    Logits are made from the first learned token on; the prompt before it needs none.
    """
    batch = _to(collate_targets(texts, pad_token_id), device)
    labels = batch.pop("labels")
    learned = (labels >= 0).any(dim=0).nonzero()
    kept = labels.shape[1] - int(learned.min()) + 1
    logits = model(**batch, logits_to_keep=kept, use_cache=False).logits
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1 - kept :].flatten(), reduction="sum"
    )


def _targets(windows: Sequence[ScoreWindow], rows: int, device: torch.device) -> RowTargets:
    shape = (len(windows), rows)
    valid = np.zeros(shape, bool)
    target, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    label = np.full(shape, -1, np.int64)
    for row, window in enumerate(windows):
        n = len(window.values)
        valid[row, :n] = True
        target[row, :n], weight[row, :n] = window.target, window.weight
        label[row, :n] = window.label
    return RowTargets(*(torch.from_numpy(x).to(device) for x in (valid, target, weight, label)))


def _row(targets: RowTargets, row: int, rows: int) -> RowTargets:
    one = slice(row, row + 1)
    return RowTargets(
        *(
            tensor[one, :rows]
            for tensor in (targets.valid, targets.target, targets.weight, targets.label)
        )
    )


def _to(batch: Tensors, device: torch.device) -> Tensors:
    return {name: tensor.to(device) for name, tensor in batch.items()}
