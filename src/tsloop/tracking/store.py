"""The MLflow store of a project: where it is, and how it comes into being exactly once.

The first opener makes it, under a lock. Workers open with ``create=False`` and never build
anything. With a server the store is the server's own; only the experiment is made here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from tsloop.errors import TrackingError
from tsloop.tracking.config import TrackingConfig, store_uri
from tsloop.tracking.database import (
    check_database,
    dispose,
    locked,
    make_database,
    sqlite_path,
)
from tsloop.tracking.environment import import_mlflow

__all__ = [
    "CREATE_ATTEMPTS",
    "Store",
    "discard_store",
    "experiment_name",
    "local_path",
    "mlflow_errors",
    "open_store",
    "redacted",
]

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
        with locked(self.project_dir / ".tsloop" / "locks" / "tracking.lock", "tracking sync"):
            yield

    def close(self) -> None:
        """Give back the connections of a SQLite store; using it again opens new ones."""
        dispose(self.uri)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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
    uri = store_uri(project_dir, config)
    mlflow = import_mlflow()
    root = _artifact_root(project_dir, config, uri)
    database = sqlite_path(uri)
    if database is not None:
        if create:
            with locked(database.with_name(f"{database.name}.lock"), "the making of the store"):
                make_database(database, uri, root)
        else:
            check_database(database)
    name = experiment_name(config, project_name)
    with mlflow_errors(config.uri):
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
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


def discard_store(project_dir: Path, config: TrackingConfig) -> None:
    """Delete the project's own SQLite store and its artifacts, to rebuild them from the project."""
    project_dir = project_dir.resolve()
    if config.uri or config.artifact_root:
        raise TrackingError(
            f"Only the store in .tsloop is thrown away, but tracking.uri is "
            f"{redacted(config.uri)!r} and tracking.artifact_root {config.artifact_root!r}.",
            hint="Delete that store yourself and run: tsloop tracking sync",
        )
    uri = store_uri(project_dir, config)
    import_mlflow()
    database = project_dir / ".tsloop" / "mlflow.db"
    with locked(database.with_name("mlflow.db.lock"), "the making of the store"):
        dispose(uri)
        for name in ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm"):
            database.with_name(name).unlink(missing_ok=True)
        shutil.rmtree(database.with_name("mlartifacts"), ignore_errors=True)


def local_path(location: str) -> Path | None:
    """The path that a ``file:`` URI or a plain path names, links resolved; None for others."""
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path)).resolve()
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", location):
        return None
    return Path(location).resolve()


@contextlib.contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """MLflow's own exceptions as one message: a server that is down, a store that is broken."""
    import_mlflow()
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise TrackingError(
            f"MLflow ({redacted(uri) or 'the store in .tsloop'}) failed: {redacted(str(error))}",
            hint="The project itself is untouched. Repeat later: tsloop tracking sync",
        ) from error


def redacted(uri: str) -> str:
    """The URI without the password it may carry."""
    return re.sub(r"(://[^/:@]*):[^/@]*@", r"\1:…@", uri)


# --- the experiment ----------------------------------------------------------------------------


def _artifact_root(project_dir: Path, config: TrackingConfig, uri: str) -> str | None:
    """Where a new experiment puts its artifacts; None leaves it to the server."""
    if not config.artifact_root:
        if sqlite_path(uri) is None:
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

    for attempt in range(CREATE_ATTEMPTS):
        try:
            return find_or_create()
        except MlflowException as error:
            # Another process was faster, or holds the database.
            lost_race = error.error_code in ("RESOURCE_ALREADY_EXISTS", "TEMPORARILY_UNAVAILABLE")
            if not lost_race or attempt == CREATE_ATTEMPTS - 1:
                raise
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
