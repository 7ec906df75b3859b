"""Labelled series that go into the review queue again, because a label in them looks wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Detection
from tsloop.loop.queues import LIKELY_LABEL_ERROR, QueueItem
from tsloop.loop.suspects.find import LabelSuspect

__all__ = ["MAX_PLACES", "MIN_CHANCE", "add_rechecks", "rechecks"]

MIN_CHANCE = 0.4
"""A label must be this likely to be wrong before anybody is asked about it again."""
MAX_PLACES = 5
"""So many places of one series are named."""


def rechecks(
    suspects: Sequence[LabelSuspect], records: Mapping[str, AnnotationRecord], budget: int
) -> list[QueueItem]:
    """Up to ``budget`` series with their most suspicious places, the most suspicious first.

    The proposal is what the series is labelled with now. ``suspects`` come as `find_suspects` ranks
    them. Nobody is asked twice: a record that answers such a question stays as it is.
    """
    places: dict[str, list[LabelSuspect]] = {}
    for suspect in suspects:
        if suspect.score >= MIN_CHANCE and not _was_asked(records[suspect.series_id]):
            places.setdefault(suspect.series_id, []).append(suspect)
    items = []
    for rank, (series_id, some) in enumerate(list(places.items())[:budget], start=1):
        record = records[series_id]
        items.append(
            QueueItem(
                rank=rank,
                series_id=series_id,
                score=round(some[0].score, 6),
                reason=LIKELY_LABEL_ERROR,
                probability=1.0,
                proposal=Detection.of(record.intervals),
                clicks=2.0 * len(some[:MAX_PLACES]),
                revision=record.revision,
                suspects=tuple(suspect.to_dict() for suspect in some[:MAX_PLACES]),
            )
        )
    return items


def _was_asked(record: AnnotationRecord) -> bool:
    return (record.queue or {}).get("reason") == LIKELY_LABEL_ERROR


def add_rechecks(again: Sequence[QueueItem], items: Sequence[QueueItem]) -> list[QueueItem]:
    """One queue: mending a label is the cheapest work there is, so it comes first."""
    return [*again, *(replace(item, rank=item.rank + len(again)) for item in items)]
