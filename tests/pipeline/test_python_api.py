"""The Python API on a finished project: inference, metrics, training jobs, validation."""

from __future__ import annotations

import csv
import math
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from project_tools import changed, dvc, hashes, repro
from tsloop.annotations.examples import Example
from tsloop.annotations.gold import GoldSet, read_gold
from tsloop.config.params import configure, read_params
from tsloop.config.schema import section
from tsloop.errors import (
    EvaluationError,
    IllegalTransitionError,
    IterationError,
    IterationNotFoundError,
    ModelFileError,
    SourceError,
    TsloopError,
)
from tsloop.execution import JobState, build_executor
from tsloop.files import read_json
from tsloop.intervals import Interval
from tsloop.loop.assess import assess
from tsloop.loop.gate import GateConfig
from tsloop.loop.manager import IterationManager, TrainConfig
from tsloop.loop.states import State
from tsloop.loop.validation import assign_folds, cross_validate
from tsloop.project import Project
from tsloop.series.store import SeriesStore

KNN = {"_target_": "tsloop.detectors.knn.KnnDetector"}


def write_csv(path: Path, spike: int | None) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["timestamp", "value"])
        for row in range(300):
            value = math.sin(row / 8) + (5.0 if spike is not None and 0 <= row - spike < 3 else 0)
            stamp = datetime(2024, 3, 1, tzinfo=UTC) + timedelta(minutes=row)
            writer.writerow([stamp.isoformat(), f"{value:.4f}"])


def test_inference_on_new_data(finished: Project, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    write_csv(folder / "pump.csv", spike=150)
    write_csv(folder / "calm.csv", spike=None)
    steward = IterationManager(finished)
    results = {r.series_id: r for r in steward.run_inference("it001", folder)}
    assert len(results) == 2
    (spiked,) = (r for series_id, r in results.items() if "pump" in series_id)
    assert spiked.status == "ok"
    assert any(i.start <= 152 and i.end >= 150 for i in spiked.intervals)
    with pytest.raises(SourceError, match="does not exist"):
        steward.run_inference("it001", tmp_path / "nothing.csv")
    with pytest.raises(ModelFileError, match="other"):
        steward.run_inference("it001", folder, "other")
    with pytest.raises(IterationNotFoundError):
        steward.run_inference("it009", folder)


def test_metrics_are_those_of_dvc(finished: Project) -> None:
    steward = IterationManager(finished)
    metrics = steward.get_iteration_metrics("it002")
    assert metrics == read_json(finished.root / "reports" / "metrics" / "it002.json")
    assert metrics["knn"]["n_failed"] == 0
    with pytest.raises(IterationNotFoundError, match=r"no iteration|No iteration"):
        steward.get_iteration_metrics("it009")
    steward.create_iteration()
    assert steward.get_iteration_metrics("it003") == {}
    assert steward.show("it003").state is State.ANNOTATING


def test_the_gate_decides_what_is_completed(finished: Project) -> None:
    steward = IterationManager(finished)
    f1 = steward.get_iteration_metrics("it002")["knn"]["event_f1"]
    configure(finished, [f"gate.min_event_f1={f1}"])
    assert steward.show("it002").state is State.COMPLETED
    configure(finished, [f"gate.min_event_f1={f1 + 0.01}"])
    assert steward.show("it002").state is State.REVIEWING


def test_training_starts_only_from_a_dataset(finished: Project) -> None:
    steward = IterationManager(finished)
    before = hashes(finished.root, "params.yaml", "conf/**/*")
    with pytest.raises(IllegalTransitionError, match=r"it002 is .*cannot become Training.*labels"):
        steward.start_training("it002")
    with pytest.raises(IllegalTransitionError, match=r"train it002 KEY=VALUE"):
        steward.start_training("it002")
    with pytest.raises(IllegalTransitionError, match=r"tsloop iteration create"):
        steward.start_training("it001")
    steward.create_iteration()
    with pytest.raises(IllegalTransitionError, match=r"Annotating.*Run: dvc repro dataset@it003"):
        steward.start_training("it003")
    with pytest.raises(TsloopError, match="rnk"):
        steward.start_training("it002", TrainConfig(("finetune.rnk=3",)))
    steward.delete("it003")
    assert hashes(finished.root, "params.yaml") == {"params.yaml": before["params.yaml"]}


def test_a_refused_training_leaves_the_project_as_it_was(finished: Project) -> None:
    """The override alone is no reason to call an iteration without a dataset ready."""
    steward = IterationManager(finished)
    steward.create_iteration()
    before = hashes(finished.root, "params.yaml", "conf/**/*")
    override = TrainConfig(("variants.knn.neighbours=3",))
    with pytest.raises(IllegalTransitionError, match=r"is Annotating.*labels are not"):
        steward.start_training("it003", override)
    with pytest.raises(IllegalTransitionError, match="cannot become Training"):
        steward.start_training("it002", override)  # built upon: the override does not reach it
    with pytest.raises(IllegalTransitionError, match="cannot become Training"):
        steward.start_training("it002", TrainConfig(("sampler.budget=7",)))  # no setting of a fit
    assert hashes(finished.root, *before) == before
    assert not build_executor(finished.root).list()


@pytest.mark.slow
def test_training_in_the_background(finished: Project) -> None:
    steward = IterationManager(finished)
    job = steward.start_training("it002", TrainConfig(("variants.knn.neighbours=3",)))
    executor = build_executor(finished.root, section(read_params(finished), "executor"))
    info = executor.wait(job, timeout_s=120)
    assert info.state is JobState.SUCCEEDED, executor.logs(job)
    assert '"stage": "fit"' in executor.logs(job)
    card = read_json(finished.model("it002", "knn") / "detector.json")
    assert card["config"]["neighbours"] == 3
    assert "fit@it002-knn" not in changed(finished.root)
    assert "predict@it002-knn" in changed(finished.root) or card["decision"]
    with pytest.raises(IterationError):
        steward.start_training("it002")


def test_a_missing_answer_is_an_error_not_a_good_one(finished: Project) -> None:
    store = SeriesStore.open(finished.series)
    gold = read_gold(finished.simulated("gold"))
    predictions = finished.predictions("it002", "knn")
    lines = (predictions / "detections.jsonl").read_text("utf-8").splitlines(keepends=True)
    lost = next(iter(gold.records))
    kept = "".join(line for line in lines if f'"{lost}"' not in line)
    (predictions / "detections.jsonl").write_text(kept, encoding="utf-8")
    with pytest.raises(EvaluationError, match=f"no answer for gold series '{lost}'"):
        assess(
            store,
            gold,
            {"knn": predictions},
            {},
            gate=GateConfig(n_bootstrap=100),
            n_bootstrap=0,
            seed=0,
            progress=lambda *_: None,
        )


def test_without_gold_nothing_is_judged(finished: Project) -> None:
    result = assess(
        SeriesStore.open(finished.series),
        GoldSet({}, 0, "", frozenset()),
        {"knn": finished.predictions("it002", "knn")},
        {"knn": finished.predictions("it001", "knn")},
        gate=GateConfig(n_bootstrap=100),
        n_bootstrap=10,
        seed=0,
        progress=lambda *_: None,
    )
    assert result.verdicts == {}
    assert "event_f1" not in result.variants["knn"].metrics
    assert result.to_dict()["schema"] == "tsloop.scorecard/1"


def test_folds_hold_out_whole_groups() -> None:
    groups = [f"unit-{number}" for number in range(7)] * 3
    folds = assign_folds(groups, 3, seed=0)
    assert assign_folds(list(reversed(groups)), 3, seed=0) == folds
    assert set(folds) == set(groups)
    sizes = [list(folds.values()).count(fold) for fold in range(3)]
    assert sorted(sizes) == [2, 2, 3]
    assert assign_folds(groups, 3, seed=1) != folds


def test_cross_validation_scores_every_series_once(finished: Project) -> None:
    store = SeriesStore.open(finished.series)
    chosen = [store[series_id] for series_id in store.ids()[:: len(store) // 8]]
    examples = [Example(series, (Interval(20, 24, "spike"),)) for series in chosen]
    assert len({example.series.group for example in examples}) > 1
    card = cross_validate(KNN, examples, folds=3, seed=0)
    assert card.metrics["n_series"] == len(examples)
    assert sorted(score.series_id for score in card.series) == sorted(s.id for s in chosen)
    alone = [e for e in examples if e.series.group == examples[0].series.group]
    with pytest.raises(EvaluationError, match="at least two groups"):
        cross_validate(KNN, alone, folds=3, seed=0)


def test_a_lost_output_comes_back_from_the_cache(finished: Project) -> None:
    """Nothing is computed again: `dvc checkout` and `dvc repro` restore it."""
    before = hashes(finished.root, "models/**/*.json")
    shutil.rmtree(finished.model("it002", "knn"))
    assert IterationManager(finished).show("it002").state is State.DATA_READY
    dvc(finished.root, "checkout")
    assert hashes(finished.root, "models/**/*.json") == before
    shutil.rmtree(finished.model("it002", "knn"))
    assert set(repro(finished.root)) <= {"fit@it002-knn"}
    assert hashes(finished.root, "models/**/*.json") == before
