"""What an iteration asks people: rows for the store, made of queue, predictions and gold series."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tsloop.annotations.gold import read_gold
from tsloop.intervals import Detection, Interval, Status
from tsloop.loop.queues import QueueItem
from tsloop.review.config import ReviewConfig
from tsloop.review.content import EMPTY
from tsloop.review.items import LABELS
from tsloop.review.material import Material, series_key
from tsloop.review.planting import plant
from tsloop.series.store import SeriesEntry
from tsloop.series.types import Role

if TYPE_CHECKING:
    from tsloop.detectors.predictions import PredictionReader

__all__ = ["Questions", "Row"]

Row = dict[str, Any]


class Questions:
    """Makes rows of the table of items; the same files give the same rows."""

    def __init__(self, material: Material) -> None:
        self._material = material

    def of_iteration(self, iteration: str) -> Iterator[Row]:
        """All that is asked, in the order of the queue, then gold."""
        config = self._material.config
        queue = self._material.queue(iteration)
        parent = self._material.parent(iteration)
        models = [f"{parent}/{variant}" for variant in self._material.variants(parent)]
        readers = {model: self._material.reader(model) for model in models}
        for item in queue:
            row = self._queue_row(iteration, readers, item, config)
            yield row
            if (
                not item.revision
                and _draw("second", iteration, item.series_id) < config.double_share
            ):
                yield self._blind(row, "second", row["rank"] + 0.25)
        yield from self._gold(iteration, len(queue), config.gold_items)

    def _queue_row(
        self,
        iteration: str,
        readers: Mapping[str, PredictionReader | None],
        item: QueueItem,
        config: ReviewConfig,
    ) -> Row:
        entry = self._material.store.entry(item.series_id)
        model = item.proposal_model if not item.revision else None
        proposals = self.proposals(item.proposal, model or LABELS, entry)
        if not item.revision:
            for other, reader in readers.items():
                if other != model and reader and reader.sha256.get(entry.id) == entry.sha256:
                    proposals += self.proposals(reader.detections[entry.id], other, entry)
        row = self.blank(iteration, "queue", entry) | {
            "rank": float(item.rank),
            "reason": item.reason,
            "score": item.score,
            "probability": item.probability,
            "model": model,
            "question": item.to_dict(),
        }
        if model and _draw("planted", iteration, item.series_id) < config.planted_share:
            row["planted"], proposals = self._planted(iteration, item, model, entry, proposals)
        return row | {"proposals": proposals}

    def _planted(
        self,
        iteration: str,
        item: QueueItem,
        model: str,
        entry: SeriesEntry,
        proposals: list[Row],
    ) -> tuple[str | None, list[Row]]:
        """The proposals with a wrong one among them, and its id; nothing else tells it."""
        scores = self._material.scores(model, entry.id)
        labels = self._material.label_set.ids
        seed = zlib.crc32(f"{iteration} {item.series_id}".encode())
        own = [p for p in proposals if p["model"] == model]
        found = plant(scores, entry.n_rows, own, labels, np.random.default_rng(seed))
        if found is None:
            return None, proposals
        true = item.proposal.intervals if item.proposal is not None else ()
        mixed = self.proposals(Detection.of([*true, found]), model, entry)
        place = (found.start, found.end)
        planted = next(p["id"] for p in mixed if (p["start"], p["end"]) == place)
        return planted, [*mixed, *(p for p in proposals if p["model"] != model)]

    def proposals(self, detection: Detection | None, model: str, entry: SeriesEntry) -> list[Row]:
        """Proposals with ids that the same prediction always gives."""
        if detection is None or detection.status is not Status.OK:
            return []
        inside = [i for i in detection.intervals if i.end < entry.n_rows]
        return [_proposal(i, f"{model}:{number}", model) for number, i in enumerate(inside)]

    def _gold(self, iteration: str, n_queue: int, budget: int) -> Iterator[Row]:
        """Gold series that nobody labelled yet, spread over the queue."""
        if not budget:
            return
        path = self._material.project.labels("gold")
        known = read_gold(path).records if path.exists() else {}
        store = self._material.store
        free = [i for i in store.ids(Role.GOLD) if i not in known]
        chosen = sorted(free, key=lambda i: (_draw("gold", "", i), i))[:budget]
        for number, series_id in enumerate(chosen):
            row = self.blank(iteration, "gold", store.entry(series_id))
            yield self._blind(row, "gold", (number + 0.5) * n_queue / len(chosen) + 0.5)

    def _blind(self, row: Row, kind: str, rank: float) -> Row:
        more = {"kind": kind, "rank": rank, "blind": True, "proposals": [], "model": None}
        question = row["question"]
        if question is not None:
            question = {**question, "proposal": None, "proposal_model": None}
        reason = kind if kind == "gold" else row["reason"]
        return row | more | {"planted": None, "question": question, "reason": reason}

    def blank(self, iteration: str, kind: str, entry: SeriesEntry) -> Row:
        """A row that nobody has touched, without proposals."""
        return {
            "iteration": iteration,
            "kind": kind,
            "series_id": entry.id,
            "number": 0,
            "series_key": series_key(entry.id),
            "series_sha256": entry.sha256,
            "n_rows": entry.n_rows,
            "series_group": entry.group,
            "unit": entry.unit,
            "zone": entry.zone,
            "rank": 0.0,
            "reason": kind,
            "score": 0.0,
            "probability": 1.0,
            "blind": False,
            "active": True,
            "model": None,
            "proposals": [],
            "planted": None,
            "question": None,
            "revision": 0,
            "state": EMPTY["state"],
            "result": None,
            "n_intervals": 0,
            "unsure": False,
        }


def _proposal(interval: Interval, proposal_id: str, model: str) -> Row:
    proposal = {
        "id": proposal_id,
        "model": model,
        "start": interval.start,
        "end": interval.end,
        "label": interval.label,
        "score": interval.score,
        "reason": interval.reason,
    }
    if model == LABELS:  # confirming a label does not change where it came from
        proposal["basis"] = str(interval.basis or "human")
    return proposal


def _draw(what: str, iteration: str, series_id: str) -> float:
    """A number in [0, 1) that the same series always gets."""
    digest = hashlib.sha256(f"{what}\0{iteration}\0{series_id}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2.0**56
