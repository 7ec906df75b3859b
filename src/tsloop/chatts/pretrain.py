"""Make a base: ``python -m tsloop.chatts.pretrain --seed 0 --output DIR [--steps N]``.

Trains the model from random weights on synthetic labelled series only. The same seed, steps and
versions of torch and numpy on the same kind of processor give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from tsloop.chatts.bases import save_base
from tsloop.chatts.channels import CHANNELS
from tsloop.chatts.config import ModelConfig
from tsloop.chatts.model import ChattsModel, build_model, deterministic
from tsloop.chatts.synthetic import generate
from tsloop.chatts.training import Item, WindowSampler, loss_of, make_batch, synthetic_item
from tsloop.labels import builtin_label_set

__all__ = ["PretrainConfig", "main", "pretrain"]

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class PretrainConfig:
    """The recipe; it is stored with the weights."""

    seed: int = 0
    steps: int = 1300
    series: int = 1800
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.05
    event_share: float = 0.6
    jitter: float = 0.05
    channel_dropout: float = 0.05
    """Chance that a channel of a window is blanked, so that none is trusted alone."""
    dice: float = 0.15
    label_weight: float = 0.2


def pretrain(
    config: PretrainConfig, model_config: ModelConfig | None = None, report: Report | None = None
) -> tuple[ChattsModel, float]:
    """Train a base; returns it with the mean loss of the last steps. ``report(done, total, what)``
    is called as it goes."""
    tell = report or _silent
    label_set = builtin_label_set()
    shape = model_config or ModelConfig(
        channels=list(CHANNELS), labels=list(label_set.ids), label_set=label_set.ref
    )
    items: list[Item] = []
    for index in range(config.series):
        items.append(synthetic_item(generate(config.seed, index), shape.labels))
        tell(index + 1, config.series, "series")
    model = build_model(shape, config.seed)
    with deterministic(1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        losses = _train(model, items, config, tell)
    return model.eval(), float(np.mean(losses[-50:]))


def _train(
    model: ChattsModel, items: Sequence[Item], config: PretrainConfig, tell: Report
) -> list[float]:
    rng = np.random.default_rng([config.seed, 1])
    full = model.shape.window
    samplers = [WindowSampler(items, w, config.event_share) for w in (full // 2, full)]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    losses: list[float] = []
    model.train()
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(step, config.steps, config.warmup)
        sampler = samplers[int(rng.integers(2))]
        count = config.batch_size * full // sampler.window
        batch = make_batch(sampler.draw(count, rng), sampler.window, jitter=config.jitter, rng=rng)
        keep = rng.random((count, 1, len(model.shape.channels))) >= config.channel_dropout
        channels = batch.channels * torch.from_numpy(keep.astype(np.float32))
        logits, labels = model(channels, batch.valid)
        loss = loss_of(logits, labels, batch, dice=config.dice, label_weight=config.label_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        tell(step + 1, config.steps, f"steps, loss {np.mean(losses[-50:]):.4f}")
    return losses


def schedule(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up, then a cosine down to 2 %."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * done)))


def _silent(done: int, total: int, what: str) -> None:
    """Report nothing."""


def _print(done: int, total: int, what: str) -> None:
    if done % 50 == 0 or done == total:
        sys.stderr.write(f"{done}/{total} {what}\n")
        sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module text."""
    parser = argparse.ArgumentParser(prog="python -m tsloop.chatts.pretrain", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of data and weights")
    parser.add_argument("--steps", type=int, default=PretrainConfig.steps, help="optimiser steps")
    parser.add_argument("--series", type=int, default=PretrainConfig.series, help="series made")
    parser.add_argument("--output", type=Path, required=True, help="directory to write")
    options = parser.parse_args(arguments)
    config = PretrainConfig(seed=options.seed, steps=options.steps, series=options.series)
    model, loss = pretrain(config, report=_print)
    recipe = {"command": "python -m tsloop.chatts.pretrain", **asdict(config)}
    recipe |= {"torch": torch.__version__.split("+")[0], "numpy": np.__version__}
    base_id = f"tsloop-embedded-1-seed{config.seed}"
    digest = save_base(options.output, base_id, model, recipe | {"final_loss": round(loss, 6)})
    sys.stdout.write(f"{base_id} sha256 {digest} loss {loss:.4f}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
