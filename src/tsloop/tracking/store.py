"""The MLflow store of a project: where it is, and how it comes into being exactly once.

Several processes that meet on a store without tables migrate it at the same time and break each
other, so only one ever does: `open_store` builds the SQLite file beside its place, under a lock,
and renames it when it is complete. Workers open with ``create=False`` and never build anything.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

from tsloop.errors import TrackingError
from tsloop.tracking.config import TrackingConfig
from tsloop.tracking.environment import import_mlflow

__all__ = ["Store", "experiment_name", "open_store", "resolve_uri"]

BUSY_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_S = 300.0
CREATE_ATTEMPTS = 8


@dataclass(frozen=True, eq=False)
class Store:
    """An open store. ``client`` is an ``MlflowClient`` for runs and registry alike."""

    project_dir: Path
    config: TrackingConfig
    uri: str
    experiment: str
    experiment_id: str
    artifact_root: str
    """Location of the experiment's artifacts; every model version must lie below it."""
    client: Any

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Only one process of this machine at a time looks for runs and then writes them."""
        with _locked(self.project_dir / ".tsloop" / "locks" / "tracking.lock", "tracking sync"):
            yield

    def close(self) -> None:
        """Give back the connections of a SQLite store; using it again opens new ones."""
        _dispose(self.uri)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def resolve_uri(project_dir: Path, config: TrackingConfig) -> str:
    """The absolute tracking URI: the same from whatever directory a process is started."""
    if not config.uri:
        return f"sqlite:///{_database_path(project_dir.resolve() / '.tsloop' / 'mlflow.db')}"
    found = re.match(r"(sqlite(?:\+\w+)?):///(.+)", config.uri)
    if not found:
        return config.uri
    path = project_dir.resolve() / found.group(2)
    return f"{found.group(1)}:///{_database_path(path)}"


def experiment_name(config: TrackingConfig, project_name: str) -> str:
    """The experiment that holds the project's runs."""
    return config.experiment or f"tsloop/{project_name}"


def open_store(
    project_dir: Path, config: TrackingConfig, project_name: str, *, create: bool = True
) -> Store:
    """Open the project's store; the first opener makes it, one at a time.

    With ``create=False`` (workers) a store that is missing, out of date or without the experiment
    is a `TrackingError`: nothing is built, so nothing can be built twice.
    """
    project_dir = project_dir.resolve()
    uri = resolve_uri(project_dir, config)
    mlflow = import_mlflow()
    root = _artifact_root(project_dir, config, uri)
    database = _sqlite_path(uri)
    if database is not None:
        if create:
            with _locked(database.with_name(f"{database.name}.lock"), "the making of the store"):
                _make_database(database, uri, root)
        else:
            _check_database(database)
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    name = experiment_name(config, project_name)
    experiment = _experiment(client, name, root, create)
    _check_artifact_root(experiment, root, database)
    return Store(
        project_dir=project_dir,
        config=config,
        uri=uri,
        experiment=name,
        experiment_id=experiment.experiment_id,
        artifact_root=experiment.artifact_location,
        client=client,
    )


def local_path(location: str) -> Path | None:
    """The path that a ``file:`` URI or a plain path names, links resolved; None for others."""
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path)).resolve()
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", location):
        return None
    return Path(location).resolve()


def redacted(uri: str) -> str:
    """The URI without the password it may carry."""
    return re.sub(r"(://[^/:@]*):[^/@]*@", r"\1:…@", uri)


# --- the SQLite file ---------------------------------------------------------------------------


def _database_path(path: Path) -> str:
    text = os.path.normpath(path)
    if "?" in text:
        raise TrackingError(
            f"The MLflow database cannot lie at {text!r}: a '?' in the path ends the URI.",
            hint="Rename the directory or set tracking.uri to another place.",
        )
    return text


def _sqlite_path(uri: str) -> Path | None:
    found = re.match(r"sqlite(?:\+\w+)?:///(.+)", uri)
    return Path(found.group(1)) if found else None


def _make_database(database: Path, uri: str, artifact_root: str | None) -> None:
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
        _dispose(uri)
        for leftover in (f"{database.name}-wal", f"{database.name}-shm"):
            database.with_name(leftover).unlink(missing_ok=True)
        temporary.replace(database)
    _use_wal(database)
    # Makes MLflow's own default experiment, with artifacts here instead of in ./mlruns.
    SqlAlchemyStore(uri, artifact_root or str(database.parent / "mlartifacts"))


def _check_database(database: Path) -> None:
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


def _dispose(uri: str) -> None:
    """Close MLflow's cached connections, so that the next one sees the file that is there now."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    for cache in (Registry._engine_map, Tracking._engine_map):
        if uri in cache:
            cache[uri].dispose()


@contextlib.contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
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


# --- the experiment ----------------------------------------------------------------------------


def _artifact_root(project_dir: Path, config: TrackingConfig, uri: str) -> str | None:
    """Where a new experiment puts its artifacts; None leaves it to the server."""
    if not config.artifact_root:
        if _sqlite_path(uri) is None:
            return None
        return (project_dir / ".tsloop" / "mlartifacts").as_uri()
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", config.artifact_root):
        return config.artifact_root
    return Path(os.path.normpath(project_dir / config.artifact_root)).as_uri()


def _experiment(client: Any, name: str, artifact_root: str | None, create: bool) -> Any:
    from mlflow.exceptions import MlflowException

    def find() -> Any:
        experiment = client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
            experiment = client.get_experiment_by_name(name)
        return experiment

    if not create:
        experiment = find()
        if experiment is None:
            raise TrackingError(
                f"The MLflow store has no experiment {name!r} yet, and a worker does not make one.",
                hint="Run once before starting workers: tsloop tracking sync",
            )
        return experiment

    def find_or_create() -> Any:
        experiment = find()
        if experiment is None:
            client.create_experiment(name, artifact_location=artifact_root)
            experiment = find()
        return experiment

    return _retry(find_or_create, MlflowException, f"create the experiment {name!r}")


def _retry(action: Callable[[], Any], error_class: type[Exception], what: str) -> Any:
    """Run ``action`` again when another process won the race; the last failure is the answer."""
    for attempt in range(CREATE_ATTEMPTS):
        try:
            return action()
        except error_class as error:
            if attempt == CREATE_ATTEMPTS - 1:
                raise TrackingError(f"Could not {what} in MLflow: {error}.") from error
            time.sleep(0.05 * 2**attempt)
    raise AssertionError("unreachable")


def _check_artifact_root(experiment: Any, root: str | None, database: Path | None) -> None:
    location = experiment.artifact_location
    if database is None or root is None or local_path(location) == local_path(root):
        return
    raise TrackingError(
        f"The MLflow store {database} keeps its artifacts in {location}, "
        f"but this project keeps them in {root}: the project was moved or copied.",
        hint="Everything in it can be rebuilt: tsloop tracking sync --rebuild",
    )
