"""States of real projects: what is there, belongs together, runs, or failed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from project_tools import changed, run_stages
from tsloop.annotations.journal import read_journal, write_journal
from tsloop.cli.status import next_step
from tsloop.config import params
from tsloop.config.params import configure, read_iterations
from tsloop.execution.failures import forget_failure, read_failures, record_failure
from tsloop.loop import freshness
from tsloop.loop.facts import ProjectView, gather_facts, new_labels_wait
from tsloop.loop.manager import IterationManager
from tsloop.loop.states import IterationFacts, State
from tsloop.project import Project
from tsloop.stages import dataset as dataset_stage
from tsloop.stages.runner import StageContext, run_stage

END = (State.REVIEWING, State.COMPLETED)


def seen(project: Project, name: str = "it002") -> IterationFacts:
    return gather_facts(project, read_iterations(project)[name])


def advice(project: Project) -> str:
    """The last line of `tsloop status`, without MLflow."""
    view = ProjectView(project)
    facts = {name: gather_facts(project, spec, view) for name, spec in view.specs.items()}
    return next_step(
        IterationManager(project).list_iterations(),
        {name for name in facts if new_labels_wait(view, name)},
        {name for name, found in facts.items() if not (found.report and found.published)},
    )


def test_what_dvc_finds_unchanged_is_current(finished_template: Path) -> None:
    records = ProjectView(Project(finished_template)).records
    assert len(records.stages) > 12
    assert [stage for stage in records.stages if not records.is_current(stage)] == []
    assert not records.is_current("fit@it009-knn")


def test_replaced_labels_take_an_iteration_back(finished: Project) -> None:
    steward = IterationManager(finished)
    assert steward.show("it002").state in END
    assert "promote" in advice(finished)
    shutil.copyfile(finished.simulated("gold"), finished.labels("gold"))
    write_journal(finished.labels("it002"), read_journal(finished.simulated("it002"))[:-1])
    assert steward.show("it002").state is State.ANNOTATING
    assert "tsloop configure && dvc repro" in advice(finished)
    configure(finished)
    assert steward.show("it002").state is State.ANNOTATING
    assert advice(finished) == "Next: dvc repro (brings it002 from Annotating on)"
    assert "dataset@it002" in changed(finished.root)
    run_stages(finished, "dataset@it002")
    assert steward.show("it002").state is State.DATA_READY
    run_stages(finished, "fit@it002-knn")
    assert steward.show("it002").state is State.TRAINED
    run_stages(finished, "predict@it002-knn")
    facts = seen(finished)
    assert (facts.report, facts.published) == (False, False), "they tell of the older models"
    assert steward.show("it002").state is State.REVIEWING
    assert "dvc repro" in advice(finished)
    run_stages(finished, "evaluate@it002", "queue@it002")
    assert (seen(finished).report, seen(finished).published) == (True, False)
    run_stages(finished, "publish@it002")
    assert (seen(finished).report, seen(finished).published) == (True, True)
    assert "promote" in advice(finished)
    labels = read_journal(finished.labels("it002"))
    write_journal(finished.labels("it002"), labels[:-1])
    assert steward.show("it002").state is State.ANNOTATING, "a label was taken back"


def test_changed_settings_take_an_iteration_back(finished: Project) -> None:
    show = IterationManager(finished).show
    configure(finished, ["variants.knn.neighbours=3"])
    assert show("it002").state is State.DATA_READY
    assert show("it001").state in END, "it is built upon, so it keeps its settings"
    assert {s for s in changed(finished.root) if "it00" in s} >= {"fit@it002-knn"}
    configure(finished, ["variants.knn.neighbours=5"])
    assert show("it002").state in END
    configure(finished, ["split.valid_share=0.5"])
    assert show("it002").state is State.ANNOTATING
    configure(finished, ["split.valid_share=0.25", "evaluate.n_bootstrap=21"])
    assert show("it002").state is State.REVIEWING
    assert "dvc repro" in advice(finished)


def test_the_number_notations_of_dvc_and_of_params_are_the_same_number() -> None:
    assert freshness._same({"rate": "1e-05"}, {"rate": 1e-05})
    assert freshness._same([1, "a"], [1, "a"])
    assert not freshness._same({"rate": "many"}, {"rate": 1e-05})
    assert not freshness._same({"a": 1}, {"a": 1, "b": 2})


def test_without_the_cache_nothing_is_called_outdated(finished: Project) -> None:
    shutil.rmtree(finished.root / ".dvc" / "cache")
    records = ProjectView(finished).records
    assert [stage for stage in records.stages if not records.is_current(stage)] == []


def test_a_cache_elsewhere_is_found(finished: Project, tmp_path: Path) -> None:
    (finished.root / ".dvc" / "cache").rename(tmp_path / "elsewhere")
    config = finished.root / ".dvc" / "config.local"
    config.write_text(f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n", encoding="utf-8")
    run_stages(finished, "predict@it002-knn", record=False)
    records = ProjectView(finished).records
    assert records._now("models/it002").endswith(".dir")
    assert records.is_current("evaluate@it002")


def test_a_broken_dvc_lock_means_that_nothing_is_known(finished: Project) -> None:
    """As after a merge conflict: DVC would run everything again."""
    (finished.root / "dvc.lock").write_text("<<<<<<< HEAD\n", encoding="utf-8")
    assert IterationManager(finished).show("it002").state is State.ANNOTATING


def test_all_iterations_are_looked_at_with_one_reading(
    finished: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    load = params.load_yaml

    def counted(text: str) -> object:
        texts.append(text)
        return load(text)

    for module in (params, freshness):
        monkeypatch.setattr(module, "load_yaml", counted)
    assert len(IterationManager(finished).list_iterations()) == 2
    assert len(texts) == 3, "params.yaml, iterations.yaml and dvc.lock"


def test_what_dvc_is_making_tells_the_state(finished: Project) -> None:
    def write(path: str) -> None:
        entry = {"pid": os.getpid(), "cmd": "dvc repro"}
        lock = {"write": {str(finished.root.resolve() / path): entry}, "read": {}}
        (finished.root / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(lock), encoding="utf-8")

    show = IterationManager(finished).show
    write("data/predictions/it002/knn")
    assert show("it002").state is State.INFERRING
    assert show("it001").state in END
    write("models/it002/knn")
    assert show("it002").state is State.TRAINING, "though the old model is there"
    write("reports/it002")
    assert show("it002").state in END


def test_a_failed_stage_leaves_its_reason(
    finished: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    show = IterationManager(finished).show
    shutil.copyfile(finished.simulated("gold"), finished.labels("gold"))
    finished.labels("it002").write_text("no record\n", encoding="utf-8")
    configure(finished)
    with pytest.raises(AssertionError, match="dataset@it002 failed"):
        run_stages(finished, "dataset@it002")
    assert "dataset stopped" in capsys.readouterr().err
    (failure,) = read_failures(finished.root)
    assert failure.stage == "dataset@it002"
    shown = show("it002")
    assert shown.state is State.ANNOTATING
    assert shown.failure.startswith(f"stage dataset@it002 at {failure.time[:16]}")
    assert "it002.jsonl, line 1 is not valid JSON" in shown.failure
    assert show("it001").failure == ""
    assert advice(finished).startswith("it002 failed: stage dataset@it002")
    shutil.copyfile(finished.simulated("it002"), finished.labels("it002"))
    run_stages(finished, "dataset@it002")
    assert show("it002").failure == ""
    assert read_failures(finished.root) == []


def test_a_failure_ends_with_what_it_was_about(finished: Project) -> None:
    root, show = finished.root, IterationManager(finished).show
    configure(finished, ["evaluate.n_bootstrap=21"])
    record_failure(root, "fit@it002-gone", "no such variant any more")
    record_failure(root, "predict@it002-knn", "made by `dvc checkout` meanwhile")
    assert show("it002").failure == ""
    shutil.rmtree(finished.predictions("it002", "knn"))
    assert "checkout" in show("it002").failure
    record_failure(root, "acquire", "all wait for the series" + "!" * 500)
    shutil.rmtree(finished.raw)
    assert show("it002").failure.endswith("!…")
    assert show("it001").failure == "", "published: nothing of it is missing"
    for stage in ("acquire", "predict@it002-knn"):
        forget_failure(root, stage)
    finished.registry("it002").unlink()
    IterationManager(finished).delete("it002")
    assert not list((root / ".tsloop" / "failures").iterdir())


def test_a_failure_that_cannot_be_kept_hides_no_other(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(context: StageContext) -> dict[str, object]:
        raise RuntimeError("a bug")

    monkeypatch.chdir(finished.root)
    with pytest.raises(RuntimeError, match="a bug"):
        run_stage("dataset", broken, ["it002"])
    (failure,) = read_failures(finished.root)
    assert failure.reason == "RuntimeError('a bug')"
    shutil.rmtree(finished.root / ".tsloop" / "failures")
    (finished.root / ".tsloop" / "failures").write_text("in the way", encoding="utf-8")
    assert run_stage("dataset", dataset_stage.dataset, ["it009"]) == 1
    assert "datasets.it009" in capsys.readouterr().err
    record_failure(finished.root, "../outside", "no stage name")
    assert read_failures(finished.root) == []
