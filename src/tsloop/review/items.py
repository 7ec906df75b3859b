"""One item: a series that an iteration asks people about, and what was said of it so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tsloop.errors import ReviewForbiddenError, ReviewNotFoundError
from tsloop.review import tables
from tsloop.review.content import EMPTY, Content
from tsloop.review.database import Database, now_ms
from tsloop.review.people import User

__all__ = [
    "LABELS", "approval_state", "check_may_see", "content_at", "content_of", "get_row", "history",
    "holder_of", "public_proposals", "queue_item",
]  # fmt: skip

LABELS = "labels"
"""In the place of a model: the proposal is what the series is labelled with already."""

_I = tables.items.c
_R = tables.revisions.c


def get_row(connection: sa.Connection, item_id: int, *, lock: bool = False) -> Any:
    """One row; with ``lock`` nobody else changes it before the transaction ends."""
    query = sa.select(tables.items).where(_I.id == item_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise ReviewNotFoundError(f"There is no item {item_id}.")
    return row


def check_may_see(connection: sa.Connection, row: Any, user: User) -> None:
    """A second reading is blind: whoever labelled a series once does not get it again."""
    if row.kind not in ("queue", "second"):
        return
    other = connection.execute(
        sa.select(_I.author).where(
            _I.iteration == row.iteration,
            _I.series_id == row.series_id,
            _I.kind == ("second" if row.kind == "queue" else "queue"),
        )
    ).first()
    if other is not None and other.author == user.name and row.author != user.name:
        raise ReviewForbiddenError(
            f"{user.name} labelled {row.series_id!r} already; this is another person's reading.",
            hint="Take the next item.",
        )


def queue_item(row: Any, user: User) -> dict[str, Any]:
    """An item as lists show it."""
    own = sum(p["model"] == (row.model or LABELS) for p in row.proposals)
    return {
        "id": row.id,
        "iteration": row.iteration,
        "rank": row.rank,
        "kind": row.kind,
        "series": {
            "key": row.series_key,
            "series_id": row.series_id,
            "group": row.series_group,
            "unit": row.unit,
            "zone": row.zone,
            "n_rows": row.n_rows,
        },
        "reason": row.reason,
        "score": row.score,
        "probability": row.probability,
        "state": row.state,
        "blind": row.blind,
        "revision": row.revision,
        "n_proposals": None if row.blind else own,
        "n_intervals": row.n_intervals,
        "model": None if row.blind else row.model,
        "suspects": len((row.question or {}).get("suspects") or ()),
        "assignee": row.assignee,
        "holder": holder_of(row, user),
        "approval": approval_state(row),
        "unsure": row.unsure,
        "result": row.result,
        "author": row.author,
        "updated_ms": row.updated_ms,
        "second": row.kind == "second",
    }


def holder_of(row: Any, user: User) -> dict[str, Any] | None:
    """Who works on an item now."""
    if row.lock_user is None or row.lock_until_ms < now_ms():
        return None
    return {
        "user": row.lock_user,
        "until_ms": row.lock_until_ms,
        "mine": row.lock_user == user.name,
    }


def approval_state(row: Any) -> str:
    """``approved`` holds for one revision; whatever is saved later makes it ``stale``."""
    approval = row.approval
    if not approval or approval["verdict"] != "approved":
        return "none"
    return "approved" if approval["revision"] == row.revision else "stale"


def public_proposals(row: Any, times: Callable[[Sequence[int]], Sequence[int]]) -> list[Any]:
    """Proposals as the page gets them: nothing tells a planted one from the others.

    ``times`` gives the UTC nanoseconds of rows.
    """
    if row.blind:
        return []
    stamps = times([r for p in row.proposals for r in (p["start"], p["end"])])
    return [
        {
            **{key: p[key] for key in ("id", "model", "start", "end", "label", "score", "reason")},
            "t_start_ms": stamps[2 * number] / 1e6,
            "t_end_ms": stamps[2 * number + 1] / 1e6,
        }
        for number, p in enumerate(row.proposals)
    ]


def content_at(connection: sa.Connection, item_id: int, revision: int) -> Content:
    """What was said at a revision; nothing at revision 0."""
    if revision == 0:
        return dict(EMPTY)
    row = connection.execute(
        sa.select(_R.content).where(_R.item_id == item_id, _R.revision == revision)
    ).first()
    if row is None:
        raise ReviewNotFoundError(f"Item {item_id} has no revision {revision}.")
    return dict(row.content)


def content_of(content: Mapping[str, Any]) -> Content:
    """Content as the page gets it: times in milliseconds."""
    intervals = [
        {
            **{k: v for k, v in item.items() if k not in ("t_start", "t_end")},
            "t_start_ms": item["t_start"] / 1e6,
            "t_end_ms": item["t_end"] / 1e6,
        }
        for item in content["intervals"]
    ]
    return {**content, "intervals": intervals}


def history(database: Database, item_id: int) -> list[dict[str, Any]]:
    """All revisions, newest first."""
    with database.read() as connection:
        get_row(connection, item_id)
        rows = connection.execute(
            sa.select(tables.revisions).where(_R.item_id == item_id).order_by(_R.revision.desc())
        ).all()
    return [
        {
            "revision": row.revision,
            "basis_revision": row.basis_revision,
            "author": row.author,
            "time_ms": row.time_ms,
            "decision": row.decision,
            "seconds": row.seconds,
            "keys": row.n_keys,
            "clicks": row.n_clicks,
            "model": row.model,
            "model_sha256": row.model_sha256,
            "batch": row.batch_id,
            "content": content_of(row.content),
        }
        for row in rows
    ]
