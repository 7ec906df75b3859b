"""The SQLite file behind a project's store: built once, complete or not there at all.

Several processes that meet on a database without tables migrate it at the same time and break each
other. So it is built beside its place, by whoever holds the lock, and renamed when it is complete;
it uses SQLite's write-ahead log, so that readers and writers do not block each other.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from tsloop.errors import TrackingError

__all__ = ["check_database", "dispose", "locked", "make_database", "sqlite_path"]

BUSY_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_S = 300.0


def sqlite_path(uri: str) -> Path | None:
    found = re.match(r"sqlite(?:\+\w+)?:///(.+)", uri)
    return Path(found.group(1)) if found else None


def make_database(database: Path, uri: str, artifact_root: str | None) -> None:
    """Build or upgrade the file where that is needed; afterwards it is complete and in WAL mode."""
    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database.parent.mkdir(parents=True, exist_ok=True)
    if _revision(database) != utils._get_latest_schema_revision():
        temporary = database.with_name(f".{database.name}.tmp-{os.getpid()}")
        temporary.unlink(missing_ok=True)
        if _revision(database):
            _copy_database(database, temporary)
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{temporary}")
        try:
            if temporary.exists():
                utils._upgrade_db(engine)
            else:
                utils._initialize_tables(engine)
        finally:
            engine.dispose()
        dispose(uri)
        for leftover in (f"{database.name}-wal", f"{database.name}-shm"):
            database.with_name(leftover).unlink(missing_ok=True)
        temporary.replace(database)
    _use_wal(database)
    # Makes MLflow's own default experiment, with artifacts here instead of in ./mlruns.
    SqlAlchemyStore(uri, artifact_root or str(database.parent / "mlartifacts"))


def check_database(database: Path) -> None:
    from mlflow.store.db import utils

    revision = _revision(database)
    if revision is None:
        raise TrackingError(
            f"The MLflow store {database} does not exist yet, and a worker does not make one.",
            hint="Run once before starting workers: tsloop tracking sync",
        )
    if revision != utils._get_latest_schema_revision():
        raise TrackingError(
            f"The MLflow store {database} was made by another version of MLflow ({revision}).",
            hint="Upgrade it with: tsloop tracking sync",
        )


def _revision(database: Path) -> str | None:
    """The schema revision that the file records, or None where it has no schema."""
    if not database.is_file():
        return None
    try:
        with contextlib.closing(_connect(database)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    except sqlite3.DatabaseError as error:
        raise TrackingError(
            f"{database} is not a SQLite database: {error}.",
            hint="Everything in it can be rebuilt: delete it and run: tsloop tracking sync",
        ) from error
    return str(row[0]) if row else None


def _connect(database: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(database, timeout=BUSY_TIMEOUT_MS / 1000)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return connection


def _copy_database(source: Path, target: Path) -> None:
    with (
        contextlib.closing(_connect(source)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def _use_wal(database: Path) -> None:
    with contextlib.closing(_connect(database)) as connection:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise TrackingError(
            f"SQLite cannot use its write-ahead log at {database} (mode {mode!r}): "
            "the file system does not support it.",
            hint="Set tracking.uri to a file on a local disk, or to an MLflow server.",
        )


def dispose(uri: str) -> None:
    """Close MLflow's cached connections, so that the next one sees the file that is there now."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    for cache in (Registry._engine_map, Tracking._engine_map):
        if uri in cache:
            cache[uri].dispose()


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=LOCK_TIMEOUT_S)
    try:
        with lock:
            yield
    except Timeout:
        raise TrackingError(
            f"Waited {LOCK_TIMEOUT_S:.0f} s for {what}: another process holds {path}.",
            hint="Let it finish, or end it, and try again.",
        ) from None
