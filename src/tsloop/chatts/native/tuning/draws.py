"""Which examples a step learns from: a pure function of the seed and the number of the step.

There is no generator to store or to keep in step between processes. Shares are exact over time,
also in batches of one, and every pool is gone through in a new random order, again and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tsloop.chatts.augmentation import augment, jitter
from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.generate.targets import Target
from tsloop.chatts.native.tuning.data import ScoreWindow, TuneData

__all__ = ["Drawer", "Step"]

T = TypeVar("T")

_TEXT, _SYNTHETIC, _OLD, _NEW = range(4)
"""Numbers of the pools, in the seeds of their orders."""


@dataclass(frozen=True, eq=False)
class Step:
    """The examples of one step, of all processes together."""

    windows: Sequence[ScoreWindow]
    texts: Sequence[Target]

    @property
    def learned_tokens(self) -> int:
        """Answer tokens of all texts."""
        return sum(int((text.labels >= 0).sum()) for text in self.texts)


@dataclass(frozen=True, eq=False)
class _Pool:
    """Windows, and those of them that hold an event."""

    windows: Sequence[ScoreWindow]
    events: Sequence[ScoreWindow]

    @classmethod
    def of(cls, windows: Sequence[ScoreWindow]) -> _Pool:
        return cls(windows, [window for window in windows if window.target.any()])


class Drawer:
    """Draws steps; see the module text. ``labels`` are the score head's."""

    def __init__(
        self,
        data: TuneData,
        synthetic: Sequence[ScoreWindow],
        config: FinetuneConfig,
        answer: str,
        labels: Sequence[str],
        seed: int,
    ) -> None:
        self.config, self.seed = config, seed
        self.labels = tuple(labels)
        self.texts_share = {"score": 0.0, "generate": 1.0, "both": 0.5}[answer]
        new, old = _new_and_old(data.score, data.old_score)
        self.pools = {_SYNTHETIC: _Pool.of(synthetic), _OLD: _Pool.of(old), _NEW: _Pool.of(new)}
        self.texts = _new_and_old(data.texts, data.old_texts)

    def step(self, number: int) -> Step:
        """The examples of step ``number`` (from 0), windows changed as the config says."""
        windows: list[ScoreWindow] = []
        texts: list[Target] = []
        size = self.config.batch_size
        for place in range(number * size, (number + 1) * size):
            is_text, ordinal = _split(place, self.texts_share)
            if is_text:
                texts.append(self._text(ordinal))
            else:
                windows.append(self._changed(self._window(ordinal), place))
        return Step(windows, texts)

    def _text(self, ordinal: int) -> Target:
        new, old = self.texts
        is_old, ordinal = _split(ordinal, self.config.replay_share if old else 0.0)
        pool = old if is_old else new
        return pool[self._cycled(len(pool), ordinal, _TEXT, int(is_old))]

    def _window(self, ordinal: int) -> ScoreWindow:
        number = _NEW
        for other, share in (
            (_SYNTHETIC, self.config.synthetic_replay_share),
            (_OLD, self.config.replay_share),
        ):
            inside, ordinal = _split(ordinal, share if self.pools[other].windows else 0.0)
            if inside:
                number = other
                break
        pool = self.pools[number]
        is_event, ordinal = _split(ordinal, self.config.event_share if pool.events else 0.0)
        chosen = pool.events if is_event else pool.windows
        return chosen[self._cycled(len(chosen), ordinal, number, int(is_event))]

    def _cycled(self, length: int, ordinal: int, *pool: int) -> int:
        turn, place = divmod(ordinal, length)
        order = np.random.default_rng([self.seed, 3, *pool, turn]).permutation(length)
        return int(order[place])

    def _changed(self, window: ScoreWindow, place: int) -> ScoreWindow:
        rng = np.random.default_rng([self.seed, 4, place])
        values, label = window.values, window.label
        target, weight = window.target, window.weight
        if rng.random() < self.config.augment:
            changed = augment(values, label, self.labels, rng)
            values, label = changed.values, changed.label
            if changed.reversed:
                target, weight = target[::-1], weight[::-1]
        if self.config.jitter > 0:
            values = jitter(values, self.config.jitter, rng)
        return ScoreWindow(values, target, weight, label)


def _new_and_old(new: Sequence[T], old: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Without new examples the old ones are all there is to learn from."""
    return (new, old) if new else (old, ())


def _split(place: int, share: float) -> tuple[bool, int]:
    """Whether place ``place`` of a sequence belongs to the share, and its number on its side.

    Of the first n places, floor(n * share) do.
    """
    before = int(place * share)
    inside = int((place + 1) * share) > before
    return inside, before if inside else place - before
