"""What a pre-annotation costs the person who corrects it, in clicks.

2 for every missed event (draw it: its start and its end), 1 for every false one (delete it), 1 for
every edge of a found event that has to be moved, 1 for a wrong label where labels are counted
(not where the truth itself only says that something is wrong).
"Saved" compares this with labelling from nothing, 2 clicks an event: 1 is a perfect
pre-annotation, 0 one that is as much work as none, and below 0 it costs more than it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tsloop.evaluation.matching import Matching, match_events
from tsloop.intervals import Interval

__all__ = ["EDGE_TOLERANCE", "Clicks", "count_clicks", "edges_off"]

EDGE_TOLERANCE = 0.1
"""An edge may be off by this share of the true event's length, and always by one row."""

UNSPECIFIC = "anomaly"
"""The label of who does not tell types apart: whatever is proposed beside it is not wrong."""


@dataclass(frozen=True, slots=True)
class Clicks:
    """Counts, not clicks: missed events, false events, edges to move, labels to change."""

    missed: int = 0
    false: int = 0
    edges: int = 0
    labels: int = 0
    n_events: int = 0

    @property
    def total(self) -> int:
        """Clicks from the pre-annotation to the truth."""
        return 2 * self.missed + self.false + self.edges + self.labels

    @property
    def saved(self) -> float | None:
        """``1 - total / (2 * n_events)``; ``None`` without an event (undefined: no positives)."""
        return 1.0 - self.total / (2 * self.n_events) if self.n_events else None

    def __add__(self, other: Clicks) -> Clicks:
        return Clicks(
            self.missed + other.missed,
            self.false + other.false,
            self.edges + other.edges,
            self.labels + other.labels,
            self.n_events + other.n_events,
        )

    @classmethod
    def untouched(cls, truth: Sequence[Interval]) -> Self:
        """Nothing was proposed (or the detector failed): every event has to be drawn."""
        return cls(missed=len(truth), n_events=len(truth))


def edges_off(truth: Interval, predicted: Interval) -> int:
    """How many edges (0 to 2) lie off by more than ``max(1 row, 10 % of the true length)``."""
    slack = max(1.0, EDGE_TOLERANCE * len(truth))
    return int(abs(truth.start - predicted.start) > slack) + int(
        abs(truth.end - predicted.end) > slack
    )


def count_clicks(
    truth: Sequence[Interval],
    predicted: Sequence[Interval],
    *,
    labels: bool = False,
    matching: Matching | None = None,
) -> Clicks:
    """Correction cost of ``predicted``; ``labels`` also counts a click for every wrong label.

    ``matching`` may be given where it is known: the one at any overlap.
    """
    found = match_events(truth, predicted) if matching is None else matching
    pairs = [(truth[t], predicted[p]) for t, p in found.pairs]
    return Clicks(
        missed=len(found.missed),
        false=len(found.false),
        edges=sum(edges_off(t, p) for t, p in pairs),
        labels=sum(t.label not in (p.label, UNSPECIFIC) for t, p in pairs) if labels else 0,
        n_events=len(truth),
    )
