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
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from tsloop.errors import TrackingError

__all__ = [
    "BUSY_TIMEOUT_MS",
    "LOCK_TIMEOUT_S",
    "check_database",
    "dispose",
    "locked",
    "make_database",
    "sqlite_path",
]

BUSY_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_S = 300.0


def sqlite_path(uri: str) -> Path | None:
    found = re.match(r"sqlite(?:\+\w+)?:///(.+)", uri)
    return Path(found.group(1)) if found else None


def make_database(database: Path, uri: str, artifact_root: str | None) -> None:
    """Build or upgrade the file where that is needed; afterwards it is complete and in WAL mode."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database.parent.mkdir(parents=True, exist_ok=True)
    revision = _revision(database)
    current = revision == _latest_revision()
    if not current:
        for leftover in database.parent.glob(f".{database.name}.tmp-*"):
            leftover.unlink()
        _build(database, revision)
        dispose(uri)
    _use_wal(database)
    if not current:
        # Makes MLflow's own default experiment, with artifacts here instead of in ./mlruns.
        SqlAlchemyStore(uri, artifact_root or str(database.parent / "mlartifacts"))


def _build(database: Path, revision: str | None) -> None:
    """Migrate a copy (or nothing at all) and put it in the place of the file."""
    from alembic.util.exc import CommandError
    from mlflow.store.db import utils

    temporary = database.with_name(f".{database.name}.tmp-{os.getpid()}")
    if revision:
        _copy_database(database, temporary)
    engine = utils.create_sqlalchemy_engine(f"sqlite:///{temporary}")
    try:
        if revision:
            utils._upgrade_db(engine)
        else:
            utils._initialize_tables(engine)
        engine.dispose()
        for part in ("wal", "shm"):
            database.with_name(f"{database.name}-{part}").unlink(missing_ok=True)
        temporary.replace(database)
    except CommandError as error:
        raise TrackingError(
            f"{database} was made by a newer MLflow ({revision}), which this one cannot read: "
            f"{error}.",
            hint="Install that MLflow, or delete the file and run: tsloop tracking sync",
        ) from error
    finally:
        engine.dispose()
        temporary.unlink(missing_ok=True)


@cache
def _latest_revision() -> str:
    from mlflow.store.db import utils

    return str(utils._get_latest_schema_revision())


def check_database(database: Path) -> None:
    """What a worker asks: the file is there, and up to date."""
    revision = _revision(database)
    if revision is None:
        raise TrackingError(
            f"The MLflow store {database} does not exist yet, and a worker does not make one.",
            hint="Run once before starting workers: tsloop tracking sync",
        )
    if revision != _latest_revision():
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

    for engines in (Registry._engine_map, Tracking._engine_map):
        if uri in engines:
            engines[uri].dispose()


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
