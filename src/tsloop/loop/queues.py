"""Review queues: what to look at next, one JSON line per series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tsloop.errors import AnnotationError
from tsloop.files import read_jsonl, write_jsonl
from tsloop.intervals import Detection

__all__ = ["LIKELY_LABEL_ERROR", "QueueItem", "read_queue", "write_queue"]

LIKELY_LABEL_ERROR = "likely_label_error"
"""Reason of an item that is labelled already: one of its labels looks wrong."""


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One row of a queue: the series, why it is in it, and the pre-annotation to correct.

    ``score`` is the sampler's, in [0, 1]; ``probability``, in (0, 1], that of having been chosen;
    ``clicks`` an upper estimate of the work to label it from nothing, from what the model sees.

    A series that is labelled already and asked about again has the ``revision`` of its record (0
    otherwise), its labels as the proposal, and in ``suspects`` the places to look at
    (`tsloop.loop.suspects.find.LabelSuspect`). It stands beside the pool: no estimate counts it.
    """

    rank: int
    series_id: str
    score: float
    reason: str
    probability: float
    proposal: Detection | None = None
    proposal_model: str | None = None
    clicks: float = 0.0
    revision: int = 0
    suspects: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        row: dict[str, Any] = {
            "rank": self.rank,
            "series_id": self.series_id,
            "score": self.score,
            "reason": self.reason,
            "probability": self.probability,
            "proposal": self.proposal.to_dict() if self.proposal is not None else None,
            "proposal_model": self.proposal_model,
            "clicks": self.clicks,
        }
        if self.revision:
            row |= {"revision": self.revision, "suspects": [dict(s) for s in self.suspects]}
        return row

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; an unknown or missing key is an error."""
        values = dict(data)
        try:
            if values["proposal"] is not None:
                values["proposal"] = Detection.from_dict(values["proposal"])
            values["suspects"] = tuple(values.get("suspects", ()))
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise AnnotationError(
                f"This is not a row of a queue: {error!r} in {data!r}."
            ) from error


def write_queue(path: Path, items: Iterable[QueueItem]) -> None:
    """Write a queue as JSON lines, in the order of the ranks."""
    write_jsonl(path, (item.to_dict() for item in sorted(items, key=lambda item: item.rank)))


def read_queue(path: Path) -> list[QueueItem]:
    """Read what `write_queue` wrote; a row that is not one is an error that names its line."""
    items = []
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            items.append(QueueItem.from_dict(row))
        except AnnotationError as error:
            raise AnnotationError(f"{path}, row {number}: {error}") from error
    return items
