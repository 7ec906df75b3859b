"""The audit trail: who did what, in the transaction that did it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from tsloop.review import tables
from tsloop.review.database import Database, now_ms

__all__ = ["events", "note"]


def note(
    connection: sa.Connection,
    user: str,
    action: str,
    item_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one line of the trail; it stays or goes with the transaction around it."""
    connection.execute(
        tables.audit.insert().values(
            time_ms=now_ms(), user=user, action=action, item_id=item_id, detail=dict(detail or {})
        )
    )


def events(
    database: Database,
    *,
    item: int | None = None,
    user: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """The trail, newest first; ``before`` is the id from which to read on."""
    query = sa.select(tables.audit).order_by(tables.audit.c.id.desc()).limit(limit)
    if item is not None:
        query = query.where(tables.audit.c.item_id == item)
    if user is not None:
        query = query.where(tables.audit.c.user == user)
    if before is not None:
        query = query.where(tables.audit.c.id < before)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [
        {
            "id": row.id,
            "time_ms": row.time_ms,
            "user": row.user,
            "action": row.action,
            "item": row.item_id,
            "detail": row.detail,
        }
        for row in rows
    ]
