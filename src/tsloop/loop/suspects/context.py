"""What other labels say of a place: those of its series, and those of its group at that time.

An event of a machine shows in several of its series. A label that stands alone among ten series of
one machine is odd, and so is the one series in which it lacks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tsloop.intervals import Interval
from tsloop.loop.suspects.evidence import Evidence

__all__ = ["Context"]

Floats = npt.NDArray[np.float64]


class Context:
    """Features of places under one set of labels, which are in step with the evidence."""

    def __init__(self, evidence: Sequence[Evidence], labels: Sequence[Sequence[Interval]]) -> None:
        self._evidence = evidence
        self._labels = labels
        self._group: dict[str, list[int]] = defaultdict(list)
        for index, item in enumerate(evidence):
            self._group[item.example.series.group].append(index)
        self._times = [_spans(item, some) for item, some in zip(evidence, labels, strict=True)]

    def row(self, series: int, interval: Interval) -> Floats:
        """Other labels, rows to the nearest, number of companions, share of them labelled there.

        Companions are the other series of the group that cover the time of the place.
        """
        stamps = self._evidence[series].example.series.timestamps
        start, end = int(stamps[interval.start]), int(stamps[interval.end])
        covering = labelled = 0
        for other in self._group[self._evidence[series].example.series.group]:
            theirs = self._evidence[other].example.series.timestamps
            if other == series or theirs[0] > start or theirs[-1] < end:
                continue
            covering += 1
            spans = self._times[other]
            labelled += bool(((spans[:, 0] <= end) & (spans[:, 1] >= start)).any())
        others = [i for i in self._labels[series] if i is not interval]
        apart = min((_apart(interval, i) for i in others), default=len(stamps))
        share = labelled / covering if covering else 0.0
        return np.array([float(len(others)), np.log1p(apart), np.log1p(covering), share])


def _spans(item: Evidence, labels: Sequence[Interval]) -> npt.NDArray[np.int64]:
    """First and last timestamps of labels, shape ``(n, 2)``."""
    stamps = item.example.series.timestamps
    pairs = [(int(stamps[i.start]), int(stamps[i.end])) for i in labels]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _apart(one: Interval, other: Interval) -> int:
    return max(0, max(one.start, other.start) - min(one.end, other.end))
