"""Pre-annotations enter the store: as often as one likes, and never over a person's work.

Until somebody has saved an item, a new queue may change what is asked; afterwards the question
stays as it was answered. Items that a new queue no longer asks for are put aside, unless they were
answered.
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa

from tsloop.errors import ReviewNotFoundError
from tsloop.files import dump_json, sha256_file
from tsloop.intervals import Detection
from tsloop.review import tables
from tsloop.review.audit import note
from tsloop.review.database import Database
from tsloop.review.items import LABELS
from tsloop.review.material import Material
from tsloop.review.questions import Questions, Row
from tsloop.series.types import Role

__all__ = ["Importer"]

_I = tables.items.c
REVISION = 1
"""Raised when the same files give other items."""
_ASKED = (
    "series_sha256", "n_rows", "series_group", "unit", "zone", "rank", "reason", "score",
    "probability", "blind", "active", "model", "proposals", "planted", "question",
)  # fmt: skip
"""What a new queue may change of an item that nobody has saved yet."""


class Importer:
    """Fills the store from the queue, the predictions and the gold series of a project."""

    def __init__(self, database: Database, material: Material) -> None:
        self._database = database
        self._material = material
        self._questions = Questions(material)

    def refresh(self, iteration: str, user: str) -> dict[str, int]:
        """Bring the items of an iteration up to its queue; what came, changed and stayed."""
        token = self._token(iteration)
        if (kept := self._unchanged(iteration, token)) is not None:
            return {"items": kept, "new": 0, "refreshed": 0, "kept": kept}
        rows = list(self._questions.of_iteration(iteration))
        seen: set[tuple[str, str]] = set()
        counts = {"items": len(rows), "new": 0, "refreshed": 0, "kept": 0}
        with self._database.write() as connection:
            held = {
                (row.kind, row.series_id): row
                for row in connection.execute(
                    sa.select(tables.items).where(_I.iteration == iteration, _I.number == 0)
                )
            }
            new = [row for row in rows if (row["kind"], row["series_id"]) not in held]
            counts["new"] = self._database.insert_all_missing(connection, tables.items, new)
            for row in rows:
                place = (row["kind"], row["series_id"])
                seen.add(place)
                if place in held:
                    counts[self._update(connection, held[place], row)] += 1
            gone = [
                row.id
                for place, row in held.items()
                if place not in seen and row.revision == 0 and row.kind != "correction"
            ]
            if gone:
                connection.execute(
                    tables.items.update().where(_I.id.in_(gone)).values(active=False)
                )
            if counts["new"] or counts["refreshed"] or gone:
                note(connection, user, "imported", detail={"iteration": iteration, **counts})
            self._remember(connection, iteration, token)
        return counts

    def _token(self, iteration: str) -> str:
        """Changes whenever the items of an iteration might."""
        project, config = self._material.project, self._material.config
        parent = self._material.parent(iteration)
        files = [project.queue(parent), project.series / "manifest.json"]
        files += [
            project.predictions(parent, name) / "detections.jsonl"
            for name in self._material.variants(parent)
        ]
        hashes = [sha256_file(path) if path.exists() else "" for path in files]
        shares = [config.double_share, config.planted_share, config.gold_items, REVISION]
        return hashlib.sha256(dump_json([hashes, shares]).encode()).hexdigest()

    def _unchanged(self, iteration: str, token: str) -> int | None:
        """How many items there are, where the last import was made of the same."""
        with self._database.read() as connection:
            row = connection.execute(
                sa.select(tables.meta.c.value).where(tables.meta.c.key == f"import {iteration}")
            ).first()
            if row is None or row.value != token:
                return None
            query = sa.select(sa.func.count()).select_from(tables.items)
            wanted = (_I.iteration == iteration, _I.active, _I.number == 0)
            return int(connection.execute(query.where(*wanted)).scalar_one())

    def _remember(self, connection: sa.Connection, iteration: str, token: str) -> None:
        row = {"key": f"import {iteration}", "value": token}
        if not self._database.insert_missing(connection, tables.meta, row):
            connection.execute(
                tables.meta.update().where(tables.meta.c.key == row["key"]).values(value=token)
            )

    def _update(self, connection: sa.Connection, held: Any, row: Row) -> str:
        """``kept`` where somebody answered already or nothing is new, else ``refreshed``."""
        if held.revision or all(getattr(held, key) == row[key] for key in _ASKED):
            return "kept"
        values = {key: row[key] for key in _ASKED}
        untouched = sa.and_(_I.id == held.id, _I.revision == 0)
        done = connection.execute(tables.items.update().where(untouched).values(**values))
        return "refreshed" if done.rowcount else "kept"

    def add_controls(self, connection: sa.Connection, rows: list[Any]) -> list[int]:
        """Show items of a batch once more, blind, at the end of the queue; their new ids."""
        made = []
        for row in rows:
            entry = self._material.store.entry(row.series_id)
            control = self._questions.blank(row.iteration, "control", entry)
            control |= {"number": row.revision, "blind": True, "rank": row.rank + 1_000_000.0}
            if self._database.insert_missing(connection, tables.items, control):
                made.append(
                    connection.execute(
                        sa.select(_I.id).where(
                            _I.iteration == row.iteration,
                            _I.kind == "control",
                            _I.series_id == row.series_id,
                            _I.number == row.revision,
                        )
                    ).scalar_one()
                )
        return made

    def add_correction(self, iteration: str, series_id: str, record: Any, user: str) -> int:
        """Ask about a series again in an open iteration; proposals are its labels of now.

        The same item again where the iteration asks about it already.
        """
        entry = self._material.store.entry(series_id)
        if entry.role is not Role.POOL:
            raise ReviewNotFoundError(
                f"Series {series_id!r} is {entry.role}, so it is not labelled for training."
            )
        intervals = record.intervals if record is not None else ()
        fits = record is None or record.series_sha256 == entry.sha256
        detection = Detection.of(intervals if fits else ())
        with self._database.write() as connection:
            found = connection.execute(
                sa.select(_I.id).where(
                    _I.iteration == iteration,
                    _I.series_id == series_id,
                    _I.kind.in_(("queue", "correction")),
                    _I.active,
                )
            ).first()
            if found is not None:
                return int(found.id)
            last = connection.execute(
                sa.select(sa.func.max(_I.rank)).where(
                    _I.iteration == iteration, _I.kind.in_(("queue", "correction"))
                )
            ).scalar()
            row = self._questions.blank(iteration, "correction", entry) | {
                "rank": float(last or 0.0) + 1.0,
                "proposals": self._questions.proposals(detection, LABELS, entry),
            }
            self._database.insert_missing(connection, tables.items, row)
            made = connection.execute(
                sa.select(_I.id).where(
                    _I.iteration == iteration,
                    _I.kind == "correction",
                    _I.series_id == series_id,
                )
            ).scalar_one()
            connection.execute(tables.items.update().where(_I.id == made).values(active=True))
            note(connection, user, "correction asked", int(made), {"series": series_id})
        return int(made)
