"""Projects that people have labelled, and stages that must stop."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable

import pytest

from project_tools import hashes, run_stages
from tsloop.config.params import configure
from tsloop.files import read_json
from tsloop.project import Project
from tsloop.stages.runner import run_stage

OUTPUTS = ("data/snapshots/**/*", "data/datasets/**/*", "reports/**/*", "registry/*")


@pytest.fixture
def manned(finished: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """People have labelled it002 and gold, just like the simulated annotator."""
    for name in ("it002", "gold"):
        shutil.copyfile(finished.simulated(name), finished.labels(name))
    configure(finished)
    monkeypatch.chdir(finished.root)
    return finished


@pytest.fixture
def published(manned: Project) -> Project:
    """it002 is published on the gold of people."""
    run_stages(manned, "dataset@it002", "evaluate@it002", "publish@it002", record=False)
    assert read_json(manned.registry("it002"))["gold"]["version"] > 1
    return manned


@pytest.fixture
def stops(capsys: pytest.CaptureFixture[str]) -> Callable[[Project, str, str], str]:
    """Run a stage that must fail without writing anything; returns what it says."""

    def run(project: Project, name: str, key: str) -> str:
        before = hashes(project.root, *OUTPUTS)
        capsys.readouterr()
        module = importlib.import_module(f"tsloop.stages.{name}")
        assert run_stage(name, getattr(module, name), [key]) == 1
        assert hashes(project.root, *OUTPUTS) == before
        said = capsys.readouterr().err
        assert said.startswith(f"{name} stopped: ")
        return said

    return run
