"""Projects that several rooms test with; made once a session, copied for those that change it."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import hypothesis
import pytest

# Nothing is timed in a test: a busy machine is no failure.
hypothesis.settings.register_profile("tsloop", deadline=None)
hypothesis.settings.load_profile("tsloop")


def pytest_runtest_setup() -> None:
    """DVC logs to the streams of the test that first imported it: give it real ones."""
    if "dvc.logger" in sys.modules:
        for name in ("dvc", "dvc_objects", "dvc_data"):
            for handler in logging.getLogger(name).handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.stream = sys.__stderr__


@pytest.fixture(scope="session")
def shared_tmp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of this run that all workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture
def project_env(monkeypatch: pytest.MonkeyPatch, shared_tmp: Path) -> None:
    """An environment in which git and DVC neither see nor change the state of this machine."""
    from project_tools import set_environment

    set_environment(monkeypatch.setenv, shared_tmp / "home")


@pytest.fixture(scope="session")
def _finished(shared_tmp: Path) -> Path:
    """A tiny project with two finished iterations; nobody may change it."""
    from filelock import FileLock

    from project_tools import commit, make_project, run_all, set_environment

    place = shared_tmp / "finished"
    with FileLock(shared_tmp / "finished.lock"), pytest.MonkeyPatch.context() as patch:
        if not (place / "done").exists():
            set_environment(patch.setenv, shared_tmp / "home")
            project = make_project(place / "project")
            run_all(project)
            commit(project.root)
            (place / "done").touch()
    return place / "project"


@pytest.fixture
def finished_template(_finished: Path, project_env: None) -> Path:
    """The finished project itself, to be read only."""
    return _finished


@pytest.fixture
def finished(_finished: Path, project_env: None, tmp_path: Path):  # type: ignore[no-untyped-def]
    """A copy of the finished project: two iterations, one variant, committed."""
    from project_tools import copy_project
    from tsloop.project import Project

    return copy_project(Project(_finished), tmp_path / "project")


@pytest.fixture(scope="session")
def _fresh(shared_tmp: Path) -> Path:
    from filelock import FileLock

    from project_tools import make_project, set_environment

    place = shared_tmp / "fresh"
    with FileLock(shared_tmp / "fresh.lock"), pytest.MonkeyPatch.context() as patch:
        if not (place / "done").exists():
            set_environment(patch.setenv, shared_tmp / "home")
            make_project(place / "project")
            (place / "done").touch()
    return place / "project"


@pytest.fixture
def fresh(_fresh: Path, project_env: None, tmp_path: Path):  # type: ignore[no-untyped-def]
    """A tiny project that nothing has run in."""
    from project_tools import copy_project
    from tsloop.project import Project

    return copy_project(Project(_fresh), tmp_path / "fresh")
