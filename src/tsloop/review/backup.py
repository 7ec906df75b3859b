"""Copies of the store, at any time and while people save."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tsloop.errors import ReviewStorageError
from tsloop.files import dump_json, sha256_file, write_text_atomic
from tsloop.review import tables
from tsloop.review.database import Database

__all__ = ["backup", "export_lines"]


def backup(database: Database, directory: Path, keep: int) -> dict[str, Any]:
    """A copy of the whole store in ``directory``, of which the newest ``keep`` stay.

    SQLite copies itself page by page, consistent whatever is saved meanwhile; of PostgreSQL all
    tables are written as JSON lines in one transaction. The copy appears whole or not at all.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = datetime.now(UTC).strftime("review-%Y%m%dT%H%M%S%fZ")
    source = database.path
    try:
        if source is not None:
            target = _copy_sqlite(source, directory / f"{name}.db")
        else:
            target = directory / f"{name}.jsonl"
            write_text_atomic(target, "".join(_table_lines(database)))
    except (OSError, sqlite3.Error) as error:
        raise ReviewStorageError(
            f"The backup in {directory} failed: {error}.", hint="Make room on the disk."
        ) from error
    for old in sorted(directory.glob("review-*Z.*"))[:-keep]:
        old.unlink(missing_ok=True)
    return {"path": str(target), "bytes": target.stat().st_size, "sha256": sha256_file(target)}


def _copy_sqlite(source: Path, target: Path) -> Path:
    temporary = target.with_suffix(".part")
    try:
        with (
            closing(sqlite3.connect(source, timeout=20)) as old,
            closing(sqlite3.connect(temporary)) as new,
        ):
            old.backup(new)
            (verdict,) = new.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(f"the copy is damaged: {verdict}")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _table_lines(database: Database) -> Iterator[str]:
    with database.read() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)).mappings():
                yield dump_json({"table": table.name, "row": dict(row)}) + "\n"


def export_lines(database: Database, iteration: str | None = None) -> Iterator[str]:
    """Every revision as a line of JSON, with the item that it judges; oldest first."""
    items, revisions = tables.items.c, tables.revisions.c
    query = (
        sa.select(
            items.iteration, items.kind, items.series_id, items.series_sha256, items.n_rows,
            items.reason, *tables.revisions.c,
        )
        .join(tables.items, items.id == revisions.item_id)
        .order_by(revisions.id)
    )  # fmt: skip
    if iteration is not None:
        query = query.where(items.iteration == iteration)
    with database.read() as connection:
        for row in connection.execute(query).mappings():
            yield dump_json(dict(row)) + "\n"
