"""Many items at once, which is one step to undo.

A batch of named items is one transaction. A batch over the whole queue, however long that is, goes
in several, so that the saves of others come through; all of them are one step back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tsloop.errors import ReviewConflictError, ReviewError, ReviewInvalidError
from tsloop.review import listing, operations, tables
from tsloop.review.audit import note
from tsloop.review.content import check_content
from tsloop.review.database import Database, now_ms
from tsloop.review.decisions import Decisions, Effort, Restored
from tsloop.review.importing import Importer
from tsloop.review.items import content_at, get_row
from tsloop.review.material import Material
from tsloop.review.operations import Operation
from tsloop.review.people import User
from tsloop.review.replies import once

__all__ = ["Batches"]

CHUNK = 100
"""Items of the whole queue that are saved in one transaction."""


class Batches:
    """Changes many items together, and takes that back."""

    def __init__(
        self, database: Database, material: Material, decisions: Decisions, importer: Importer
    ) -> None:
        self._database = database
        self._material = material
        self._decisions = decisions
        self._importer = importer

    def apply(
        self,
        user: User,
        raw: Sequence[Mapping[str, Any]],
        *,
        seconds: float = 0.0,
        all_or_nothing: bool = True,
        key: str = "",
    ) -> tuple[dict[str, Any], bool]:
        """Many changes, one transaction; a share of accepted items is asked again, blind."""
        if len(raw) > self._material.config.max_batch:
            raise ReviewInvalidError(
                f"operations: {len(raw)} are more than review.max_batch "
                f"({self._material.config.max_batch}).",
                field="operations",
            )
        parsed = [operations.parse_operation(op) for op in raw]
        if len({op[0] for op in parsed}) != len(parsed):
            raise ReviewInvalidError("operations: an item may come only once.", field="operations")
        reply, replayed = self.change(
            user,
            parsed,
            ["batch", list(raw), all_or_nothing],
            seconds=seconds,
            all_or_nothing=all_or_nothing,
            key=key,
        )
        if not replayed:
            accepted = {op["item"] for op in raw if op.get("op") in ("accept", "add")}
            saved = [r["item"] for r in reply["results"] if r["status"] == "saved"]
            self._controls(reply["batch"], [i for i in saved if i in accepted])
        return {**reply, "audit": []}, replayed

    def count_queue(self, user: User, iteration: str, score: float) -> dict[str, Any]:
        """How many series and proposals a batch over the whole queue would accept, or reject."""
        counts = {verdict: {"series": 0, "proposals": 0} for verdict in ("accept", "reject")}
        with self._database.read() as connection:
            for row in listing.open_rows(connection, iteration, user):
                content = content_at(connection, row.id, row.revision)
                scores = [p["score"] or 0.0 for p in operations.undecided(row, content)]
                high = sum(value >= score for value in scores)
                for verdict, n in (("accept", high), ("reject", len(scores) - high)):
                    counts[verdict]["series"] += n > 0
                    counts[verdict]["proposals"] += n
        return {"score": score, **counts}

    def judge_queue(
        self,
        user: User,
        iteration: str,
        verdict: str,
        score: float,
        *,
        state: str | None = None,
        seconds: float = 0.0,
        key: str = "",
    ) -> tuple[dict[str, Any], bool]:
        """Accept from a score on, or reject below it, in every open series that is this user's.

        Killed half way, what was saved is in the batch, and undoing it takes that back.
        """
        change = operations.judged_by_score(verdict, score, state)
        request = ["queue", iteration, verdict, score, state]
        opened, replayed = once(self._database, user.name, key, request, lambda c: _open(c, user))
        batch_id = int(opened["batch"])
        refused = 0
        if not replayed:
            with self._database.read() as connection:
                found = listing.open_rows(connection, iteration, user)
            rows = [(row.id, row.revision, change) for row in found]
            share = Effort("batch", seconds / max(1, len(rows))).checked()
            refused = self._in_steps(user, rows, share, batch_id)
        changed = self._changed(batch_id)
        if not replayed:
            with self._database.write() as connection:
                note(connection, user.name, "batch", detail={**opened, "saved": len(changed)})
            if verdict == "accept":
                self._controls(batch_id, changed)
        return {"batch": batch_id, "saved": len(changed), "refused": refused}, replayed

    def _undo_in_steps(
        self, user: User, batch_id: int, changes: Sequence[Operation], key: str
    ) -> tuple[dict[str, Any], bool]:
        request = ["undo", batch_id]
        opened, replayed = once(
            self._database, user.name, key, request, lambda c: _open(c, user, batch_id)
        )
        back = int(opened["batch"])
        if not replayed:
            self._in_steps(user, changes, Effort("undo"), back)
        saved = len(self._changed(back))
        if not replayed:
            with self._database.write() as connection:
                note(connection, user.name, "undo", detail={"batch": back, "saved": saved})
        return {"batch": back, "results": [], "saved": saved}, replayed

    def _in_steps(
        self, user: User, changes: Sequence[Operation], share: Effort, batch_id: int
    ) -> int:
        """Change what can be changed; how many items somebody else was quicker with."""
        refused = 0
        for begin in range(0, len(changes), CHUNK):
            with self._database.write() as connection:
                for operation in changes[begin : begin + CHUNK]:
                    result = self._one(connection, user, operation, share, batch_id)
                    refused += result["status"] in ("conflict", "invalid")
        return refused

    def _changed(self, batch_id: int) -> list[int]:
        """The items of a batch."""
        query = sa.select(tables.revisions.c.item_id).distinct()
        with self._database.read() as connection:
            found = connection.execute(query.where(tables.revisions.c.batch_id == batch_id))
            return sorted(found.scalars())

    def _controls(self, batch_id: int, item_ids: Sequence[int]) -> None:
        """Nobody is told which items of a batch will come again."""
        chosen = operations.pick_controls(batch_id, item_ids, self._material.config.audit_share)
        if not chosen:
            return
        with self._database.write() as connection:
            rows = [get_row(connection, item_id) for item_id in chosen]
            self._importer.add_controls(connection, [r for r in rows if not r.blind])

    def undo(self, user: User, batch_id: int, key: str = "") -> tuple[dict[str, Any], bool]:
        """Take a batch back; items that changed since stay as they are, and are named.

        A batch over a long queue is taken back in several transactions, too.
        """
        changes = operations.undo_operations(self._database, batch_id)
        if len(changes) > CHUNK:
            return self._undo_in_steps(user, batch_id, changes, key)
        return self.change(
            user,
            changes,
            ["undo", batch_id],
            decision="undo",
            all_or_nothing=False,
            undoes=batch_id,
            key=key,
        )

    def change(
        self,
        user: User,
        changes: Sequence[Operation],
        request: Any,
        *,
        seconds: float = 0.0,
        decision: str = "batch",
        all_or_nothing: bool = True,
        undoes: int | None = None,
        key: str = "",
    ) -> tuple[dict[str, Any], bool]:
        """Change many items in one transaction. An operation: item, basis, and what to make of it.

        With ``all_or_nothing`` a single refusal saves nothing: a `ReviewConflictError` holds the
        results of all.
        """
        share = Effort(decision, seconds / max(1, len(changes))).checked()

        def act(connection: sa.Connection) -> dict[str, Any]:
            batch_id = int(_open(connection, user, undoes)["batch"])
            # In the order of their ids, so that two batches cannot wait for each other.
            order = sorted(range(len(changes)), key=lambda n: changes[n][0])
            results: list[Any] = [None] * len(changes)
            for number in order:
                results[number] = self._one(connection, user, changes[number], share, batch_id)
            refused = [r for r in results if r["status"] in ("conflict", "invalid")]
            if refused and all_or_nothing:
                raise ReviewConflictError(
                    f"Nothing was saved: {len(refused)} of {len(results)} items were changed "
                    "meanwhile, or do not take this.",
                    hint="Load them again.",
                    results=results,
                )
            saved = sum(r["status"] == "saved" for r in results)
            note(connection, user.name, decision, detail={"batch": batch_id, "saved": saved})
            return {"batch": batch_id, "results": results, "saved": saved}

        return once(self._database, user.name, key, request, act)

    def _one(
        self,
        connection: sa.Connection,
        user: User,
        operation: Operation,
        effort: Effort,
        batch_id: int,
    ) -> dict[str, Any]:
        item_id, basis, change = operation
        try:
            row = get_row(connection, item_id, lock=True)
            if row.revision != basis:
                return {
                    "item": item_id,
                    "status": "conflict",
                    "revision": row.revision,
                    "error": f"It is at revision {row.revision}, not {basis}.",
                }
            self._decisions.check_open(connection, row, user)
            before = content_at(connection, item_id, row.revision)
            raw = change(row, before)
            if raw is None:
                return {"item": item_id, "status": "unchanged", "revision": row.revision}
            restored = isinstance(raw, Restored)  # it was checked when it was saved
            content = (
                raw if restored else check_content(raw, self._decisions.frame(row, user), before)
            )
            reply = self._decisions.append(connection, row, user, content, effort, batch_id)
        except ReviewError as error:
            return {"item": item_id, "status": "invalid", "revision": basis, "error": str(error)}
        return {
            "item": item_id,
            "status": "saved",
            "revision": reply["revision"],
            "item_state": reply["item"],
        }


def _open(connection: sa.Connection, user: User, undoes: int | None = None) -> dict[str, Any]:
    row = {"user": user.name, "time_ms": now_ms(), "undoes": undoes}
    query = tables.batches.insert().values(**row).returning(tables.batches.c.id)
    return {"batch": int(connection.execute(query).scalar_one())}
