"""What a notebook does with `tsloop.api`, and the examples of docs/api.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import tsloop
from project_tools import hashes, run_stages
from tsloop import api
from tsloop.annotations.journal import read_journal
from tsloop.api import (
    AnnotationAdapter,
    InferenceAdapter,
    Interval,
    IterationManager,
    ModelAdapter,
    Project,
    TrainingDataAdapter,
)
from tsloop.config.params import configure
from tsloop.errors import (
    AnnotationError,
    DetectorError,
    IterationError,
    IterationNotFoundError,
    LabelSetError,
    TsloopError,
)
from tsloop.loop.states import State
from tsloop.tracking.promotions import promote

PAGE = Path(tsloop.__file__).parent.parent.parent / "docs" / "api.md"


def test_labels_go_out_and_come_in(finished: Project) -> None:
    annotations = AnnotationAdapter(finished)
    exported = annotations.export_records("it002")
    assert {r.series_id for r in exported} == {
        r.series_id for r in read_journal(finished.simulated("it002"))
    }
    name = IterationManager(finished).create_iteration().name
    assert annotations.export_records(name) == []
    asked = annotations.queue(name)
    assert [item.rank for item in asked] == sorted(item.rank for item in asked)
    calm = annotations.record(asked[0].series_id)
    spike = annotations.record(asked[1].series_id, [Interval(20, 24, "upward_spike")], author="li")
    assert (calm.result, spike.result) == ("none", "ok")
    path = annotations.import_records(name, [calm])
    assert annotations.import_records(name, [calm, spike]) == path
    assert len(read_journal(path)) == 2, "what is there already is not added again"
    corrected = spike.replace(intervals=(Interval(20, 25, "upward_spike"),), revision=2)
    annotations.import_records(name, [corrected])
    assert corrected in annotations.export_records(name)
    assert spike not in annotations.export_records(name)
    configure(finished)
    assert IterationManager(finished).show(name).state is State.ANNOTATING


def test_labels_that_cannot_be_are_refused(finished: Project) -> None:
    annotations = AnnotationAdapter(finished)
    label = annotations.export_records("it002")[0]
    with pytest.raises(IterationError, match="it001 is closed"):
        annotations.import_records("it001", [label])
    with pytest.raises(IterationNotFoundError, match="it009"):
        annotations.import_records("it009", [label])
    with pytest.raises(IterationNotFoundError, match="it009"):
        annotations.export_records("it009")
    with pytest.raises(AnnotationError, match="no series 'nobody'"):
        annotations.record("nobody")
    with pytest.raises(LabelSetError, match="nonsense"):
        annotations.record(label.series_id, [Interval(1, 2, "nonsense")])
    annotations.import_records("it002", [label])
    before = hashes(finished.root, "data/labels/*")
    with pytest.raises(AnnotationError, match="already has another record of revision 1"):
        annotations.import_records("it002", [label.replace(comment="something else")])
    assert hashes(finished.root, *before) == before
    finished.queue("it001").unlink()
    with pytest.raises(IterationError, match=r"queues/it001.jsonl is missing.*dvc repro"):
        annotations.queue("it002")


def test_training_data_of_an_iteration(finished: Project) -> None:
    rows = TrainingDataAdapter(finished).finetune_rows("it002")
    assert rows
    IterationManager(finished).create_iteration()
    with pytest.raises(TsloopError, match=r"finetune\.jsonl does not exist"):
        TrainingDataAdapter(finished).finetune_rows("it003")
    run_stages(finished, "annotate@it003", "dataset@it003")
    assert len(TrainingDataAdapter(finished).finetune_rows("it003")) >= 1


def test_models_by_name(finished: Project) -> None:
    models = ModelAdapter(finished)
    assert models.registered() == ["it001/knn", "it002/knn"]
    assert models.champion() is None
    with pytest.raises(DetectorError, match="no champion yet"):
        models.load()
    promote(finished.root, "it002", "knn", force=True, reason="a test")
    assert models.champion() == "it002/knn"
    assert models.load().decision == models.load("it002").decision
    assert models.load("base/knn").name == "knn"
    with pytest.raises(IterationNotFoundError, match="it009"):
        models.load("it009/knn")


def test_detections_in_a_file(finished: Project, tmp_path: Path) -> None:
    with pytest.raises(TsloopError, match="does not exist"):
        InferenceAdapter(finished).run("it002", str(tmp_path / "nothing.csv"))


def test_everything_exported_is_there() -> None:
    assert [name for name in api.__all__ if not hasattr(api, name)] == []


@pytest.mark.slow
@pytest.mark.skipif(not PAGE.exists(), reason="the docs are not part of an install")
def test_the_examples_run(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(finished.root)
    text = PAGE.read_text("utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert names["new"] == "it003"
    assert (names["directory"] / "split.json").exists()
    assert isinstance(names["rows"], list)
    assert "pump" in capsys.readouterr().out
    mentioned = set(re.findall(r"`(\w+Adapter)`", text))
    assert mentioned == {name for name in api.__all__ if name.endswith("Adapter")}
    for method in ("create_iteration", "find_garbage", "collect_garbage", "start_training"):
        assert hasattr(IterationManager, method)
