"""Creating, deleting, archiving and cleaning up iterations of a real project."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from project_tools import (
    changed,
    commit,
    dvc,
    hashes,
    repro,
    run,
    run_all,
    run_stages,
    stages_in_order,
    tsloop,
)
from tsloop.annotations.journal import read_journal, write_journal
from tsloop.config.params import configure, read_iterations, read_params
from tsloop.errors import ConfigDriftError, IterationError, IterationNotFoundError, ProjectError
from tsloop.execution import dvc_lock
from tsloop.files import read_json
from tsloop.loop import archive, manager
from tsloop.loop.manager import IterationManager
from tsloop.loop.states import State
from tsloop.project import Project


def copy_labels(project: Project, iteration: str) -> None:
    """What the simulated annotator wrote, as if people had."""
    for name in (iteration, "gold"):
        shutil.copyfile(project.simulated(name), project.labels(name))


def test_a_leaf_goes_with_all_it_made_but_its_labels(finished: Project) -> None:
    root, steward = finished.root, IterationManager(finished)
    before = hashes(root, "params.yaml", "registry/*", "models/**/*.*")
    steward.create_iteration()
    run_stages(finished, "annotate@it003", "dataset@it003")
    write_journal(finished.labels("it003"), [])
    steward.delete("it003")
    assert hashes(root, *before) == before
    left = {path.relative_to(root).as_posix() for path in root.rglob("it003*")}
    left = {path for path in left if not path.startswith((".git/", ".dvc/"))}
    assert left == {"data/labels/it003.jsonl"}
    assert "it003" not in (root / "dvc.lock").read_text(encoding="utf-8")
    assert not changed(root)


def test_parents_champions_and_strangers_cannot_be_deleted(finished: Project) -> None:
    steward = IterationManager(finished)
    before = hashes(finished.root, "params.yaml", "dvc.lock", "conf/**/*")
    with pytest.raises(IterationError, match="it002 builds on it"):
        steward.delete("it001")
    with pytest.raises(IterationNotFoundError, match="it009"):
        steward.delete("it009")
    with pytest.raises(IterationError, match=r"it002/knn is the challenger.*newer"):
        steward.delete("it002")
    done = tsloop(finished.root, "promote", "it002/knn", "--force", "--reason", "a test")
    assert "it002/knn" in done.stdout
    with pytest.raises(IterationError, match=r"it002/knn is the champion.*rollback"):
        steward.delete("it002")
    assert hashes(finished.root, *before) == before


def test_names_and_parents_are_checked(fresh: Project) -> None:
    steward = IterationManager(fresh)
    before = hashes(fresh.root, "params.yaml", "conf/**/*")
    with pytest.raises(IterationError, match="it002 exists already"):
        steward.create_iteration("it002")
    with pytest.raises(IterationError, match="not an iteration name"):
        steward.create_iteration("../it004")
    with pytest.raises(IterationNotFoundError, match="it077"):
        steward.create_iteration("", "it077")
    assert hashes(fresh.root, *before) == before


HOLD = """
import pathlib, sys, time
from tsloop.execution.guard import project_lock
with project_lock(pathlib.Path(sys.argv[1]), "a test"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_nothing_changes_while_somebody_else_runs_the_project(fresh: Project) -> None:
    steward = IterationManager(fresh)
    before = hashes(fresh.root, "params.yaml", "conf/**/*")
    command = [sys.executable, "-c", HOLD, str(fresh.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline().strip() == "held"
            for change in (steward.create_iteration, lambda: steward.delete("it002")):
                with pytest.raises(ProjectError, match=r"busy.*a test"):
                    change()
        finally:
            holder.kill()
    assert hashes(fresh.root, *before) == before


def test_a_change_that_came_first_is_not_lost(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process did just before the lock was taken is read under the lock."""
    steward, other = IterationManager(fresh), IterationManager(fresh)
    lock = dvc_lock.exclusive_project

    @contextlib.contextmanager
    def after(change: Callable[[], object], project_dir: Path, what: str) -> Iterator[None]:
        monkeypatch.setattr(dvc_lock, "exclusive_project", lock)
        change()
        with lock(project_dir, what):
            yield

    def interleave(change: Callable[[], object]) -> None:
        monkeypatch.setattr(dvc_lock, "exclusive_project", partial(after, change))

    interleave(other.create_iteration)
    assert steward.create_iteration().name == "it004"
    assert list(read_iterations(fresh)) == ["it001", "it002", "it003", "it004"]
    interleave(other.create_iteration)
    with pytest.raises(IterationError, match="it005 builds on it"):
        steward.delete("it004")
    interleave(lambda: other.create_iteration("it009", "it001"))
    steward.delete("it005")
    assert list(read_iterations(fresh)) == ["it001", "it002", "it003", "it004", "it009"]
    interleave(lambda: other.delete("it009"))
    with pytest.raises(IterationError, match="not published"):
        steward.archive(keep=1)
    interleave(lambda: other.delete("it004"))
    assert steward.archive(keep=3) == []
    assert list(read_iterations(fresh)) == ["it001", "it002", "it003"]


def test_iterations_do_not_change_while_conf_and_params_disagree(fresh: Project) -> None:
    """Otherwise an iteration would be frozen with settings that it never ran with."""
    sampler = fresh.conf / "sampler" / "mixed.yaml"
    sampler.write_text(sampler.read_text("utf-8").replace("audit_share: 0.2", "audit_share: 0.4"))
    with pytest.raises(ConfigDriftError, match=r"sampler\.audit_share.*tsloop configure"):
        IterationManager(fresh).create_iteration()
    assert list(read_iterations(fresh)) == ["it001", "it002"]


def test_archiving_keeps_every_byte_and_reruns_nothing(finished: Project) -> None:
    root, steward = finished.root, IterationManager(finished)
    steward.create_iteration()
    outputs = hashes(
        root, "models/it001/**/*.*", "data/*/it001*", "data/*/it001/**/*.*", "reports/**/*it001*"
    )
    metrics = steward.get_iteration_metrics("it001")
    sources = [iteration.base_model for iteration in steward.list_iterations()]
    assert sources == ["base/knn", "it001/knn", "it002/knn"]
    with pytest.raises(IterationError, match="uncommitted changes"):
        steward.archive(keep=2)
    assert not (root / "archive").exists()
    commit(root)
    assert steward.archive(keep=2) == ["it001"]
    tracked = yaml.safe_load((root / "archive" / "it001.dvc").read_text(encoding="utf-8"))
    paths = {out["path"] for out in tracked["outs"]}
    assert {"models/it001/knn", "data/snapshots/it001", "reports/it001"} <= paths
    lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))
    assert not any("it001" in stage for stage in lock["stages"])
    assert hashes(root, *outputs) == outputs
    shown = steward.show("it001")
    assert shown.archived
    assert shown.base_model == "base/knn"
    assert shown.state in (State.COMPLETED, State.REVIEWING)
    assert shown.metrics == metrics != {}
    assert {stage.partition("@")[2].split("-")[0] for stage in changed(root)} == {"it003"}
    assert run(root, "git", "tag").stdout.split() == ["tsloop/it001"]
    with pytest.raises(IterationError, match="git checkout tsloop/it001"):
        steward.prepare_training_data("it001")
    assert steward.archive(keep=2) == []


def test_an_interrupted_archive_goes_on(finished: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    root, steward = finished.root, IterationManager(finished)
    monkeypatch.setattr(manager, "track_outputs", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        steward.archive(keep=1)
    monkeypatch.setattr(manager, "track_outputs", archive.track_outputs)
    assert not changed(root), "killed in the middle, the pipeline still stands"
    assert steward.archive(keep=1) == ["it001"]
    assert (root / "archive" / "it001.dvc").exists()
    assert not changed(root)


@pytest.mark.slow
def test_gc_takes_old_weights_and_nothing_else(finished: Project) -> None:
    root, steward = finished.root, IterationManager(finished)
    for name in ("it003", "it004"):
        steward.create_iteration(name)
    copy_labels(finished, "it001")
    commit(root)
    pretend_run(finished, "it003")
    commit(root)
    assert steward.archive(keep=1) == ["it001", "it002", "it003"]
    treasure = hashes(
        root, "data/labels/*", "data/simulated/*", "data/snapshots/**/*.*", "reports/**/*.*"
    )
    treasure |= hashes(root, "registry/*", "models/it003/**/*.*")
    planned = steward.collect_garbage(0, dry_run=True)
    assert hashes(root, *treasure) == treasure
    assert set(planned) == {
        f"{place}/{name}"
        for place in ("models", "data/predictions", "data/datasets")
        for name in ("it001", "it002")
    }, "it003 is the parent of a live iteration"
    assert steward.collect_garbage(1) == planned
    assert hashes(root, *treasure) == treasure
    assert not (root / "models" / "it001").exists()
    assert {stage.partition("@")[2].split("-")[0] for stage in changed(root)} == {"it004"}
    assert steward.collect_garbage(1) == []


def pretend_run(project: Project, name: str) -> None:
    """Give an iteration the outputs of its parent, in place of a run."""
    root, parent = project.root, read_iterations(project)[name].parent
    for path in sorted(root.glob(f"**/{parent}*")):
        place = path.relative_to(root)
        if place.parts[0] in (".git", ".dvc", ".tsloop", "conf", "archive"):
            continue
        target = path.with_name(path.name.replace(parent, name))
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, target)
    record = project.registry(name)
    record.write_text(record.read_text("utf-8").replace(parent, name), encoding="utf-8")
    dvc(root, "commit", "--force", *(s for s in stages(project) if s.partition("@")[2][:5] == name))


def stages(project: Project) -> list[str]:
    return [line.split()[0] for line in dvc(project.root, "stage", "list").stdout.splitlines()]


@pytest.mark.slow
def test_people_open_an_iteration_when_they_are_done(
    fresh: Project, finished_template: Path
) -> None:
    """At rest the pipeline is green; a journal opens the stages of its iteration."""
    root, steward = fresh.root, IterationManager(fresh)
    template = Project(finished_template)
    labels = {name: template.simulated(name).read_bytes() for name in ("it001", "it002", "gold")}
    configure(fresh, ["annotator=human"])
    assert not read_params(fresh)["datasets"]
    run_all(fresh)
    assert not changed(root), "nothing to do for DVC while people label"
    assert "tsloop labels template it001" in tsloop(root, "status").stdout.splitlines()[-1]
    with pytest.raises(IterationError, match="no labels yet"):
        steward.prepare_training_data("it001")
    fresh.labels("gold").write_bytes(labels["gold"])
    assert changed(root) == {"queue@base"}, "what is gold now is not asked about"
    run_stages(fresh, "queue@base")
    fresh.labels("it002").write_bytes(labels["it002"])
    configure(fresh)
    assert not read_params(fresh)["datasets"], "it002 waits for it001"
    fresh.labels("it001").write_bytes(labels["it001"])
    assert not changed(root), "a journal in the making starts nothing"
    assert "tsloop configure" in tsloop(root, "status").stdout.splitlines()[-1]
    dataset = steward.prepare_training_data("it001")
    assert (dataset / "examples.jsonl").exists()
    assert set(read_params(fresh)["datasets"]) == {"it001", "it002"}
    assert read_params(fresh)["datasets"]["it001"]["journal"] == "data/labels/it001.jsonl"
    assert {name: fresh.labels(name).read_bytes() for name in labels} == labels
    run_stages(fresh, *(s for s in stages_in_order(fresh) if "it00" in s))
    assert not changed(root)
    gold = read_journal(fresh.labels("gold"))
    write_journal(fresh.labels("gold"), gold[:-1])
    assert changed(root) == {
        *(f"{stage}@{name}" for stage in ("dataset", "evaluate") for name in ("it001", "it002")),
        *(f"queue@{name}" for name in ("base", "it001", "it002")),
    }, "dataset and queue only look for leaks; what they make stays the same"


def test_people_take_over_from_a_simulated_annotator(finished: Project) -> None:
    """The published past stays as it is, also its youngest iteration; the next is for people."""
    before = read_params(finished)
    configure(finished, ["annotator=human"])
    params = read_params(finished)
    for key in ("datasets", "fits", "evaluations", "annotations"):
        assert params[key] == before[key]
    IterationManager(finished).create_iteration()
    params = read_params(finished)
    assert params["fits"] == before["fits"]
    assert "it003" not in params["datasets"]
    assert not changed(finished.root)
    write_journal(finished.labels("it003"), [])
    configure(finished)
    params = read_params(finished)
    assert params["datasets"]["it003"]["gold"] == "data/labels/gold.jsonl"
    assert params["fits"]["it003-knn"]["parent_model"] == "models/it002/knn"
    assert set(params["annotations"]) == {"gold", "it001", "it002"}


def test_people_may_correct_a_simulated_iteration(finished: Project) -> None:
    write_journal(finished.labels("it002"), [])
    configure(finished)
    entry = read_params(finished)["datasets"]["it002"]
    assert entry["journal"] == "data/labels/it002.jsonl"


@pytest.mark.slow
def test_a_variant_that_goes_takes_its_outputs_along(finished: Project) -> None:
    root = finished.root
    before = read_params(finished)
    configure(finished, ["+detector@variants.second=knn"])
    params = read_params(finished)
    assert params["fits"]["it002-second"]["parent_model"] == "models/base/second"
    assert params["evaluations"]["it001"] == before["evaluations"]["it001"]
    new = ("base@second", "fit@it002-second", "predict@it002-second")
    assert changed(root) == {*new, "evaluate@it002", "publish@it002"}
    run_stages(finished, *new, "evaluate@it002", "publish@it002")
    assert set(read_json(finished.registry("it002"))["variants"]) == {"knn", "second"}
    assert not changed(root)
    configure(finished, ["~detector@variants.second"])
    assert not finished.model("it002", "second").exists()
    assert not finished.predictions("it002", "second").exists()
    assert not finished.model("base", "second").exists()
    assert changed(root) == {"evaluate@it002", "publish@it002"}
    run_stages(finished, "evaluate@it002", "publish@it002")
    assert set(read_json(finished.registry("it002"))["variants"]) == {"knn"}


@pytest.mark.slow
def test_the_tag_of_an_archived_iteration_reproduces_it(finished: Project, tmp_path: Path) -> None:
    root = finished.root
    assert IterationManager(finished).archive(keep=1) == ["it001"]
    commit(root)
    old = hashes(root, "models/it001/**/*.*", "reports/it001/*", "registry/it001.json")
    again = tmp_path / "again"
    run(tmp_path, "git", "clone", "-q", str(root), str(again))
    run(again, "git", "checkout", "-q", "tsloop/it001")
    ran = repro(again, "publish@it001")
    assert "fit@it001-knn" in ran
    assert hashes(again, *old) == old
