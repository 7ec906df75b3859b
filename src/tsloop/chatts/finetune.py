"""Fine-tuning on labelled stretches: one deterministic function, no files.

Half the art is not to lose what the base knows: each batch holds a share of synthetic windows and a
share of what earlier iterations learned from, training is short, and the best weights on the
validation examples win where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from tsloop.chatts.adapter import Adapter, Trainable, check_trained
from tsloop.chatts.bases import Base
from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.model import deterministic
from tsloop.chatts.pretrain import schedule
from tsloop.chatts.synthetic import generate
from tsloop.chatts.training import Item, WindowSampler, loss_of, make_batch, synthetic_item
from tsloop.errors import DetectorError

__all__ = ["FinetuneData", "FinetuneResult", "finetune", "replay_items"]

Progress = Callable[[Mapping[str, float]], None]

REPLAY_SEED = 77_000
"""The synthetic replay set is another collection than the one the base was trained on."""
REPLAY_ROWS = 1536


@dataclass(frozen=True, eq=False)
class FinetuneData:
    """New and replayed training items, validation items."""

    new: Sequence[Item]
    old: Sequence[Item] = ()
    valid: Sequence[Item] = ()


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """The adapter, the steps that made it, and how it went.

    ``loss`` is the mean of the last steps that were taken. ``valid_loss`` belongs to the weights
    that are returned (None without validation examples), ``start_valid_loss`` to those before the
    first step. ``kept_start``: no look at the validation examples was better than the start; then
    ``steps`` is 0 and the adapter is the start's.
    """

    adapter: Adapter
    steps: int
    loss: float
    valid_loss: float | None = None
    start_valid_loss: float | None = None
    kept_start: bool = False


@lru_cache(maxsize=4)
def replay_items(count: int, labels: tuple[str, ...]) -> tuple[Item, ...]:
    """The synthetic replay set, made once per process."""
    return tuple(
        synthetic_item(generate(REPLAY_SEED, index, REPLAY_ROWS), labels) for index in range(count)
    )


def finetune(
    base: Base,
    data: FinetuneData,
    config: FinetuneConfig,
    *,
    start: Adapter | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FinetuneResult:
    """Train an adapter; the same input and seed give the same tensors, bit by bit.

    ``start`` is the parent's adapter (its method and rank must fit). ``progress`` gets ``step``,
    ``loss``, ``learning_rate`` and, when measured, ``valid_loss``. Zero steps are an error, and so
    is a training that changed nothing.
    """
    if config.steps < 1:
        raise DetectorError(
            "finetune.steps is 0: nothing would be trained.", hint="Set it to at least 1."
        )
    if not data.new and not data.old:
        raise DetectorError("There is no labelled example to fine-tune on.")
    with deterministic(config.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trainable = Trainable(base, config, start)
        run = _Run(trainable, data, config, seed)
        before = trainable.adapter()
        result = run.train(progress or _silent)
        if not result.kept_start:
            check_trained(result.adapter, before)
        return result


class _Run:
    """One training run; holds the generators and the best state so far."""

    def __init__(
        self, trainable: Trainable, data: FinetuneData, config: FinetuneConfig, seed: int
    ) -> None:
        self.trainable, self.config = trainable, config
        self.shape = trainable.base.config
        self.window = min(config.window, self.shape.window) // self.shape.patch * self.shape.patch
        self.rng = np.random.default_rng([seed, 5])
        self.new = self._sampler(data.new or data.old)
        self.old = self._sampler(data.old) if data.old and data.new else None
        count = round(config.synthetic_replay_share * config.batch_size)
        self.n_synthetic = min(count, config.batch_size - 1) if config.synthetic_series else 0
        self.synthetic = None
        if self.n_synthetic:
            items = replay_items(config.synthetic_series, tuple(self.shape.labels))
            self.synthetic = self._sampler(items)
        self.valid = self._valid_batches(data.valid)
        groups = trainable.groups()
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=config.weight_decay)

    def _sampler(self, items: Sequence[Item]) -> WindowSampler:
        return WindowSampler(items, self.window, self.config.event_share)

    def _valid_batches(self, items: Sequence[Item]) -> list[list[tuple[Item, int]]]:
        """Up to 24 fixed windows, spread over the validation items."""
        if not items:
            return []
        chosen = self._sampler(items).draw(24, np.random.default_rng(11))
        return [chosen[i : i + 8] for i in range(0, len(chosen), 8)]

    def _draw(self) -> list[tuple[Item, int]]:
        labelled = self.config.batch_size - self.n_synthetic
        n_old = round(self.config.replay_share * labelled) if self.old else 0
        chosen = self.new.draw(labelled - n_old, self.rng)
        if self.old:
            chosen += self.old.draw(n_old, self.rng)
        if self.synthetic:
            chosen += self.synthetic.draw(self.n_synthetic, self.rng)
        return chosen

    def train(self, progress: Progress) -> FinetuneResult:
        config, module = self.config, self.trainable.module
        losses: list[float] = []
        start = best = self._measure() if self.valid else None
        best_adapter, best_step, waited = self.trainable.adapter(), 0, 0
        module.train()
        for step in range(config.steps):
            factor = schedule(step, config.steps, config.warmup)
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            losses.append(self._step())
            figures = {
                "step": float(step + 1),
                "loss": losses[-1],
                "learning_rate": config.learning_rate * factor,
            }
            if best is not None and (step + 1) % config.eval_every == 0:
                now = figures["valid_loss"] = self._measure()
                waited += 1
                if now < best:
                    best, best_adapter, waited = now, self.trainable.adapter(), 0
                    best_step = step + 1
            progress(figures)
            if waited >= config.patience:
                break
        loss = float(np.mean(losses[-10:]))
        if best is None:
            return FinetuneResult(self.trainable.adapter(), len(losses), loss)
        return FinetuneResult(best_adapter, best_step, loss, best, start, not best_step)

    def _step(self) -> float:
        module, config = self.trainable.module, self.config
        batch = make_batch(self._draw(), self.window, jitter=config.jitter, rng=self.rng)
        logits, labels = module(batch.channels, batch.valid)
        loss = loss_of(logits, labels, batch, dice=config.dice, label_weight=config.label_weight)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
        self.optimizer.step()
        return float(loss.detach())

    def _measure(self) -> float:
        """Mean loss over the fixed validation windows."""
        module, config = self.trainable.module, self.config
        module.eval()
        total = 0.0
        with torch.no_grad():
            for chosen in self.valid:
                batch = make_batch(chosen, self.window)
                logits, labels = module(batch.channels, batch.valid)
                loss = loss_of(
                    logits, labels, batch, dice=config.dice, label_weight=config.label_weight
                )
                total += float(loss) * len(chosen)
        module.train()
        return total / sum(len(chosen) for chosen in self.valid)


def _silent(figures: Mapping[str, float]) -> None:
    """Report nothing."""
