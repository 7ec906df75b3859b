"""Sweeps: what a job computes and remembers, and that a killed sweep goes on."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from project_tools import hashes, run, tsloop
from tsloop import sweep
from tsloop.cli.tables import sweeps_table
from tsloop.config.compose import compose
from tsloop.config.params import configure
from tsloop.config.schema import SweepConfig
from tsloop.errors import AnnotationError, ConfigError
from tsloop.execution import progress
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


def test_the_table_shows_the_jobs_of_this_start_only(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(finished, "detector.neighbours=3")
    run_job(finished, "sweep.name=other")
    start = finished.local / "hydra" / "now"
    monkeypatch.setenv(sweep.RUN_VARIABLE, str(start))
    run_job(finished, "detector.neighbours=3")  # done before, and asked for again
    done = [finished.root / read_json(path)["path"] for path in start.glob("done/*/*.json")]
    assert len(done) == 1
    table = sweeps_table(finished, done)
    assert list(table.columns[0].cells) == ["default"]
    assert "detector.neighbours=3" in str(next(iter(table.columns[2].cells)))
    assert len(list(sweeps_table(finished).columns[0].cells)) == 2


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
        (["sweep.objective=event_f2"], "'event_f2'.*Did you mean event_f1?"),
        (["sweep.objective=n_series"], "'n_series', which is no figure that can be better"),
        (["sweep.iteration=it009"], "no label snapshot of 'it009'"),
        (["sweep.iteration='../it001'"], "sweep.iteration is '../it001', which is no name"),
        (["sweep.name='../../evil'"], "sweep.name is '../../evil', which is no name"),
        (["sweep.name='..%2fevil'"], "which is no name"),
        (["sweep.name='/tmp/evil'"], "which is no name"),
    ],
)
def test_a_wrong_job_is_refused(finished: Project, overrides: list[str], error: str) -> None:
    with pytest.raises((ConfigError, AnnotationError), match=error.replace("?", r"\?")):
        run_job(finished, *overrides)
    assert results(finished) == {}
    assert not list(finished.root.parent.glob("**/*evil*"))


def test_an_upgrade_and_other_series_make_new_jobs(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(finished)
    fit = sweep.REVISIONS["fit"]
    for stage in ("publish", "queue"):
        monkeypatch.setitem(sweep.REVISIONS, stage, 99)
    run_job(finished)
    assert len(results(finished)) == 1
    for stage in ("base", "fit", "predict", "evaluate"):
        monkeypatch.setitem(sweep.REVISIONS, stage, 99)
        run_job(finished)
    assert len(results(finished)) == 5
    jobs = [str(cell) for cell in sweeps_table(finished).columns[1].cells]
    assert sum(job.endswith(" (older)") for job in jobs) == 4
    fits = [r["revisions"]["fit"] for r in results(finished).values()]  # type: ignore[index]
    assert sorted(fits) == [fit, fit, 99, 99, 99]
    manifest = finished.series / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8") + " ", encoding="utf-8")
    run_job(finished)
    assert len(results(finished)) == 6


def test_where_less_is_better_the_negative_is_returned(finished: Project) -> None:
    value = run_job(finished, "sweep.objective=clicks")
    ((_, result),) = results(finished).items()
    assert value == -result["metrics"]["clicks"] < 0  # type: ignore[index]
    assert run_job(finished, "sweep.objective=vus_pr") == result["metrics"]["vus_pr"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("objective", "value", "returned"),
    [
        ("event_f1", 0.4, 0.4),
        ("event_precision", None, 0.0),
        ("false_alarms_per_clean_series", 2.0, -2.0),
        ("false_alarms_per_clean_series", None, -math.inf),
    ],
)
def test_an_undefined_objective_is_the_worst(
    objective: str, value: float | None, returned: float
) -> None:
    assert SweepConfig(objective=objective).larger_is_better(value) == returned


def test_a_job_shows_how_far_it_is(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    run_job(finished)
    printed = capsys.readouterr()
    ((key, result),) = results(finished).items()
    n_series = result["metrics"]["n_series"]  # type: ignore[index]
    lines = printed.err.splitlines()
    assert f"[sweep {key}] 0/{n_series + 2:.0f} (0 %) fold 1: fitting" in lines[0]
    assert any("fold 1: fitting 100 %" in line for line in lines)
    assert any("fold 2: " in line for line in lines)
    assert f"{n_series + 2:.0f}/{n_series + 2:.0f} (100 %)" in lines[-1]
    assert f"{key}: done in " in printed.out


# --- the command -------------------------------------------------------------------------------


def sweep_here(
    project: Project, monkeypatch: pytest.MonkeyPatch, *overrides: str, multirun: bool = True
) -> int:
    """The command in this process; returns its exit code."""
    monkeypatch.chdir(project.root)
    flag = ["-m"] if multirun else []
    monkeypatch.setattr(sys, "argv", ["sweep", *flag, *OVERRIDES, *overrides])
    for name in (sweep.RUN_VARIABLE, "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "")  # so that what the command sets is taken back
        monkeypatch.delenv(name)
    code: object = 0
    try:
        sweep.main()
    except SystemExit as end:
        code = end.code
    finally:
        GlobalHydra.instance().clear()
    assert isinstance(code, int)
    return code


def test_a_failed_job_is_told_at_the_end_and_stops_no_other(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_here(finished, monkeypatch, "detector.neighbours=0,2,3") == 1
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    reason = "knn.neighbours is 0, but must be at least 1."
    assert printed.err.startswith(f"failed: {reason}  detector=knn detector.neighbours=0\n")
    done, failed = printed.out.split("failed: 1")
    assert "out-of-fold" in done
    assert reason in " ".join(failed.split())
    assert len(results(finished)) == 2
    (record,) = [read_json(path) for path in finished.sweeps.glob("default/failed/*.json")]
    assert record["reason"] == reason
    assert "detector.neighbours=0" in record["overrides"]
    assert sweep_here(finished, monkeypatch, "detector.neighbours=2,3") == 0
    assert "failed:" not in capsys.readouterr().out, "the table is of this start"


def test_a_failure_is_forgotten_when_the_job_succeeds(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "_compute", lambda *_: 1 / 0)
        assert sweep_here(finished, patch) == 1
    (path,) = finished.sweeps.glob("default/failed/*.json")
    record = read_json(path)
    assert record["reason"] == "ZeroDivisionError: division by zero"
    assert "Traceback" in record["traceback"], "a fault of the program can be found"
    assert sweep_here(finished, monkeypatch) == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["detector=nothing,knn"], "sweep: In 'sweep': Could not find 'detector/nothing'"),
        (["detector.neighbors=2,3"], "sweep: Could not override 'detector.neighbors'."),
        (["detector.neighbours=["], "sweep: "),
        (["sweep.name='../../evil'"], "failed: sweep.name is '../../evil', which is no name"),
        (["sweep.objective=event_f2"], "failed: sweep.objective is 'event_f2'"),
    ],
)
def test_a_wrong_command_is_one_line(
    finished: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    message: str,
) -> None:
    assert sweep_here(finished, monkeypatch, *overrides) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(message)
    assert len(printed.err.splitlines()) == 1
    assert not list(finished.root.parent.glob("**/*evil*"))
    assert not results(finished)


def test_a_single_job_fails_like_a_sweep(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep_here(finished, monkeypatch, "detector.neighbours=0", multirun=False) == 1
    assert "failed: 1" in capsys.readouterr().out


def test_a_missing_optuna_names_the_extra(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep.importlib.util, "find_spec", lambda name: None)
    assert sweep_here(finished, monkeypatch, "hydra/sweeper=search") == 1
    assert "pip install 'tsloop[sweep]'" in capsys.readouterr().err


def test_twenty_starts_at_once_get_twenty_directories(tmp_path: Path) -> None:
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(sweep._new_run, [Project(tmp_path)] * 20))
    assert len(set(made)) == 20
    assert {path.name for path in (tmp_path / ".tsloop" / "hydra").iterdir()} == {
        path.name for path in made
    }


def optuna_installed() -> bool:
    return importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is not None


@pytest.mark.skipif(not optuna_installed(), reason="needs the extra: pip install 'tsloop[sweep]'")
@pytest.mark.filterwarnings("ignore")
def test_optuna_maximises_and_resumes_by_its_seed(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ["hydra/sweeper=search", "sweep.objective=vus_pr", "detector.neighbours=range(0,40)"]
    assert sweep_here(finished, monkeypatch, *search, "hydra.sweeper.n_trials=4") in (0, 1)
    found = results(finished)
    (best,) = finished.local.glob("hydra/*/optimization_results.yaml")
    scores = [r["metrics"]["vus_pr"] for r in found.values()]  # type: ignore[index]
    assert yaml.safe_load(best.read_text("utf-8"))["best_value"] == max(scores)
    assert min(scores) < max(scores)
    capsys.readouterr()
    sweep_here(finished, monkeypatch, *search, "hydra.sweeper.n_trials=5")
    assert capsys.readouterr().out.count("done before") >= len(found)
    assert sweep_here(finished, monkeypatch, "hydra/sweeper=optuna", *search[1:]) == 1
    assert "larger is better" in capsys.readouterr().err


def command(*overrides: str) -> list[str]:
    return [sys.executable, "-m", "tsloop.sweep", "-m", *OVERRIDES, *overrides]


@pytest.mark.slow
def test_a_sweep_outside_a_project_is_one_message(project_env: None, tmp_path: Path) -> None:
    done = run(tmp_path, *command("detector.neighbours=2,3"), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("sweep: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_eight_jobs_at_once_on_a_fresh_store_and_none_is_lost(finished: Project) -> None:
    """Eight worker processes; one job fails, which the others do not notice."""
    configure(finished, ["tracking=local"])
    assert not (finished.local / "mlflow.db").exists()
    with subprocess.Popen(
        command(
            "detector.neighbours=0,2,3,4,5,6,7,8,9",
            "hydra/launcher=joblib",
            "hydra.launcher.n_jobs=8",
            "hydra.launcher.batch_size=1",
        ),
        cwd=finished.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        most = 0
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                family = psutil.Process(process.pid).children(recursive=True)
                most = max(most, sum("LokyProcess" in " ".join(p.cmdline()) for p in family))
            time.sleep(0.1)
        out, err = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in out + err
    assert "not in MLflow yet" not in err
    assert "failed: 1" in out
    assert most == 8
    found = results(finished)
    assert len(found) == 8
    listed = run(finished.root, sys.executable, "-c", LIST_RUNS, str(finished.root)).stdout
    jobs = json.loads(listed.splitlines()[-1])
    assert sorted(jobs) == sorted([name, "FINISHED"] for name in found)


@pytest.mark.slow
def test_twenty_processes_at_once_get_twenty_directories(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys;"
        "from tsloop.sweep import _new_run; from tsloop.project import Project;"
        "print('ready', flush=True); sys.stdin.read();"
        "print(_new_run(Project(pathlib.Path(sys.argv[1]))))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(20)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
    made = set()
    for process in started:
        with process:
            assert process.stdout is not None
            made.add(process.stdout.read())
    assert len(made) == 20


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
