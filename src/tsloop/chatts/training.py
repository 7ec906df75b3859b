"""What pre-training and fine-tuning share: labelled items, window batches and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from tsloop.chatts.channels import compute_channels, series_channels
from tsloop.chatts.synthetic import SyntheticSeries
from tsloop.intervals import Interval
from tsloop.series.types import Series

__all__ = [
    "Batch",
    "Item",
    "RowTargets",
    "Rows",
    "WindowSampler",
    "label_rows",
    "loss_of",
    "make_item",
    "synthetic_item",
]

EDGE_ROWS = 2
"""Rows on either side of an edge that count less: people disagree about them."""
EDGE_WEIGHT = 0.3
EVENT_WEIGHT = 3.0
"""An event of ``n`` rows weighs ``EVENT_WEIGHT * sqrt(n)`` clean rows."""


@dataclass(frozen=True, eq=False)
class Item:
    """One labelled series ready for training; all arrays have one entry per row.

    ``target`` 0/1, ``weight`` >= 0, ``label`` index into the label head or -1. ``events`` are the
    stretches worth looking at: true events and rejected ones.
    """

    channels: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]
    events: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Rows:
    """What each row of a series teaches; the fields are those of `Item`, shape ``(n,)``."""

    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowTargets:
    """Tensors of shape ``(batch, rows)``; ``valid`` is false on padding, where ``weight`` is 0."""

    valid: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    label: torch.Tensor


@dataclass(frozen=True, eq=False)
class Batch(RowTargets):
    """Targets with the inputs ``channels``, shape ``(batch, rows, channels)``."""

    channels: torch.Tensor


def make_item(
    series: Series,
    intervals: Sequence[Interval],
    labels: Sequence[str],
    weight: float = 1.0,
    rejected: Sequence[Interval] = (),
) -> Item:
    """An item from a labelled series; labels that the head does not know teach no label.

    ``rejected`` are stretches that the untuned model takes for anomalies and the annotator does
    not: what a team calls normal is learned from them, so they count as much as events.
    """
    return _item(series_channels(series).channels, intervals, labels, weight, rejected)


def synthetic_item(example: SyntheticSeries, labels: Sequence[str]) -> Item:
    """An item from a synthetic series (not cached)."""
    channels = compute_channels(example.values).channels
    return _item(channels, example.intervals, labels, 1.0)


def _item(
    channels: npt.NDArray[np.float32],
    intervals: Sequence[Interval],
    labels: Sequence[str],
    scale: float,
    rejected: Sequence[Interval] = (),
) -> Item:
    rows = label_rows(len(channels), intervals, labels, scale, rejected)
    events = tuple((i.start, i.end) for i in (*intervals, *rejected))
    return Item(channels, rows.target, rows.weight, rows.label, events)


def label_rows(
    n: int,
    intervals: Sequence[Interval],
    labels: Sequence[str],
    scale: float = 1.0,
    rejected: Sequence[Interval] = (),
) -> Rows:
    """Targets of ``n`` rows: events weigh by their length, rows at an edge little.

    Arguments as for `make_item`; ``scale`` multiplies every weight.
    """
    target, weight = np.zeros(n, np.float32), np.ones(n, np.float32)
    label = np.full(n, -1, np.int64)
    index = {name: place for place, name in enumerate(labels)}
    for interval in intervals:
        rows = slice(interval.start, interval.end + 1)
        for edge in (interval.start, interval.end + 1):
            weight[max(0, edge - EDGE_ROWS) : edge + EDGE_ROWS] = EDGE_WEIGHT
        target[rows] = 1.0
        label[rows] = index.get(interval.label, -1)
    for interval in rejected:
        rows = slice(interval.start, interval.end + 1)
        weight[rows] = np.maximum(weight[rows], EVENT_WEIGHT / np.sqrt(len(interval)))
    for interval in intervals:
        rows = slice(interval.start, interval.end + 1)
        weight[rows] = EVENT_WEIGHT / np.sqrt(len(interval))
    return Rows(target, weight * np.float32(scale), label)


class WindowSampler:
    """Draws random windows from items; the same generator state gives the same windows."""

    def __init__(self, items: Sequence[Item], window: int, event_share: float) -> None:
        self.items = list(items)
        self.window = window
        self.event_share = event_share
        self.with_events = [item for item in self.items if item.events]
        sizes = np.array([max(len(item.target), window) ** 0.5 for item in self.items])
        self.by_size = sizes / sizes.sum() if len(sizes) else sizes

    def draw(self, count: int, rng: np.random.Generator) -> list[tuple[Item, int]]:
        """``count`` pairs of an item and a first row."""
        chosen: list[tuple[Item, int]] = []
        for _ in range(count):
            if self.with_events and rng.random() < self.event_share:
                item = self.with_events[int(rng.integers(len(self.with_events)))]
                first, last = item.events[int(rng.integers(len(item.events)))]
                middle = (first + last) // 2
                start = middle - int(rng.integers(self.window // 8, 7 * self.window // 8))
            else:
                item = self.items[int(rng.choice(len(self.items), p=self.by_size))]
                start = int(rng.integers(max(1, len(item.target) - self.window + 1)))
            chosen.append((item, max(0, min(start, len(item.target) - self.window))))
        return chosen


def make_batch(
    chosen: Sequence[tuple[Item, int]],
    window: int,
    *,
    jitter: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Batch:
    """Cut the chosen windows; short items are padded with their last sample."""
    n_channels = chosen[0][0].channels.shape[1]
    channels = np.zeros((len(chosen), window, n_channels), np.float32)
    valid = np.zeros((len(chosen), window), bool)
    target, weight = np.zeros(valid.shape, np.float32), np.zeros(valid.shape, np.float32)
    label = np.full(valid.shape, -1, np.int64)
    for row, (item, start) in enumerate(chosen):
        stop = min(start + window, len(item.target))
        size = stop - start
        channels[row, :size] = item.channels[start:stop]
        channels[row, size:] = item.channels[stop - 1]
        valid[row, :size] = True
        target[row, :size] = item.target[start:stop]
        weight[row, :size] = item.weight[start:stop]
        label[row, :size] = item.label[start:stop]
    if jitter > 0 and rng is not None:
        channels += jitter * rng.standard_normal(channels.shape, dtype=np.float32)
    return Batch(*(torch.from_numpy(x) for x in (valid, target, weight, label, channels)))


def loss_of(
    logits: torch.Tensor,
    label_logits: torch.Tensor,
    batch: RowTargets,
    *,
    dice: float,
    label_weight: float,
) -> torch.Tensor:
    """Event-balanced cross-entropy + Dice on the rows + cross-entropy of the label per patch.

    ``logits`` (b, rows) and ``label_logits`` (b, patches, labels); rows is a multiple of patches.
    """
    rows = batch.valid.sum().clamp(min=1)
    each = functional.binary_cross_entropy_with_logits(logits, batch.target, reduction="none")
    loss = (each * batch.weight).sum() / rows
    if dice > 0:
        probability = torch.sigmoid(logits) * batch.weight
        overlap = (probability * batch.target).sum()
        total = probability.sum() + (batch.weight * batch.target).sum()
        loss = loss + dice * (1 - (2 * overlap + 1) / (total + 1))
    if label_weight > 0:
        patches = batch.label.reshape(*label_logits.shape[:2], -1).amax(dim=-1)
        known = patches >= 0
        if bool(known.any()):
            picked = label_logits[known]
            loss = loss + label_weight * functional.cross_entropy(picked, patches[known])
    return loss
