"""Label errors on purpose: events overlooked, events invented, events in the wrong place.

A ranking of suspicious labels can only be taught and measured where the errors are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tsloop.intervals import Interval

__all__ = ["KINDS", "Planted", "plant"]

KINDS = ("missed", "spurious", "shifted")
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Planted:
    """One error: ``series`` counts in the given order; ``right`` is the label that was there,
    ``wrong`` the one that is there now (``None`` where there is none)."""

    series: int
    kind: str
    right: Interval | None
    wrong: Interval | None


def plant(
    labels: Sequence[Sequence[Interval]],
    n_rows: Sequence[int],
    share: float,
    rng: np.random.Generator,
    *,
    shift: tuple[float, float] = (0.5, 1.5),
) -> tuple[list[tuple[Interval, ...]], list[Planted]]:
    """The labels of each series with ``share`` of their number changed for the worse.

    The kinds come in turn. A missed label is taken out; a spurious one has the length and label of
    a random one and lies in a random series where no label is; a shifted one moves by ``shift``
    times its length, but at least by 3 rows, to either side, and onto no other label.
    """
    held = [list(some) for some in labels]
    places = [(i, interval) for i, some in enumerate(held) for interval in some]
    n_wanted = max(1, round(share * len(places))) if places else 0
    order = rng.permutation(len(places)).tolist()
    errors: list[Planted] = []
    for number in range(n_wanted):
        kind = KINDS[number % len(KINDS)]
        if kind == "spurious":
            model = places[int(rng.integers(len(places)))][1]
            error = _spurious(held, n_rows, model, rng)
        else:
            index, right = places[order.pop()]
            error = (
                Planted(index, kind, right, None)
                if kind == "missed"
                else _shifted(held, n_rows, index, right, shift, rng)
            )
        if error is None:
            continue
        if error.right is not None:
            held[error.series].remove(error.right)
        if error.wrong is not None:
            held[error.series].append(error.wrong)
        errors.append(error)
    return [tuple(sorted(some)) for some in held], errors


def _spurious(
    held: Sequence[Sequence[Interval]],
    n_rows: Sequence[int],
    model: Interval,
    rng: np.random.Generator,
) -> Planted | None:
    for _ in range(_TRIES):
        index = int(rng.integers(len(held)))
        length = min(len(model), max(1, n_rows[index] // 10))
        if n_rows[index] <= length:
            continue
        start = int(rng.integers(n_rows[index] - length))
        wrong = Interval(start, start + length - 1, model.label)
        if not _touches(wrong, held[index]):
            return Planted(index, "spurious", None, wrong)
    return None


def _shifted(
    held: Sequence[Sequence[Interval]],
    n_rows: Sequence[int],
    index: int,
    right: Interval,
    shift: tuple[float, float],
    rng: np.random.Generator,
) -> Planted | None:
    others = [interval for interval in held[index] if interval is not right]
    for _ in range(_TRIES):
        by = max(3, round(rng.uniform(*shift) * len(right))) * int(rng.choice((-1, 1)))
        if right.start + by < 0 or right.end + by >= n_rows[index]:
            continue
        wrong = Interval(right.start + by, right.end + by, right.label)
        if not _touches(wrong, others):
            return Planted(index, "shifted", right, wrong)
    return None


def _touches(interval: Interval, others: Sequence[Interval]) -> bool:
    return any(interval.overlap(other) for other in others)
