"""`sync` makes the store match the project: once, again, after changes, and from nothing."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tracking_project import ProjectBuilder

from tsloop.errors import TrackingError
from tsloop.files import read_json, write_json
from tsloop.tracking.config import TrackingConfig
from tsloop.tracking.runs import write_run
from tsloop.tracking.specs import DatasetSpec, Metric, RunSpec
from tsloop.tracking.store import Store
from tsloop.tracking.sync import SyncReport, record_job, sync

Opener = Callable[[Path], Store]


def run_sync(builder: ProjectBuilder, **options: Any) -> SyncReport:
    return sync(builder.root, TrackingConfig(), project_name="demo", **options)


def all_runs(store: Store) -> dict[str, Any]:
    """Current runs by their name, which for variants is ``iteration/variant``."""
    found = store.client.search_runs([store.experiment_id])
    current = [run for run in found if run.data.tags.get("tsloop.current") == "true"]
    return {run.info.run_name: run for run in current}


def content(store: Store) -> dict[str, Any]:
    """What the store says, without ids and times: equal for equal stores."""
    found = {}
    for name, run in all_runs(store).items():
        tags = {
            key: value
            for key, value in run.data.tags.items()
            if key not in ("tsloop.owner", "mlflow.parentRunId")
        }
        curve = store.client.get_metric_history(run.info.run_id, "training/loss")
        data = sorted((d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs)
        points = [(point.step, point.value) for point in curve]
        files = sorted(f.path for f in store.client.list_artifacts(run.info.run_id))
        found[name] = (run.data.params, run.data.metrics, tags, points, data, files)
    name = store.config.registered_model
    model = store.client.get_registered_model(name)
    for version in store.client.search_model_versions(f"name = '{name}'"):
        tags = {k: v for k, v in version.tags.items() if k != "tsloop.run_id"}
        aliases = sorted(a for a, v in model.aliases.items() if str(v) == str(version.version))
        found[f"version {version.description}"] = (tags, aliases)
    return found


def test_an_iteration_becomes_a_parent_run_with_children(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001", variants={"chatts": 0.6, "knn": 0.5})
    builder.lock("data/series", "data/datasets/it001", "data/simulated/gold.jsonl")
    commit = builder.commit()
    report = run_sync(builder)
    assert (report.runs_created, report.versions_created, report.problems) == (4, 2, [])

    store = open_project_store(builder.root)
    found = all_runs(store)
    assert sorted(found) == ["it001", "it001/chatts", "it001/knn", "it001/nothing"]
    parent, child = found["it001"], found["it001/chatts"]
    assert parent.info.status == child.info.status == "FINISHED"
    assert parent.data.metrics["event_f1"] == 0.6
    assert parent.data.metrics["snapshot.n_events"] == 11
    assert parent.data.params["fits.chatts.detector.rank"] == "8"
    assert child.data.params["fits.detector.rank"] == "8"
    assert child.data.metrics["event_f1.low"] == pytest.approx(0.5)
    assert child.data.metrics["label/spike/recall"] == 0.5
    assert child.data.metrics["decision/hi"] == 0.5
    tags = child.data.tags
    assert tags["git.commit"] == tags["mlflow.source.git.commit"] == commit
    assert tags["git.dirty"] == "false"
    assert tags["tsloop.undefined.vus_pr"] == "no positives"
    assert tags["base_model"] == "tiny"
    assert tags["adapter.sha256"] == "a" * 64
    assert tags["eval.set.sha256"] == "9" * 64
    assert tags["data.md5"].endswith(".dir")
    for name in ("dvc.lock.sha256", "labels.snapshot.sha256", "config.sha256", "data.sha256"):
        assert len(tags[name]) == 64
    assert "adapter.sha256" not in found["it001/knn"].data.tags
    curve = store.client.get_metric_history(child.info.run_id, "training/loss")
    assert [(point.step, point.value) for point in curve] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


def test_data_sets_and_artifacts_are_attached(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    builder.lock("data/series", "data/datasets/it001", "data/simulated/gold.jsonl")
    run_sync(builder)
    store = open_project_store(builder.root)
    parent = all_runs(store)["it001"]
    inputs = {
        item.dataset.name: (item.dataset.digest, {tag.key: tag.value for tag in item.tags})
        for item in parent.inputs.dataset_inputs
    }
    assert {name: tags["mlflow.data.context"] for name, (_, tags) in inputs.items()} == {
        "it001/training": "training",
        "it001/validation": "validation",
        "gold": "gold",
    }
    assert all(len(digest) == 36 for digest, _ in inputs.values())
    files = {item.path for item in store.client.list_artifacts(parent.info.run_id, "report")}
    assert {"report/report.html", "report/pr.csv", "report/scorecard.json"} <= files
    local = store.client.download_artifacts(parent.info.run_id, "config.yaml")
    assert "rank: 8" in Path(local).read_text(encoding="utf-8")


def test_a_data_set_source_can_be_resolved(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    import mlflow.data

    builder.iteration("it001")
    target = builder.project.dataset("it001")
    target.mkdir(parents=True)
    (target / "split.json").write_text("{}", encoding="utf-8")
    run_sync(builder)
    parent = all_runs(open_project_store(builder.root))["it001"]
    (training,) = (i for i in parent.inputs.dataset_inputs if i.dataset.name == "it001/training")
    loaded = Path(mlflow.data.get_source(training).load())
    assert (loaded / "split.json").is_file()


def test_a_second_sync_does_nothing(builder: ProjectBuilder) -> None:
    builder.iteration("it001")
    builder.job("grid", "a")
    assert run_sync(builder).changed
    again = run_sync(builder)
    assert not again.changed
    assert (again.iterations, again.jobs) == (1, 1)
    assert "nothing to do" in str(again)


def test_an_empty_store_comes_back_the_same(
    builder: ProjectBuilder, open_project_store: Opener, migrated_database: Path
) -> None:
    builder.iteration("it001")
    builder.iteration("it002", "it001")
    builder.job("grid", "a")
    builder.commit()
    run_sync(builder)
    store = open_project_store(builder.root)
    before = content(store)
    assert len(before) == 6 + 2 + 2
    store.close()
    shutil.rmtree(builder.root / ".tsloop")
    (builder.root / ".tsloop").mkdir()
    shutil.copy(migrated_database, builder.root / ".tsloop" / "mlflow.db")
    report = run_sync(builder)
    assert report.runs_created == 8
    assert content(open_project_store(builder.root)) == before


@pytest.mark.slow
def test_a_store_is_rebuilt_in_place(builder: ProjectBuilder, open_project_store: Opener) -> None:
    builder.iteration("it001")
    run_sync(builder)
    store = open_project_store(builder.root)
    before = content(store)
    report = run_sync(builder, rebuild=True)
    assert (report.runs_created, report.versions_created) == (3, 1)
    assert content(store) == before


def test_a_changed_iteration_gets_new_runs(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    run_sync(builder)
    builder.iteration("it001", variants={"chatts": 0.9}, weights="other", rank=16)
    report = run_sync(builder)
    assert (report.runs_created, report.runs_superseded, report.versions_created) == (3, 1, 1)
    store = open_project_store(builder.root)
    assert all_runs(store)["it001/chatts"].data.params["fits.detector.rank"] == "16"
    old = store.client.search_runs([store.experiment_id], "tags.`tsloop.current` = 'false'")
    assert len(old) == 3
    new_id = all_runs(store)["it001"].info.run_id
    assert {run.data.tags["tsloop.superseded_by"] for run in old} == {new_id}

    builder.iteration("it001")  # checked out again: the first runs speak once more
    report = run_sync(builder)
    assert (report.runs_created, report.runs_superseded) == (0, 1)
    assert all_runs(store)["it001/chatts"].data.params["fits.detector.rank"] == "8"


def test_committing_an_iteration_only_changes_its_tags(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    run_sync(builder)
    commit = builder.commit()
    report = run_sync(builder)
    assert (report.runs_created, report.runs_superseded, report.runs_updated) == (0, 0, 3)
    child = all_runs(open_project_store(builder.root))["it001/chatts"]
    assert (child.data.tags["git.commit"], child.data.tags["git.dirty"]) == (commit, "false")
    assert not run_sync(builder).changed


def test_files_that_are_not_pulled_do_not_make_a_new_run(builder: ProjectBuilder) -> None:
    builder.iteration("it001")
    run_sync(builder)
    for path in builder.project.report("it001").iterdir():
        path.unlink()
    report = run_sync(builder)
    assert (report.runs_created, report.runs_superseded) == (0, 0)


def test_a_scorecard_on_other_gold_is_not_mixed_in(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    path = builder.project.report("it001") / "scorecard.json"
    card = read_json(path)
    card["gold"]["sha256"] = "8" * 64
    write_json(path, card)
    run_sync(builder)
    found = all_runs(open_project_store(builder.root))
    assert sorted(found) == ["it001", "it001/chatts"]
    assert found["it001/chatts"].data.metrics["event_f1"] == 0.6
    assert "event_f1.low" not in found["it001/chatts"].data.metrics


def test_a_deleted_iteration_is_no_longer_current(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    builder.iteration("it001")
    builder.iteration("it002", "it001")
    job = builder.job("grid", "a")
    run_sync(builder)
    builder.project.registry("it002").unlink()
    job.unlink()
    report = run_sync(builder)
    assert report.runs_superseded == 3  # the iteration, the sweep and its job
    found = all_runs(open_project_store(builder.root))
    assert {name.split("/")[0] for name in found} == {"it001"}
    assert report.aliases == {"challenger": "it001/chatts"}


def test_a_broken_file_hides_nothing_else(builder: ProjectBuilder) -> None:
    builder.iteration("it001")
    builder.iteration("it002", "it001")
    builder.job("grid", "b")
    run_sync(builder)
    builder.project.registry("it001").write_text("{", encoding="utf-8")
    write_json(builder.project.sweeps / "grid" / "a.json", {"schema": "other"})
    builder.iteration("it003", "it002")
    report = run_sync(builder)
    assert (report.iterations, report.runs_superseded) == (2, 0)
    assert len(report.problems) == 2
    assert "it001.json" in report.problems[0]
    assert "a.json" in report.problems[1]
    assert "Attention" in str(report)


def test_an_interrupted_sync_is_finished_by_the_next(
    builder: ProjectBuilder, open_project_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tsloop.tracking import runs

    builder.iteration("it001")
    real = runs._fill

    def break_at_the_baseline(store: Store, run_id: str, spec: RunSpec) -> None:
        if spec.name == "it001/nothing":
            raise OSError("no space left on device")
        real(store, run_id, spec)

    monkeypatch.setattr(runs, "_fill", break_at_the_baseline)
    with pytest.raises(OSError, match="no space"):
        run_sync(builder)
    monkeypatch.undo()
    store = open_project_store(builder.root)
    statuses = {r.info.run_name: r.info.status for r in store.client.search_runs(["1"])}
    assert statuses == {
        "it001": "FAILED",
        "it001/chatts": "FINISHED",
        "it001/nothing": "FAILED",
    }
    assert run_sync(builder).runs_created == 3
    assert not run_sync(builder).changed


def test_tracking_that_is_switched_off_writes_nothing(tmp_path: Path) -> None:
    report = sync(tmp_path, TrackingConfig(enabled=False), project_name="demo")
    assert not report.enabled
    assert "switched off" in str(report)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_down_is_one_message(
    builder: ProjectBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = TrackingConfig(uri="http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9.*tsloop tracking sync"):
        sync(builder.root, config, project_name="demo")


def test_progress_is_reported(builder: ProjectBuilder) -> None:
    builder.iteration("it001")
    builder.job("grid", "a")
    seen: list[tuple[int, int, str]] = []
    run_sync(builder, progress=lambda *step: seen.append(step))
    assert seen == [(0, 3, "it001"), (1, 3, "sweep grid"), (2, 3, "models")]


# --- sweeps ------------------------------------------------------------------------------------


def test_sweep_jobs_are_nested_runs(builder: ProjectBuilder, open_project_store: Opener) -> None:
    builder.job("grid", "a")
    builder.job("grid", "b", metrics={"event_f1": math.pi / 4})
    assert run_sync(builder).runs_created == 3
    store = open_project_store(builder.root)
    run = all_runs(store)["b"]
    assert run.data.metrics["event_f1"] == pytest.approx(math.pi / 4)
    assert run.data.metrics["seconds"] == 1.5
    assert run.data.params == {"detector": "chatts", "finetune.rank": "4"}
    assert run.data.tags["tsloop.overrides"] == '["finetune.rank=4"]'
    assert run.info.end_time - run.info.start_time == 1500

    builder.job("grid", "b", metrics={"event_f1": 0.1})
    report = run_sync(builder)
    assert (report.runs_created, report.runs_superseded) == (1, 1)


def test_a_worker_records_its_job_once(builder: ProjectBuilder, open_project_store: Opener) -> None:
    open_project_store(builder.root)
    path = builder.job("grid", "a")
    config = TrackingConfig()
    first = record_job(builder.root, config, path, project_name="demo")
    assert record_job(builder.root, config, path, project_name="demo") == first
    assert not run_sync(builder).runs_created


def test_a_job_in_the_wrong_directory_is_reported(builder: ProjectBuilder) -> None:
    path = builder.job("grid", "a")
    path.rename(path.with_name("moved.json"))
    job = read_json(builder.job("grid", "x"))
    write_json(builder.project.sweeps / "other" / "x.json", job)
    report = run_sync(builder)
    assert report.jobs == 2
    assert "belongs to sweep 'grid'" in report.problems[0]


# --- M3, M5: what MLflow would take badly ------------------------------------------------------


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_metric_that_is_not_finite_is_an_error(
    builder: ProjectBuilder, open_project_store: Opener, value: float
) -> None:
    store = open_project_store(builder.root)
    spec = RunSpec("job", "x", "k", 1, metrics=(Metric("loss", value, 3),))
    with pytest.raises(TrackingError, match="rank it best"):
        write_run(store, spec)
    assert len(store.client.search_runs([store.experiment_id])) == 0


@pytest.mark.parametrize("digest", ["a" * 32, "a" * 32 + ".dir"])
def test_both_lengths_of_dvcs_digest_fit(
    builder: ProjectBuilder, open_project_store: Opener, digest: str
) -> None:
    store = open_project_store(builder.root)
    data = (DatasetSpec("d", digest, "training", "data/x"),)
    run_id = write_run(store, RunSpec("job", "x", "k", 1, datasets=data))
    (item,) = store.client.get_run(run_id).inputs.dataset_inputs
    assert item.dataset.digest == digest


def test_a_thousand_steps_and_many_parameters_fit_in_batches(
    builder: ProjectBuilder, open_project_store: Opener
) -> None:
    store = open_project_store(builder.root)
    spec = RunSpec(
        "job",
        "x",
        "k",
        1,
        params={f"p{n}": str(n) for n in range(250)},
        metrics=tuple(Metric("loss", float(s), s) for s in range(2000)),
    )
    calls = []
    real = store.client.log_batch
    store.client.log_batch = lambda *args, **kwargs: (calls.append(1), real(*args, **kwargs))
    run = store.client.get_run(write_run(store, spec))
    assert len(calls) == 3 + 3  # M15: not one transaction per value
    assert len(run.data.params) == 250
    assert run.data.metrics["loss"] == 1999.0
