"""kill -9 of a stage, of dvc, of both, at every stage of an iteration: nothing is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from project_tools import changed, copy_project, hashes, repro, run_stages, stages_in_order
from tsloop.annotations.journal import read_journal
from tsloop.config.params import configure
from tsloop.detectors.files import load_detector
from tsloop.files import sha256_tree
from tsloop.project import Project
from tsloop.tracking.promotions import champion_model, promote

STOPPER = Path(__file__).parent / "stopper"
OUTPUTS = ("data/**/[!.]*", "models/**/[!.]*", "reports/**/[!.]*", "registry/*", "params.yaml")
LABELS = ("data/labels/*", "data/simulated/*.jsonl")
KINDS = ("stage", "dvc", "both")


def start(project: Project, stage: str, stop: str = "") -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, [str(STOPPER), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    if stop:
        environment["TSLOOP_TEST_STOP"] = stop
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", stage],
        cwd=project.root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def family_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(process: subprocess.Popen[bytes], name: str, kind: str) -> None:
    """SIGKILL, then wait until nobody of the family is left: no orphan goes on writing."""
    family = family_of(process)
    for member in family:
        try:
            is_stage = f"tsloop.stages.{name}" in member.cmdline()
        except psutil.Error:
            continue
        if (is_stage and kind != "dvc") or (member.pid == process.pid and kind != "stage"):
            member.kill()
    process.wait(60)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, f"still there after {kind} was killed in {name}: {alive}"


def wait_for(flag: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not flag.exists():
        assert process.poll() is None, f"{flag.name}: the stage ended without reaching its write"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def check_what_is_visible(project: Project) -> None:
    """Whatever lies at its final place is whole."""
    for model in project.root.glob("models/*/[a-z]*"):
        load_detector(model)
    for journal in (*project.root.glob("data/simulated/*.jsonl"), project.labels("gold")):
        read_journal(journal)


def writes_of(project: Project, stage: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a stage writes to the disk."""
    calls = 0
    real = os.fsync

    def count(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", count)
        run_stages(project, stage, record=False)
    return calls


@pytest.mark.slow
def test_kill_9_anywhere_then_repro_finishes(
    fresh: Project,
    finished: Project,
    finished_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(20240304)
    counting = copy_project(finished, tmp_path / "counting")
    fresh.labels("it007").write_bytes(finished.simulated("it001").read_bytes())
    stages = [stage for stage in stages_in_order(fresh) if "it002" not in stage]
    assert {stage.partition("@")[0] for stage in stages} == {
        *("acquire", "prepare", "base", "annotate", "dataset"),
        *("fit", "predict", "evaluate", "queue", "publish"),
    }
    for number, stage in enumerate(stages):
        name = stage.partition("@")[0]
        writes = writes_of(counting, stage, monkeypatch)
        labels = hashes(fresh.root, *LABELS)
        for kind in KINDS:
            flag = tmp_path / f"{number}-{kind}"
            process = start(fresh, stage, f"{name}:{rng.randint(1, writes)}:{flag}")
            wait_for(flag, process)
            kill(process, name, kind)
            before = hashes(fresh.root, *OUTPUTS)
            check_what_is_visible(fresh)
            assert labels.items() <= hashes(fresh.root, *LABELS).items()
            time.sleep(0.1)
            assert hashes(fresh.root, *OUTPUTS) == before
        process = start(fresh, stage)  # and once at any moment, not only at writes
        time.sleep(rng.uniform(0.2, 3.0))
        kill(process, name, rng.choice(KINDS))
        check_what_is_visible(fresh)
        assert repro(fresh.root, stage) in ([stage], []), "only the killed stage runs again"
    repro(fresh.root)
    assert not changed(fresh.root)
    fresh.labels("it007").unlink()
    assert hashes(fresh.root, *OUTPUTS) == hashes(finished_template, *OUTPUTS)
    left = [p for top in ("data", "models", "reports") for p in fresh.root.glob(f"{top}/**/.*tmp*")]
    assert not left


@pytest.mark.slow
def test_a_killed_fit_leaves_the_champion_as_it_is(finished: Project, tmp_path: Path) -> None:
    """DVC removes a stage's outputs before it runs, so what is served cannot be one of them."""
    promote(finished.root, "it002", "knn", force=True, reason="a test")
    configure(finished, ["variants.knn.neighbours=3"])
    process = start(finished, "fit@it002-knn", f"fit:1:{tmp_path / 'flag'}")
    wait_for(tmp_path / "flag", process)
    kill(process, "fit", "both")
    assert not finished.model("it002", "knn").exists()
    found = champion_model(finished.root)
    assert found is not None
    load_detector(found[1])
    assert sha256_tree(found[1]) == found[0].model_sha256
