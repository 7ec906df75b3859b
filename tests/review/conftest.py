"""A project with two finished iterations and a third one that waits for people."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tsloop.detectors.predictions import PredictionWriter
from tsloop.intervals import Detection, Interval
from tsloop.labels import builtin_label_set
from tsloop.loop.manager import IterationManager
from tsloop.loop.queues import read_queue, write_queue
from tsloop.project import Project
from tsloop.review.service import ReviewService
from tsloop.review.web.app import create_app
from tsloop.series.store import SeriesStore

OPEN = "it003"


@pytest.fixture(scope="session")
def _waiting(_finished: Path, shared_tmp: Path) -> Path:
    from filelock import FileLock

    from project_tools import set_environment

    place = shared_tmp / "waiting"
    with FileLock(shared_tmp / "waiting.lock"), pytest.MonkeyPatch.context() as patch:
        if not (place / "done").exists():
            set_environment(patch.setenv, shared_tmp / "home")
            shutil.copytree(_finished, place / "project", symlinks=True)
            project = Project(place / "project")
            IterationManager(project).create_iteration()
            predict(project, "it001", 105, 118)
            predict(project, "it002", 100, 120)
            (place / "done").touch()
    return place / "project"


def predict(project: Project, iteration: str, start: int, end: int) -> None:
    """The tiny models find nothing: let them have found an event in every series but one."""
    store = SeriesStore.open(project.series)
    label = builtin_label_set().ids[0]
    quiet = store.ids()[0]
    found = {}
    with PredictionWriter(project.predictions(iteration, "knn")) as writer:
        for series in store:
            scores = np.full(len(series), 0.1)
            scores[start : end + 1] = 0.9
            hit = Detection.of([Interval(start, end, label, 0.9, "like a spike")])
            found[series.id] = Detection.of(()) if series.id == quiet else hit
            writer.add(series.id, series.sha256, found[series.id], scores)
    path = project.queue(iteration)
    model = f"{iteration}/knn"
    write_queue(
        path,
        [
            i if i.revision else replace(i, proposal=found[i.series_id], proposal_model=model)
            for i in read_queue(path)
        ],
    )


@pytest.fixture
def waiting(_waiting: Path, project_env: None, tmp_path: Path) -> Project:
    """A copy without DVC's cache, which reviewing does not need."""
    target = tmp_path / "project"
    shutil.copytree(_waiting, target, symlinks=True, ignore=shutil.ignore_patterns("cache", ".git"))
    return Project(target)


@pytest.fixture
def service(waiting: Project) -> Iterator[ReviewService]:
    """The review of the project, with its queue imported."""
    made = ReviewService(waiting)
    made.refresh()
    yield made
    made.close()


Client = TestClient
MakeClient = Callable[..., TestClient]


@pytest.fixture
def make_client(service: ReviewService) -> Iterator[MakeClient]:
    """Clients of the page: each a browser of its own, with the token for changes."""
    made: list[TestClient] = []

    def make(name: str = "", *, host: str = "127.0.0.1", **options: Any) -> TestClient:
        app = create_app(service, host=host)
        client = TestClient(app, base_url="http://127.0.0.1", **options)
        made.append(client)
        client.headers["X-Tsloop-Csrf"] = client.get("/api/session").json()["csrf"]
        if name:
            answer = client.post("/api/session", json={"name": name})
            client.headers["X-Tsloop-Csrf"] = answer.json()["csrf"]
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    """The browser of this machine's owner, an admin."""
    return make_client()
