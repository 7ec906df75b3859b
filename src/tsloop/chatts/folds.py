"""Groups dealt to folds, so that each fold gets its share of the events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["deal_folds"]


def deal_folds(groups: Sequence[str], events: Sequence[int], folds: int, seed: int) -> list[int]:
    """A fold number for each example; examples of one group share theirs.

    ``groups`` and ``events`` (how many each example has) are in step. There are at least two folds
    and at most as many as groups; groups with many events are dealt first, back and forth.
    """
    names = sorted(set(groups))
    np.random.default_rng([seed, 3]).shuffle(names)
    total = dict.fromkeys(names, 0)
    for group, count in zip(groups, events, strict=True):
        total[group] += count
    n_folds = max(2, min(folds, len(names)))
    place: dict[str, int] = {}
    for index, name in enumerate(sorted(names, key=lambda name: -total[name])):
        turn, offset = divmod(index, n_folds)
        place[name] = offset if turn % 2 == 0 else n_folds - 1 - offset
    return [place[group] for group in groups]
