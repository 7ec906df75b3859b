"""Synthetic windows that keep the score head from forgetting what is rare among the labels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.finetune import REPLAY_SEED
from tsloop.chatts.native.tuning.data import ScoreWindow, score_window
from tsloop.chatts.synthetic import generate

__all__ = ["synthetic_windows"]


def synthetic_windows(config: FinetuneConfig, labels: tuple[str, ...]) -> tuple[ScoreWindow, ...]:
    """The config's number of windows, of its length; none where their share is 0."""
    if config.synthetic_replay_share == 0:
        return ()
    return _made(config.synthetic_series, config.window, labels)


@lru_cache(maxsize=4)
def _made(count: int, rows: int, labels: tuple[str, ...]) -> tuple[ScoreWindow, ...]:
    """Gaps are interpolated; made once per process."""
    windows = []
    for index in range(count):
        example = generate(REPLAY_SEED, index, rows)
        place = np.arange(len(example.values))
        known = np.isfinite(example.values)
        values = np.interp(place, place[known], example.values[known])
        windows.append(score_window(values, example.intervals, labels))
    return tuple(windows)
