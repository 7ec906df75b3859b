"""Saving what people decide: every decision is a revision, and names the one that it started from.

A save from an old revision is refused with both versions and their common base; nothing is merged
silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tsloop.errors import (
    ReviewConflictError,
    ReviewInvalidError,
    ReviewLockedError,
)
from tsloop.review import tables
from tsloop.review.audit import note
from tsloop.review.content import MAX_STEPS_NAME, Content, Frame, check_content
from tsloop.review.database import Database, now_ms
from tsloop.review.items import (
    check_may_see,
    content_at,
    content_of,
    get_row,
    holder_of,
    queue_item,
)
from tsloop.review.material import Material
from tsloop.review.people import User
from tsloop.review.replies import once

__all__ = ["Decisions", "Effort", "Restored"]

MAX_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Effort:
    """What a decision was and what it cost; the page counts active seconds, keys and clicks."""

    decision: str = "save"
    seconds: float = 0.0
    keys: int = 0
    clicks: int = 0

    def checked(self) -> Effort:
        """Within what one decision can be."""
        if not self.decision or len(self.decision) > MAX_STEPS_NAME:
            raise ReviewInvalidError(
                f"decision: must have 1 to {MAX_STEPS_NAME} characters.", field="decision"
            )
        # `not (…)` also refuses NaN.
        if not 0.0 <= self.seconds <= MAX_SECONDS or min(self.keys, self.clicks) < 0:
            raise ReviewInvalidError(
                "seconds, keys and clicks: must not be negative, nor more than a day.",
                field="seconds",
            )
        return self


class Restored(Content):
    """Content of an earlier revision, to be said again as it was."""


class Decisions:
    """Writes revisions."""

    def __init__(self, database: Database, material: Material) -> None:
        self._database = database
        self._material = material

    def save(
        self,
        user: User,
        item_id: int,
        basis: int,
        raw: Any,
        effort: Effort,
        *,
        key: str = "",
    ) -> tuple[dict[str, Any], bool]:
        """Save content that started from revision ``basis``; the reply, and whether it is old.

        Raises `ReviewConflictError` where somebody saved meanwhile, `ReviewLockedError` where locks
        are enforced and somebody else holds the item, `ReviewInvalidError` for impossible content.
        """
        effort.checked()
        request = ["save", item_id, basis, raw, effort.decision]

        def act(connection: sa.Connection) -> dict[str, Any]:
            row = get_row(connection, item_id, lock=True)
            if row.revision != basis:
                raise self._conflict(connection, row, basis, raw)
            self.check_open(connection, row, user)
            before = content_at(connection, item_id, row.revision)
            content = check_content(raw, self.frame(row, user), before)
            return self.append(connection, row, user, content, effort)

        try:
            return once(self._database, user.name, key, request, act)
        except exc.IntegrityError:
            # The last guard: the number of the revision is unique, whatever was locked.
            with self._database.read() as connection:
                row = get_row(connection, item_id)
                raise self._conflict(connection, row, basis, raw) from None

    def again(
        self,
        connection: sa.Connection,
        row: Any,
        user: User,
        change: Callable[[Content], Content],
        effort: Effort,
    ) -> dict[str, Any]:
        """The content of an item with a change that needs no check, in a transaction at hand."""
        content = change(content_at(connection, row.id, row.revision))
        reply = self.append(connection, row, user, content, effort)
        # Who labelled it stays who labelled it.
        connection.execute(
            tables.items.update().where(tables.items.c.id == row.id).values(author=row.author)
        )
        return reply

    def append(
        self,
        connection: sa.Connection,
        row: Any,
        user: User,
        content: Content,
        effort: Effort,
        batch_id: int | None = None,
    ) -> dict[str, Any]:
        """The next revision of an item, and the item's copy of it."""
        revision, time_ms = row.revision + 1, now_ms()
        connection.execute(
            tables.revisions.insert().values(
                item_id=row.id,
                revision=revision,
                basis_revision=row.revision,
                author=user.name,
                time_ms=time_ms,
                decision=effort.decision,
                seconds=float(effort.seconds),
                n_keys=effort.keys,
                n_clicks=effort.clicks,
                model=row.model,
                model_sha256=self._material.model_sha256(row.model),
                content=content,
                batch_id=batch_id,
            )
        )
        connection.execute(
            tables.items.update()
            .where(tables.items.c.id == row.id)
            .values(
                revision=revision,
                state=content["state"],
                result=content["result"],
                n_intervals=len(content["intervals"]),
                unsure=content["unsure"],
                author=user.name,
                updated_ms=time_ms,
            )
        )
        note(
            connection,
            user.name,
            effort.decision,
            row.id,
            {"revision": revision, "state": content["state"]},
        )
        saved = get_row(connection, row.id)
        return {
            "id": row.id,
            "revision": revision,
            "content": content_of(content),
            "item": queue_item(saved, user),
        }

    def check_open(self, connection: sa.Connection, row: Any, user: User) -> None:
        """Whether this user may change this item now."""
        check_may_see(connection, row, user)
        if row.iteration in self._material.iterations and self._material.is_closed(row.iteration):
            raise ReviewConflictError(
                f"{row.iteration} is closed: other iterations build on what it published.",
                hint="Correct the series in the open iteration: POST /api/items.",
                code="iteration_closed",
            )
        entry = self._material.store.entry(row.series_id)
        if entry.sha256 != row.series_sha256:
            raise ReviewConflictError(
                f"Series {row.series_id!r} has other values now than when it was looked at.",
                hint="Correct it in the next iteration; its labels are found again by time.",
                code="series_changed",
            )
        holder = holder_of(row, user)
        if holder and not holder["mine"] and self._material.config.enforce_locks:
            raise ReviewLockedError(
                f"{holder['user']} is working on {row.series_id!r}.",
                hint="Take another one, or ask.",
                holder=holder,
            )

    def frame(self, row: Any, user: User) -> Frame:
        """What content of this item has to fit."""
        config = self._material.config
        return Frame(
            row.n_rows,
            {} if row.blind else {p["id"]: p for p in row.proposals},
            self._material.label_set,
            lambda rows: self._material.times(row.series_id, rows),
            user.name,
            datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            config.max_intervals,
            config.max_comment,
        )

    def _conflict(
        self, connection: sa.Connection, row: Any, basis: int, raw: Any
    ) -> ReviewConflictError:
        """Both versions, and what both started from."""
        theirs = content_at(connection, row.id, row.revision)
        known = 0 <= basis <= row.revision
        base = content_at(connection, row.id, basis) if known else None
        mine: Mapping[str, Any] | None = raw if isinstance(raw, Mapping) else None
        return ReviewConflictError(
            f"Item {row.id} is at revision {row.revision}; yours started from {basis}.",
            hint="Compare both, then save on top of the newer one.",
            yours={"base": basis, "content": mine},
            theirs={
                "revision": row.revision,
                "content": content_of(theirs),
                "author": row.author,
                "time_ms": row.updated_ms,
            },
            base={"revision": basis, "content": content_of(base)} if base is not None else None,
        )
