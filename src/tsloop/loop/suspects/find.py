"""From the labels of a snapshot to the list of those that look wrong, by series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.annotations.examples import Example
from tsloop.annotations.fitting import SeriesLookup
from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Interval
from tsloop.loop.suspects.evidence import DEFAULT_DETECTORS, gather
from tsloop.loop.suspects.ranking import rank_suspects

__all__ = ["KINDS", "MIN_INTERVALS", "MIN_SERIES", "LabelSuspect", "can_judge", "find_suspects"]

MIN_SERIES = 6
MIN_INTERVALS = 20
"""With fewer labels there is nothing to rehearse on."""

KINDS = {
    "spurious": "a label, but the detectors see nothing there",
    "shifted": "the event seems to lie beside the label",
    "missed": "no label, but it looks like what is labelled elsewhere",
}


@dataclass(frozen=True, slots=True)
class LabelSuspect:
    """A place in a labelled series to look at again; the fields are those of `Suspect`."""

    series_id: str
    interval: Interval
    kind: str
    score: float
    better: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and tables."""
        row: dict[str, Any] = {
            "series_id": self.series_id,
            "kind": self.kind,
            "start": self.interval.start,
            "end": self.interval.end,
            "label": "" if self.kind == "missed" else self.interval.label,
            "score": round(self.score, 4),
        }
        if self.better is not None:
            row |= {"better_start": self.better.start, "better_end": self.better.end}
        return row


def can_judge(records: Mapping[str, AnnotationRecord]) -> bool:
    """Whether there are enough labels to tell odd ones from the rest."""
    n_intervals = sum(len(record.intervals) for record in records.values())
    return len(records) >= MIN_SERIES and n_intervals >= MIN_INTERVALS


def find_suspects(
    records: Mapping[str, AnnotationRecord],
    store: SeriesLookup,
    *,
    detectors: Sequence[str] = DEFAULT_DETECTORS,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[LabelSuspect]:
    """Every label and every unlabelled event-like stretch, the most suspicious first.

    ``records`` (series id → record) are in rows of the stored series, as those of a snapshot.
    Series that a detector cannot score are left out; with too few labels (`can_judge`) the list is
    empty.
    """
    if not can_judge(records):
        return []
    examples = [Example(store[name], record.intervals) for name, record in sorted(records.items())]
    evidence = gather(examples, detectors=detectors, seed=seed, progress=progress)
    ids = [item.example.series.id for item in evidence]
    return [
        LabelSuspect(ids[s.series], s.interval, s.kind, s.score, s.better)
        for s in rank_suspects(evidence, seed=seed)
    ]
