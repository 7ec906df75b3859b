"""The database behind the review store: SQLite beside the project, or PostgreSQL.

SQLite runs in WAL mode with ``synchronous=FULL``: what was answered with "saved" survives a kill
and a power cut. Writers begin with ``BEGIN IMMEDIATE``, so they wait for one another instead of
failing half-way; on PostgreSQL rows are locked (`for_update`). Alembic brings either up to date.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite

from tsloop.errors import MissingExtraError, ReviewStorageError
from tsloop.files import dump_json

__all__ = ["Database", "default_database", "now_ms"]

DRIVER = "postgresql+psycopg"


def now_ms() -> int:
    """Now, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def default_database(local: Path) -> Path:
    """The SQLite file of a project whose local state lies in ``local``."""
    return local / "review.db"


class Database:
    """One engine; `read` and `write` are the only ways to it."""

    def __init__(self, url: str, *, busy_timeout_s: int = 20) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if not self.is_sqlite:
            self.url = self.url.set(drivername=DRIVER)
        self.engine = self._engine(busy_timeout_s)
        self._turn: contextlib.AbstractContextManager[Any] = (
            threading.Lock() if self.is_sqlite else contextlib.nullcontext()
        )

    @classmethod
    def at(cls, path: Path, *, busy_timeout_s: int = 20) -> Database:
        """SQLite in a file, whose directory is made where it is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        url = sa.URL.create("sqlite", database=str(path))
        return cls(url.render_as_string(), busy_timeout_s=busy_timeout_s)

    @property
    def path(self) -> Path | None:
        """The file of an SQLite database."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @property
    def shown(self) -> str:
        """Its URL without a password, for messages."""
        return str(self.path or self.url.render_as_string(hide_password=True))

    def _engine(self, busy_timeout_s: int) -> sa.Engine:
        options: dict[str, Any] = {
            "json_serializer": dump_json,
            "pool_pre_ping": not self.is_sqlite,
        }
        if self.is_sqlite:
            options["connect_args"] = {"timeout": busy_timeout_s, "check_same_thread": False}
        options |= {"pool_size": 8, "max_overflow": 56, "pool_timeout": busy_timeout_s}
        try:
            engine = sa.create_engine(self.url, **options)
        except ModuleNotFoundError as error:
            raise MissingExtraError(str(error.name), "postgres") from error
        if self.is_sqlite:
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the store."""
        with self._telling(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is saved whole when the block ends, or not at all."""
        # SQLite's own waiting is not in turn: under load somebody would wait for seconds.
        with self._turn, self._telling(), self.engine.connect() as connection:
            connection = connection.execution_options(tsloop_write=True)
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """What the database cannot do as an error that names it; nothing was saved then."""
        try:
            yield
        except exc.IntegrityError:
            raise
        except (exc.DBAPIError, exc.TimeoutError, sqlite3.Error) as error:
            cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise ReviewStorageError(
                f"Nothing was saved: {self.shown} says: {cause}.",
                hint="Make room on the disk, or bring the database back; then save again.",
            ) from error

    def insert_missing(
        self, connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]
    ) -> bool:
        """Insert a row unless its key is there; says whether it was new."""
        make: Any = sqlite.insert if self.is_sqlite else postgresql.insert
        done = connection.execute(make(table).values(**row).on_conflict_do_nothing())
        return bool(done.rowcount)

    def insert_all_missing(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
    ) -> int:
        """`insert_missing` for many rows of the same columns; how many were given."""
        make: Any = sqlite.insert if self.is_sqlite else postgresql.insert
        if rows:
            statement = make(table).on_conflict_do_nothing()
            connection.execute(statement, [dict(row) for row in rows])
        return len(rows)

    def migrate(self) -> None:
        """Make the tables, or bring those of an older tsloop up to date; under a lock of its own.

        A database that a newer tsloop wrote is refused.
        """
        from alembic import command
        from alembic.config import Config
        from alembic.util.exc import CommandError

        config = Config()
        config.set_main_option("script_location", "tsloop.review:migrations")
        config.set_main_option("path_separator", "os")
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(774031)"))
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise ReviewStorageError(
                    f"{self.shown} was written by another tsloop: {error}.",
                    hint="Update tsloop, or name another database: review.database.",
                ) from error

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are ours, see `_begin_sqlite`
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("tsloop_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
