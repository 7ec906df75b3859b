"""Idempotency: a request that is sent twice is done once, and answered twice alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tsloop.errors import ReviewInvalidError
from tsloop.files import dump_json
from tsloop.review import tables
from tsloop.review.database import Database, now_ms

__all__ = ["forget_replies", "once"]

MAX_KEY = 200
KEEP_DAYS = 30

Reply = dict[str, Any]


def once(
    database: Database,
    user: str,
    key: str,
    request: Any,
    act: Callable[[sa.Connection], Reply],
) -> tuple[Reply, bool]:
    """What ``act`` gives, or gave to the same key; and whether it is an old reply.

    ``act`` and its reply are saved in one transaction. What it raises is not remembered, so a
    refused request may be sent again. Without a key it is simply done.
    """
    digest = _digest(request)
    if len(key) > MAX_KEY:
        raise ReviewInvalidError(
            f"Idempotency-Key has {len(key)} characters; {MAX_KEY} at most.",
            field="Idempotency-Key",
        )
    try:
        with database.write() as connection:
            if key and (held := _held(connection, user, key, digest)) is not None:
                return held, True
            reply = act(connection)
            if key:
                connection.execute(
                    tables.replies.insert().values(
                        user=user,
                        key=key,
                        request_sha256=digest,
                        time_ms=now_ms(),
                        reply=reply,
                    )
                )
            return reply, False
    except exc.IntegrityError:
        # Two of one kind at the same moment: the other one was first, and its answer counts.
        with database.read() as connection:
            held = _held(connection, user, key, digest) if key else None
        if held is None:
            raise
        return held, True


def _digest(request: Any) -> str:
    try:
        return hashlib.sha256(dump_json(request).encode("utf-8")).hexdigest()
    except (ValueError, RecursionError) as error:  # NaN, half characters, endless nesting
        raise ReviewInvalidError(
            f"The request cannot be stored: {error}.", field="content"
        ) from error


def _held(connection: sa.Connection, user: str, key: str, digest: str) -> Reply | None:
    row = connection.execute(
        sa.select(tables.replies).where(tables.replies.c.user == user, tables.replies.c.key == key)
    ).first()
    if row is None:
        return None
    if row.request_sha256 != digest:
        raise ReviewInvalidError(
            "This Idempotency-Key was used for another request.",
            hint="Use a new key for every new decision.",
            field="Idempotency-Key",
        )
    return dict(row.reply)


def forget_replies(database: Database) -> None:
    """Drop answers that nobody can be waiting for any more."""
    limit = now_ms() - KEEP_DAYS * 86_400_000
    with database.write() as connection:
        connection.execute(tables.replies.delete().where(tables.replies.c.time_ms < limit))
