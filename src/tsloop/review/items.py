"""Items: the series that an iteration asks people about, as the page lists and shows them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tsloop.errors import ReviewForbiddenError, ReviewNotFoundError
from tsloop.review import tables
from tsloop.review.content import EMPTY, STATES, Content
from tsloop.review.database import Database, now_ms
from tsloop.review.people import User

__all__ = [
    "ASKED_KINDS", "Filters", "check_may_see", "content_at", "content_of", "count_states",
    "find_items", "get_row", "has_open_blind_item", "history", "next_item", "public_proposals",
    "queue_item", "to_review",
]  # fmt: skip

ASKED_KINDS = ("queue", "gold", "correction")
"""What must be answered before an iteration is finished; second readings and controls need not."""
LABELS = "labels"
"""In the place of a model: the proposal is what the series is labelled with already."""

_I = tables.items.c
_R = tables.revisions.c


@dataclass(frozen=True)
class Filters:
    """What to list; empty is everything."""

    iteration: str
    states: Collection[str] = ()
    reasons: Collection[str] = ()
    assignee: str = ""
    text: str = ""
    offset: int = 0
    limit: int = 200


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


def has_open_blind_item(connection: sa.Connection, series_key: str, user: User) -> bool:
    """Whether a series waits for a blind answer that this user may give."""
    query = sa.select(_I.id).where(
        _I.series_key == series_key,
        _I.active,
        _I.blind,
        _I.state.in_(("pending", "in_review", "needs_fix")),
        sa.or_(_I.assignee.is_(None), _I.assignee == user.name),
        _not_mine(user),
    )
    return connection.execute(query.limit(1)).first() is not None


def find_items(
    database: Database, filters: Filters, user: User
) -> tuple[list[dict[str, Any]], int, dict[str, int]]:
    """A page of items in the sampler's order, how many there are in all, and reasons counted."""
    wanted = _matching(filters, user)
    page = (
        sa.select(tables.items)
        .where(*wanted)
        .order_by(_I.rank, _I.id)
        .offset(filters.offset)
        .limit(filters.limit)
    )
    reasons = (
        sa.select(_I.reason, sa.func.count())
        .where(_I.iteration == filters.iteration, _I.active, _not_mine(user))
        .group_by(_I.reason)
    )
    with database.read() as connection:
        rows = connection.execute(page).all()
        total = connection.execute(
            sa.select(sa.func.count()).select_from(tables.items).where(*wanted)
        ).scalar_one()
        counted: dict[str, int] = {row[0]: row[1] for row in connection.execute(reasons)}
    return [queue_item(row, user) for row in rows], int(total), counted


def _matching(filters: Filters, user: User) -> list[Any]:
    wanted: list[Any] = [_I.iteration == filters.iteration, _I.active, _not_mine(user)]
    if filters.states:
        wanted.append(_I.state.in_(list(filters.states)))
    if filters.reasons:
        wanted.append(_I.reason.in_(list(filters.reasons)))
    if filters.assignee == "none":
        wanted.append(_I.assignee.is_(None))
    elif filters.assignee:
        name = user.name if filters.assignee == "me" else filters.assignee
        wanted.append(_I.assignee == name)
    if filters.text:
        wanted.append(sa.or_(*(c.icontains(filters.text, autoescape=True) for c in _SEARCHED)))
    return wanted


_SEARCHED = (_I.series_id, _I.series_group)


def _not_mine(user: User) -> Any:
    """Second readings are not for whoever read first, nor the other way round."""
    other = tables.items.alias()
    pair = sa.and_(
        other.c.iteration == _I.iteration,
        other.c.series_id == _I.series_id,
        other.c.author == user.name,
        sa.or_(
            sa.and_(_I.kind == "second", other.c.kind == "queue"),
            sa.and_(_I.kind == "queue", other.c.kind == "second"),
        ),
    )
    seen = sa.exists().where(pair)
    return sa.or_(_I.kind.not_in(("queue", "second")), _I.author == user.name, sa.not_(seen))


def next_item(
    database: Database,
    iteration: str,
    user: User,
    *,
    after: int | None = None,
    states: Sequence[str] = ("pending", "needs_fix"),
) -> dict[str, Any] | None:
    """The next item in the sampler's order that is for this user and that nobody else holds."""
    free = sa.or_(_I.lock_user.is_(None), _I.lock_user == user.name, _I.lock_until_ms < now_ms())
    wanted = [
        *_matching(Filters(iteration, states=states), user),
        free,
        sa.or_(_I.assignee.is_(None), _I.assignee == user.name),
    ]
    query = sa.select(tables.items).where(*wanted).order_by(_I.rank, _I.id).limit(1)
    with database.read() as connection:
        here = None
        if after is not None:
            wanted.append(_I.id != after)
            query = query.where(_I.id != after)
            here = connection.execute(sa.select(_I.rank, _I.id).where(_I.id == after)).first()
        row = None
        if here is not None:
            later = sa.or_(_I.rank > here.rank, sa.and_(_I.rank == here.rank, _I.id > here.id))
            row = connection.execute(query.where(later)).first()
        if row is None:
            row = connection.execute(query).first()
    return queue_item(row, user) if row is not None else None


def count_states(database: Database, iteration: str) -> dict[str, int]:
    """How many items are in each state, and ``total``; only what must be answered counts."""
    query = (
        sa.select(_I.state, sa.func.count())
        .where(_I.iteration == iteration, _I.active, _I.kind.in_(ASKED_KINDS))
        .group_by(_I.state)
    )
    with database.read() as connection:
        found: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    counts = {state: int(found.get(state, 0)) for state in STATES}
    return {**counts, "total": sum(counts.values())}


def to_review(iteration: str, counts: Mapping[str, int]) -> str:
    """``it002: 37 of 40 reviewed``; a skipped series counts as looked at."""
    done = counts["done"] + counts["skipped"]
    return f"{iteration}: {done} of {counts['total']} reviewed"


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
