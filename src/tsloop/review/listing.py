"""Which items an iteration asks about: filtered lists by rank, the next one, and counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tsloop.review import tables
from tsloop.review.content import STATES
from tsloop.review.database import Database, now_ms
from tsloop.review.items import queue_item
from tsloop.review.people import User

__all__ = [
    "ASKED_KINDS", "OPEN_STATES", "Filters", "count_states", "find_items", "has_open_blind_item",
    "next_item", "open_rows", "to_review",
]  # fmt: skip

ASKED_KINDS = ("queue", "gold", "correction")
"""What must be answered before an iteration is finished; second readings and controls need not."""

OPEN_STATES = ("pending", "in_review", "needs_fix")

_I = tables.items.c


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


def has_open_blind_item(connection: sa.Connection, series_key: str, user: User) -> bool:
    """Whether a series waits for a blind answer that this user may give."""
    query = sa.select(_I.id).where(
        _I.series_key == series_key,
        _I.active,
        _I.blind,
        _I.state.in_(OPEN_STATES),
        _for(user),
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


def _for(user: User) -> Any:
    """Given to this user, or to nobody."""
    return sa.or_(_I.assignee.is_(None), _I.assignee == user.name)


def _free(user: User) -> Any:
    """Nobody else is at work on it."""
    return sa.or_(_I.lock_user.is_(None), _I.lock_user == user.name, _I.lock_until_ms < now_ms())


def open_rows(connection: sa.Connection, iteration: str, user: User) -> list[Any]:
    """Every item that this user could answer now and that shows proposals, in order."""
    wanted = _matching(Filters(iteration, states=OPEN_STATES), user)
    query = sa.select(tables.items).where(*wanted, _free(user), _for(user), sa.not_(_I.blind))
    return list(connection.execute(query.order_by(_I.rank, _I.id)))


def next_item(
    database: Database,
    iteration: str,
    user: User,
    *,
    after: int | None = None,
    states: Sequence[str] = ("pending", "needs_fix"),
) -> dict[str, Any] | None:
    """The next item in the sampler's order that is for this user and that nobody else holds."""
    wanted = [*_matching(Filters(iteration, states=states), user), _free(user), _for(user)]
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
