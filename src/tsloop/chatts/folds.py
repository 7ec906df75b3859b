"""Groups dealt to folds, so that each fold gets its share of the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["deal_folds"]


def deal_folds(
    groups: Sequence[str],
    events: Sequence[int],
    folds: int,
    seed: int,
    known: Mapping[str, int] | None = None,
) -> list[int]:
    """A fold number for each example; examples of one group share theirs.

    ``groups`` and ``events`` (how many each example has) are in step. There are at least two folds
    and at most as many as groups; groups with many events are dealt first, back and forth. Groups
    in ``known`` keep their fold; then each other one goes to the fold with the fewest events.
    """
    names = sorted(set(groups))
    np.random.default_rng([seed, 3]).shuffle(names)
    total = dict.fromkeys(names, 0)
    for group, count in zip(groups, events, strict=True):
        total[group] += count
    by_events = sorted(names, key=lambda name: -total[name])
    n_folds = max(2, min(folds, len(names)))
    place = _join(by_events, total, n_folds, known) if known else _snake(by_events, n_folds)
    return [place[group] for group in groups]


def _snake(names: Sequence[str], n_folds: int) -> dict[str, int]:
    place: dict[str, int] = {}
    for index, name in enumerate(names):
        turn, offset = divmod(index, n_folds)
        place[name] = offset if turn % 2 == 0 else n_folds - 1 - offset
    return place


def _join(
    names: Sequence[str], events: Mapping[str, int], n_folds: int, known: Mapping[str, int]
) -> dict[str, int]:
    place = {name: known[name] for name in names if name in known}
    load = [[0, 0] for _ in range(max(n_folds, *(fold + 1 for fold in known.values())))]
    for name in [*place, *(name for name in names if name not in place)]:
        fold = place.setdefault(name, load.index(min(load)))
        load[fold][0] += events[name]
        load[fold][1] += 1
    return place
