"""One migrated MLflow database per test session, copied into every project that needs a store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tracking_project import ProjectBuilder

from project_tools import dvc_here
from tsloop.project import Project
from tsloop.tracking.config import TrackingConfig
from tsloop.tracking.store import Store, open_store


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables and no experiment of ours."""
    from tsloop.tracking.database import dispose, make_database
    from tsloop.tracking.environment import import_mlflow

    import_mlflow()
    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    uri = f"sqlite:///{database}"
    make_database(database, uri, None)
    dispose(uri)
    return database


@pytest.fixture
def builder(tmp_path: Path, migrated_database: Path) -> ProjectBuilder:
    """An empty project whose store is migrated already."""
    root = tmp_path / "project"
    (root / ".tsloop").mkdir(parents=True)
    shutil.copy(migrated_database, root / ".tsloop" / "mlflow.db")
    return ProjectBuilder(root)


@pytest.fixture
def config() -> TrackingConfig:
    return TrackingConfig()


@pytest.fixture
def open_project_store(config: TrackingConfig) -> Iterator[Callable[[Path], Store]]:
    """Opens the store of a project and closes it after the test."""
    opened: list[Store] = []

    def open_it(root: Path) -> Store:
        opened.append(open_store(root, config, "demo"))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture(autouse=True)
def dvc_in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dvc add` by the real DVC, without an interpreter of its own for every promotion."""
    if "finished" in request.fixturenames:
        return
    from tsloop.tracking import promoted

    def add(project: Project, place: Path) -> None:
        with dvc_here(project.root) as repo, repo.scm_context(quiet=True):
            repo.add(str(place))

    monkeypatch.setattr(promoted, "_track", add)
