"""Who works on what, and who judged it: locks that expire, assignments, approvals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tsloop.errors import (
    ReviewConflictError,
    ReviewForbiddenError,
    ReviewInvalidError,
    ReviewLockedError,
    ReviewNotFoundError,
)
from tsloop.review import tables
from tsloop.review.audit import note
from tsloop.review.content import Content, is_decided
from tsloop.review.database import Database, now_ms
from tsloop.review.decisions import Decisions, Effort, Restored
from tsloop.review.items import check_may_see, get_row, holder_of, queue_item
from tsloop.review.people import User, require
from tsloop.review.replies import once

__all__ = ["Holding"]

_I = tables.items.c
VERDICTS = ("approved", "returned")


class Holding:
    """Locks tell others that somebody is at work; what protects decisions are revisions."""

    def __init__(self, database: Database, decisions: Decisions) -> None:
        self._database = database
        self._decisions = decisions

    def lock(self, user: User, item_id: int, seconds: int) -> dict[str, Any]:
        """Hold an item, or hold it longer; `ReviewLockedError` where somebody else does."""
        now = now_ms()
        free = sa.or_(_I.lock_user.is_(None), _I.lock_user == user.name, _I.lock_until_ms < now)
        with self._database.write() as connection:
            row = get_row(connection, item_id, lock=True)
            check_may_see(connection, row, user)
            done = connection.execute(
                tables.items.update()
                .where(_I.id == item_id, free)
                .values(lock_user=user.name, lock_until_ms=now + 1000 * seconds)
            )
            row = get_row(connection, item_id)
        holder = holder_of(row, user)
        if not done.rowcount or holder is None:
            raise ReviewLockedError(
                f"{row.lock_user} is working on {row.series_id!r}.",
                hint="Take another one; it is free again when nobody renews it.",
                holder=holder,
            )
        return holder

    def unlock(self, user: User, item_id: int) -> None:
        """Let go of an item; one that somebody else holds stays so, but for an admin."""
        with self._database.write() as connection:
            get_row(connection, item_id)
            query = tables.items.update().where(_I.id == item_id)
            if not user.may("admin"):
                query = query.where(_I.lock_user == user.name)
            connection.execute(query.values(lock_user=None, lock_until_ms=None))

    def assign(self, by: User, item_id: int, name: str | None) -> dict[str, Any]:
        """Give an item to somebody (``None``: nobody); annotators only take and give back."""
        with self._database.write() as connection:
            row = get_row(connection, item_id, lock=True)
            if name not in (by.name, None) or row.assignee not in (by.name, None):
                require(by, "reviewer")
            if name is not None:
                known = connection.execute(
                    sa.select(tables.users.c.name).where(
                        tables.users.c.name == name, tables.users.c.active
                    )
                ).first()
                if known is None:
                    raise ReviewNotFoundError(f"There is no user {name[:80]!r}.")
            connection.execute(tables.items.update().where(_I.id == item_id).values(assignee=name))
            note(connection, by.name, "assigned", item_id, {"to": name})
            return queue_item(get_row(connection, item_id), by)

    def judge(
        self,
        by: User,
        item_id: int,
        revision: int,
        verdict: str,
        comment: str = "",
        *,
        alone: bool = False,
        key: str = "",
    ) -> tuple[dict[str, Any], bool]:
        """Approve a revision, or return it to be mended; it holds for this revision only.

        Nobody judges their own work, but an admin who works ``alone`` on this machine.
        """
        require(by, "reviewer")
        if verdict not in VERDICTS:
            raise ReviewInvalidError(
                f"verdict: {verdict!r} must be approved or returned.", field="verdict"
            )

        def act(connection: sa.Connection) -> dict[str, Any]:
            row = get_row(connection, item_id, lock=True)
            if row.revision != revision or not revision:
                raise ReviewConflictError(
                    f"Item {item_id} is at revision {row.revision}, not {revision}.",
                    hint="Look at what is there now.",
                )
            if row.author == by.name and not (alone and by.may("admin")):
                raise ReviewForbiddenError(
                    f"{by.name} cannot judge their own work.", hint="Let another reviewer do it."
                )
            if verdict == "approved" and not is_decided({"state": row.state}):
                raise ReviewInvalidError(
                    f"state: {row.state!r} cannot be approved; it is not done.", field="verdict"
                )
            approval = {
                "revision": revision,
                "verdict": verdict,
                "user": by.name,
                "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                "comment": comment,
            }
            connection.execute(
                tables.items.update().where(_I.id == item_id).values(approval=approval)
            )
            note(connection, by.name, verdict, item_id, {"revision": revision})
            if verdict == "returned":
                self._decisions.again(connection, row, by, _returned, Effort("returned"))
            return queue_item(get_row(connection, item_id), by)

        return once(
            self._database, by.name, key, ["judge", item_id, revision, verdict, comment], act
        )


def _returned(content: Content) -> Content:
    return Restored({**content, "state": "needs_fix"})
