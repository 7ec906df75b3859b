"""Stages run by hand, stages that fail, and input that changes under a running stage."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
import yaml

from project_tools import dvc, hashes, run
from tsloop.annotations.journal import read_journal, write_journal
from tsloop.config.params import configure
from tsloop.files import read_jsonl, write_jsonl
from tsloop.project import Project
from tsloop.stages.fit import note
from tsloop.stages.runner import StageContext, run_stage

OUTPUTS = ("data/**/[!.]*", "models/**/[!.]*", "reports/**/[!.]*", "registry/*")


def run_here(project: Project, name: str, key: str = "") -> int:
    """One stage in this process, as `python -m` would run it."""
    module = importlib.import_module(f"tsloop.stages.{name}")
    return run_stage(name, getattr(module, name), [key] if key else [])


def commands(project: Project) -> list[list[str]]:
    """Stage and key of everything in ``dvc.lock``, in an order in which they can run."""
    lock = yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return [stage["cmd"].split("tsloop.stages.")[1].split() for stage in lock.values()]


def test_a_stage_by_hand_gives_the_bytes_of_repro(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also from a subdirectory, and also in another process than DVC's."""
    before = hashes(finished.root, *OUTPUTS)
    monkeypatch.chdir(finished.root / "models")
    for command in commands(finished):
        assert run_here(finished, *command) == 0, capsys.readouterr().err
        line = capsys.readouterr().out.strip().splitlines()[-1]
        assert json.loads(line)["stage"] == command[0]
    assert hashes(finished.root, *OUTPUTS) == before


def test_trees_without_a_say_are_told_of() -> None:
    assert "nearest neighbours alone" in note({"fallback": 0.0, "trees_weight": 0.0})["note"]
    assert note({"fallback": 0.0, "trees_weight": 0.25}) == {}
    assert note({"fallback": 1.0, "trees_weight": 0.0}) == {}
    assert note({"loss": 0.1}) == {}


def test_a_stage_outside_a_project_says_so(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    assert run_stage("prepare", lambda context: {}, []) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(r"prepare stopped: .*not inside a tsloop project.*tsloop init DIR\n", error)


def test_a_failing_stage_prints_one_line(finished: Project) -> None:
    """The whole way through DVC: a broken journal, no traceback, nothing left behind."""
    root = finished.root
    shutil.copyfile(finished.simulated("gold"), finished.labels("gold"))
    finished.labels("it002").write_text('{"half": \n', encoding="utf-8")
    configure(finished)
    done = dvc(root, "repro", "dataset@it002", check=False)
    assert done.returncode
    said = [line for line in done.stderr.splitlines() if line.startswith("dataset stopped:")]
    assert len(said) == 1
    assert "data/labels/it002.jsonl" in said[0]
    assert "line 1" in said[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert not finished.snapshot("it002").exists()
    assert not finished.dataset("it002").exists()


def test_gold_among_the_labels_stops_the_dataset(finished: Project) -> None:
    """A leak is an error that names the series, and nothing half written stays."""
    root = finished.root
    gold = read_journal(finished.simulated("gold"))
    write_journal(finished.labels("it002"), [*read_journal(finished.simulated("it002")), gold[0]])
    shutil.copyfile(finished.simulated("gold"), finished.labels("gold"))
    labels = hashes(root, "data/labels/*", "data/simulated/*")
    configure(finished)
    done = dvc(root, "repro", "dataset@it002", check=False)
    assert done.returncode
    said = next(line for line in done.stderr.splitlines() if line.startswith("dataset stopped"))
    assert f"{gold[0].series_id} is gold" in said
    assert "Traceback" not in done.stderr
    for name in ("snapshots", "datasets"):
        left = [path.name for path in (root / "data" / name).iterdir()]
        assert sorted(left) == [".gitignore", "it001"]
    assert hashes(root, *labels) == labels
    assert finished.registry("it002").exists(), "what was published stays published"


def test_a_label_saved_while_the_dataset_is_made_stops_it(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DVC would record the new journal as what was read."""
    from tsloop.annotations import dataset

    journal = finished.simulated("it002")
    rows = read_jsonl(journal)
    made = dataset.build_dataset

    def slow(*arguments: object) -> object:
        write_jsonl(journal, [*rows, rows[0]])
        return made(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dataset, "build_dataset", slow)
    monkeypatch.chdir(finished.root)
    before = hashes(finished.root, "data/snapshots/**/*.*", "data/datasets/**/*.*")
    assert run_here(finished, "dataset", "it002") == 1
    assert "data/simulated/it002.jsonl was changed while" in capsys.readouterr().err
    assert hashes(finished.root, "data/snapshots/**/*.*", "data/datasets/**/*.*") == before


@pytest.mark.parametrize(
    ("change", "fails"), [("variants.knn.neighbours=3", True), ("gate.min_delta=0.1", False)]
)
def test_settings_that_change_under_a_stage_stop_it(
    finished: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
    fails: bool,
) -> None:
    """DVC reads params after the stage. What the stage does not use may change meanwhile."""

    def slow(context: StageContext) -> dict[str, int]:
        assert context.entry("fits")["variant"] == "knn"
        configure(finished, [change])
        return {}

    monkeypatch.chdir(finished.root)
    assert run_stage("fit", slow, ["it002-knn"]) == int(fails)
    said = capsys.readouterr().err
    assert ("params.yaml was changed while the stage was running" in said) is fails


def test_a_full_disk_is_one_line(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(context: StageContext) -> dict[str, int]:
        raise OSError(28, "No space left on device", "data/raw/x.parquet")

    monkeypatch.chdir(fresh.root)
    assert run_stage("acquire", full, []) == 1
    assert capsys.readouterr().err == (
        "acquire stopped: [Errno 28] No space left on device: 'data/raw/x.parquet'\n"
    )


def test_an_unknown_key_is_refused(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(fresh.root)
    assert run_here(fresh, "fit", "it009-knn") == 1
    assert "no fits.it009-knn" in capsys.readouterr().err


def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    dead, alive = process.pid, os.getpid()
    places = ("models/it001/.knn.tmp-{}/x", "data/simulated/.it001.jsonl.tmp-{}", ".p.tmp-{}")
    for pid in (dead, alive):
        for place in places:
            path = fresh.root / place.format(pid)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half", encoding="utf-8")
    keep = fresh.root / "data" / ".it001.tmp-notes"
    keep.write_text("mine", encoding="utf-8")
    monkeypatch.chdir(fresh.root)
    nothing: Callable[[StageContext], dict[str, int]] = lambda context: {}  # noqa: E731
    assert run_stage("acquire", nothing, []) == 0
    for place in places:
        assert not (fresh.root / place.format(dead)).exists()
        assert (fresh.root / place.format(alive)).exists()
    assert keep.exists()
    assert not run(fresh.root, "git", "status", "--short", "--", "models").stdout.count("tmp-")


@pytest.mark.parametrize("where", ["${oc.env:TSLOOP_HERE}/set.json"])
def test_entries_are_read_with_their_environment(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    configure(fresh, [f"labels.set='{where}'"])
    monkeypatch.setenv("TSLOOP_HERE", "/somewhere")
    monkeypatch.chdir(fresh.root)
    seen = []
    look: Callable[[StageContext], dict[str, int]] = lambda context: (  # noqa: E731
        seen.append(context.entry("datasets")["labels"]["set"]) or {}  # type: ignore[func-returns-value]
    )
    for key in ("it001", "it002"):
        assert run_stage("dataset", look, [key]) == 0
    assert seen == ["/somewhere/set.json"] * 2
