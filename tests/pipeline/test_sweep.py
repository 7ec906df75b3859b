"""Sweeps: what a job computes and remembers, and that a killed sweep goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from project_tools import hashes, run, tsloop
from tsloop import sweep
from tsloop.config.compose import compose
from tsloop.config.params import configure
from tsloop.errors import AnnotationError, ConfigError
from tsloop.files import read_json
from tsloop.project import Project

OVERRIDES = ["detector=knn", "sweep.folds=2", "sweep.n_bootstrap=0"]


def run_job(project: Project, *overrides: str) -> float:
    task = [*OVERRIDES, *overrides]
    return sweep.run_job(project, compose(project.conf, task, name="sweep"), task)


def results(project: Project) -> dict[str, dict[str, object]]:
    return {path.stem: read_json(path) for path in sorted(project.sweeps.glob("*/*.json"))}


def test_a_job_is_scored_out_of_fold_and_remembered(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = hashes(finished.root, "data/simulated/gold.jsonl")
    finished.simulated("gold").unlink()  # gold is not for choosing
    value = run_job(finished, "detector.neighbours=3")
    ((key, result),) = results(finished).items()
    assert result["job"] == key
    assert result["config"]["neighbours"] == 3  # type: ignore[index]
    assert result["params"]["labels"] == "it002"  # type: ignore[index]
    assert 0.0 <= value <= 1.0
    assert "detector.neighbours=3" in result["overrides"]  # type: ignore[operator]
    written = hashes(finished.root, "sweeps/**/*")
    monkeypatch.setattr(sweep, "_compute", lambda *_: pytest.fail("computed again"))
    capsys.readouterr()
    assert run_job(finished, "detector.neighbours=3") == value
    assert "done before" in capsys.readouterr().out
    assert hashes(finished.root, "sweeps/**/*") == written
    assert gold


def test_jobs_differ_by_what_decides_their_result(finished: Project) -> None:
    for overrides in ([], ["detector.neighbours=3"], ["sweep.folds=3"], ["loop.seed=1"]):
        run_job(finished, *overrides)
    assert len(results(finished)) == 4
    run_job(finished, "sampler.budget=9", "project.title=other")
    assert len(results(finished)) == 4
    run_job(finished, "sweep.name=other")
    assert {path.parent.name for path in finished.sweeps.glob("*/*")} == {"default", "other"}


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (["+sweep.fold=3"], "sweep.fold"),
        (["+detector.neighbors=3"], "neighbors"),
        (["detector._target_=os.makedirs"], "os.makedirs"),
        (["sweep.iteration=it009"], "no label snapshot of 'it009'"),
        (["sweep.iteration='../it001'"], "sweep.iteration is '../it001', which is no name"),
        (["sweep.name='../../evil'"], "sweep.name is '../../evil', which is no name"),
        (["sweep.name='..%2fevil'"], "which is no name"),
        (["sweep.name='/tmp/evil'"], "which is no name"),
    ],
)
def test_a_wrong_job_is_refused(finished: Project, overrides: list[str], error: str) -> None:
    with pytest.raises((ConfigError, AnnotationError), match=error.replace(".", r"\.")):
        run_job(finished, *overrides)
    assert not finished.sweeps.exists()
    assert not list(finished.root.parent.glob("**/*evil*"))


def command(*overrides: str) -> list[str]:
    return [sys.executable, "-m", "tsloop.sweep", "-m", *OVERRIDES, *overrides]


@pytest.mark.slow
def test_a_sweep_outside_a_project_is_one_message(project_env: None, tmp_path: Path) -> None:
    done = run(tmp_path, *command("detector.neighbours=2,3"), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("sweep: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_killed_sweep_resumes_and_loses_nothing(finished: Project) -> None:
    """Eight jobs, two at a time, on a store that is not there yet."""
    root = finished.root
    configure(finished, ["tracking=local"])
    sweep_command = command(
        "detector.neighbours=2,3,4,5,6,7,8,9",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    )
    with subprocess.Popen(
        sweep_command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 240
        while not results(finished):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        family = [process, *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            try:
                os.kill(member.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    before = results(finished)
    done = run(root, *sweep_command)
    after = results(finished)
    assert len(after) == 8
    assert {key: after[key] for key in before} == before, "what was done is not done again"
    assert "out-of-fold" in done.stdout
    tsloop(root, "tracking", "sync")
    listed = run(root, sys.executable, "-c", LIST_RUNS, str(root)).stdout
    jobs = json.loads(listed.splitlines()[-1])
    assert [status for _, status in jobs] == ["FINISHED"] * 8
    assert {name for name, _ in jobs} == set(after)


LIST_RUNS = """
import json, pathlib, sys
from tsloop.config.params import read_params
from tsloop.config.schema import section
from tsloop.project import Project
from tsloop.tracking.config import store_uri
import mlflow
project = Project(pathlib.Path(sys.argv[1]))
params = read_params(project)
client = mlflow.MlflowClient(tracking_uri=store_uri(project.root, section(params, "tracking")))
ids = [e.experiment_id for e in client.search_experiments()]
runs = client.search_runs(ids)
jobs = [(r.info.run_name, r.info.status) for r in runs
        if r.data.tags.get("tsloop.stage") == "sweep" and "mlflow.parentRunId" in r.data.tags]
print(json.dumps(jobs))
"""
