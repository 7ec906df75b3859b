"""Scores of labelled series from models that were not trained on their group.

Thresholds that are chosen on scores of series which the model has learned would be too high.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tsloop.annotations.examples import Example
from tsloop.chatts.folds import deal_folds
from tsloop.series.types import Series

__all__ = ["FitFold", "halves", "out_of_fold"]

Floats = npt.NDArray[np.float64]
FitFold = Callable[[int, Sequence[Example]], Callable[[Series], Floats | None]]
"""Learns from the examples of the other folds than this number; the result gives values per row of
a series, or ``None`` where it has nothing to say of it."""


def out_of_fold(
    examples: Sequence[Example],
    folds: int,
    seed: int,
    fit_fold: FitFold,
    known: Mapping[str, int] | None = None,
) -> tuple[list[tuple[Example, Floats]], dict[str, int]]:
    """Each example with its values, fold by fold, and the fold of each group.

    Examples without values are left out. Groups in ``known`` keep their fold, and every known fold
    learns. With one group only, and none known, each series is cut in two and the halves are held
    out in turn; then no group has a fold.
    """
    groups = [example.series.group for example in examples]
    known = known or {}
    whole = len(set(groups)) > 1 or bool(known)
    if not whole:
        examples, groups = halves(examples)
    events = [len(example.intervals) for example in examples]
    dealt = deal_folds(groups, events, folds, seed, known)
    found: list[tuple[Example, Floats]] = []
    for fold in range(max(*dealt, *known.values()) + 1):
        scorer = fit_fold(fold, [e for e, f in zip(examples, dealt, strict=True) if f != fold])
        for example in (e for e, f in zip(examples, dealt, strict=True) if f == fold):
            values = scorer(example.series)
            if values is not None:
                found.append((example, values))
    return found, dict(zip(groups, dealt, strict=True)) if whole else {}


def halves(examples: Sequence[Example]) -> tuple[list[Example], list[str]]:
    """Both halves of every example; an event across the cut goes to the half with more of it."""
    parts: list[Example] = []
    names: list[str] = []
    for example in examples:
        n = len(example.series)
        cut = n // 2
        for interval in example.intervals:
            if interval.start < cut <= interval.end:
                early = 2 * cut > interval.start + interval.end
                cut = interval.end + 1 if early else interval.start
        for name, low, high in (("first", 0, cut), ("second", cut, n)):
            if high > low:
                inside = tuple(
                    i.replace(start=i.start - low, end=i.end - low)
                    for i in example.intervals
                    if low <= i.start < high
                )
                part = Example(
                    example.series.window(low, high),
                    inside,
                    example.split,
                    example.replay,
                    example.weight,
                )
                parts.append(part)
                names.append(name)
    return parts, names
