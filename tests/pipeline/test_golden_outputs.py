"""A stage whose results change needs a new number in ``REVISIONS``: DVC does not see code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from safetensors.numpy import load_file, save_file

import record_golden
from project_tools import copy_project, run_stages, set_environment
from record_golden import (
    COMMAND,
    Golden,
    add_expensive,
    changed,
    forgotten,
    look,
    name_of,
    problems,
    sources,
)
from tsloop.config.pipeline import REVISIONS
from tsloop.files import read_json, read_jsonl, write_json, write_jsonl
from tsloop.project import Project


@pytest.fixture(scope="session")
def _golden(_finished: Path, shared_tmp: Path) -> Path:
    """The finished project, with expensive variants, and what its stages gave; read only."""
    place = shared_tmp / "golden"
    with FileLock(shared_tmp / "golden.lock"), pytest.MonkeyPatch.context() as patch:
        if not (place / "golden.json").exists():
            set_environment(patch.setenv, shared_tmp / "home")
            project = copy_project(Project(_finished), place / "project")
            add_expensive(project)
            (place / "golden.json").write_text(look(project).text(), encoding="utf-8")
    return place


@pytest.fixture
def current(_golden: Path) -> Golden:
    """What this code gives."""
    return Golden.read(_golden / "golden.json")


@pytest.fixture
def reads(_golden: Path) -> dict[str, set[str]]:
    """Stage → the stages that it reads from."""
    return sources(Project(_golden / "project"))


@pytest.fixture
def project(_golden: Path, project_env: None, tmp_path: Path) -> Project:
    """A copy of the outputs."""
    ignore = shutil.ignore_patterns(".git", "cache", "tmp")
    shutil.copytree(_golden / "project", tmp_path / "project", ignore=ignore)
    return Project(tmp_path / "project")


def test_results_change_with_their_revision_only(
    current: Golden, reads: dict[str, set[str]]
) -> None:
    """Where this fails, the message says which number to raise, and how to record."""
    found = problems(Golden.read(), current, reads)
    assert not found, "\n\n".join(["", *found])


def test_every_stage_is_recorded() -> None:
    recorded = Golden.read()
    assert recorded.revisions.keys() == REVISIONS.keys()
    assert {name_of(stage) for stage in recorded.outputs} == REVISIONS.keys()
    variants = {"knn", "chatts", "boosting"}
    for stages in ("base@{}", "fit@it002-{}", "predict@it002-{}"):
        assert {stages.format(variant) for variant in variants} <= recorded.outputs.keys()
    for stage, outputs in recorded.outputs.items():
        assert all(figures for figures in outputs.values()), stage


# A small change of one file is found, in its stage alone


def in_lines(change: Callable[[list[Any]], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        rows = read_jsonl(path)
        change(rows)
        write_jsonl(path, rows)

    return apply


def in_json(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        data = read_json(path)
        change(data)
        write_json(path, data)

    return apply


def move_an_end(rows: list[Any]) -> None:
    next(row for row in rows if row["intervals"])["intervals"][0]["end"] += 1


def score_more(rows: list[Any]) -> None:
    next(row for row in rows if row["intervals"])["intervals"][0]["score"] *= 1.01


def swap(rows: list[Any]) -> None:
    rows[0], rows[1] = rows[1], rows[0]


def change_sides(rows: list[Any]) -> None:
    rows[0]["split"] = "train" if rows[0]["split"] == "valid" else "valid"


def one_value(column: str) -> Callable[[Path], None]:
    """One value among thousands, of ordinary size, 1 % more."""

    def apply(path: Path) -> None:
        table = pq.read_table(path)
        values = np.array(table.column(column).to_numpy())
        order = np.argsort(np.abs(np.nan_to_num(values)))
        values[order[len(order) // 2]] *= 1.01
        at = table.column_names.index(column)
        changed = pa.array(values, type=table.schema.field(column).type)
        pq.write_table(table.set_column(at, table.schema.field(column), changed), path)

    return apply


def one_row_later(path: Path) -> None:
    table = pq.read_table(path)
    scores = np.roll(table.column("score").to_numpy(), 1)
    pq.write_table(table.set_column(1, table.schema.field("score"), pa.array(scores)), path)


def one_weight(name: str) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        tensors = load_file(path)
        key = next(key for key in sorted(tensors) if key.endswith(name))
        flat = tensors[key].reshape(-1)
        flat[np.argsort(np.abs(flat))[len(flat) // 2]] *= 1.01
        save_file(tensors, path)

    return apply


def threshold_in_csv(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    head, _, last = lines[5].rpartition(",")
    lines[5] = f"{head},{float(last) * 1.01:.6f}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


CHANGES: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "raw value": ("acquire", "data/raw/series/TI_*", one_value("value")),
    "declared label": (
        "acquire",
        "data/raw/manifest.json",
        in_json(lambda data: data["series"]["AI_10407A.PV"].update(role="pool")),
    ),
    "stored value": ("prepare", "data/series/series/FI_*", one_value("value")),
    "truth": ("prepare", "data/truth/intervals.jsonl", in_lines(move_an_end)),
    "base weights": (
        "base@chatts",
        "models/base/chatts/state.json",
        in_json(lambda data: data["base"].update(sha256="0" * 64)),
    ),
    "label": ("annotate@it002", "data/simulated/it002.jsonl", in_lines(move_an_end)),
    "split": ("dataset@it002", "data/datasets/it002/examples.jsonl", in_lines(change_sides)),
    "snapshot": ("dataset@it001", "data/snapshots/it001/annotations.jsonl", in_lines(list.pop)),
    "adapter": (
        "fit@it002-chatts",
        "models/it002/chatts/adapter/adapter_model.safetensors",
        one_weight("encoder.mlp.0.weight"),
    ),
    "tree": (
        "fit@it002-boosting",
        "models/it002/boosting/trees.safetensors",
        one_weight("threshold"),
    ),
    "decision": (
        "fit@it002-knn",
        "models/it002/knn/detector.json",
        in_json(lambda data: data["decision"].update(merge_gap=11)),
    ),
    "interval": (
        "predict@it002-knn",
        "data/predictions/it002/knn/detections.jsonl",
        in_lines(move_an_end),
    ),
    "score of an interval": (
        "predict@it002-boosting",
        "data/predictions/it002/boosting/detections.jsonl",
        in_lines(score_more),
    ),
    "score of a row": (
        "predict@it002-chatts",
        "data/predictions/it002/chatts/scores.parquet",
        one_value("score"),
    ),
    "scores one row later": (
        "predict@base-knn",
        "data/predictions/base/knn/scores.parquet",
        one_row_later,
    ),
    "metric": (
        "evaluate@it002",
        "reports/metrics/it002.json",
        in_json(lambda data: data["knn"].update(event_f1=data["knn"]["event_f1"] * 1.01)),
    ),
    "curve": ("evaluate@it001", "reports/curves/it001.csv", threshold_in_csv),
    "order": ("queue@it002", "data/queues/it002.jsonl", in_lines(swap)),
    "published": (
        "publish@it001",
        "registry/it001.json",
        in_json(lambda data: data.update(best_on_gold="chatts")),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_small_change_is_found_in_its_stage(
    project: Project, current: Golden, reads: dict[str, set[str]], change: str
) -> None:
    stage, pattern, apply = CHANGES[change]
    path = sorted(project.root.glob(pattern))[0]
    apply(path)
    after = look(project)
    assert changed(current, after).keys() == {stage}
    (message,) = problems(current, after, reads)
    name = name_of(stage)
    assert f"The results of {name} changed" in message
    assert path.parent.relative_to(project.root).as_posix() in message
    assert " → " in message
    assert f"raise REVISIONS['{name}']" in message
    assert COMMAND in message


# Changed code is found when its stage runs


@pytest.mark.parametrize(
    ("stage", "constant", "value"),
    [
        ("dataset@it002", "tsloop.annotations.split.MOST", 0.1),
        ("fit@it002-knn", "tsloop.evaluation.thresholds.tolerance", lambda *_: 0.0),
        ("predict@it002-knn", "tsloop.signals.shape._SIGMAS", 4.5),
        ("evaluate@it002", "tsloop.evaluation.clicks.EDGE_TOLERANCE", 0.3),
        ("queue@it002", "tsloop.loop.samplers.POSSIBLE_EVENT", 0.9),
    ],
)
def test_another_constant_is_found_in_its_stage(
    project: Project,
    current: Golden,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    constant: str,
    value: object,
) -> None:
    monkeypatch.setattr(constant, value)
    run_stages(project, stage, record=False)
    assert changed(current, look(project)).keys() == {stage}


def test_stages_that_pass_a_change_on_are_not_blamed(
    project: Project, current: Golden, reads: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsloop.evaluation.thresholds.tolerance", lambda *_: 0.0)
    run_stages(project, "fit@it002-knn", "predict@it002-knn", "queue@it002", record=False)
    after = look(project)
    assert changed(current, after).keys() == {"fit@it002-knn", "predict@it002-knn", "queue@it002"}
    assert forgotten(current, after, reads).keys() == {"fit@it002-knn"}
    blamed, others = problems(current, after, reads)
    assert "raise REVISIONS['fit']" in blamed
    assert "predict@it002-knn" in others


# The verdict


def test_a_raised_revision_asks_for_recording(current: Golden, reads: dict[str, set[str]]) -> None:
    """Whether or not the results are others already, and also for what follows from them."""
    new = deepcopy(current)
    new.revisions["fit"] += 1
    (message,) = problems(current, new, reads)
    assert f"REVISIONS['fit'] is {new.revisions['fit']}" in message
    assert message.endswith(f"Record again: {COMMAND}")
    for stage in ("fit@it002-knn", "predict@it002-knn"):
        next(iter(new.outputs[stage].values())).popitem()
    message, others = problems(current, new, reads)
    assert "REVISIONS['fit']" in message
    assert "['fit@it002-knn', 'predict@it002-knn']" in others
    assert "raise" not in message + others


def test_a_lowered_revision_is_an_error(current: Golden, reads: dict[str, set[str]]) -> None:
    old = deepcopy(current)
    old.revisions["queue"] += 2
    (message,) = problems(old, current, reads)
    assert f"REVISIONS['queue'] is {current.revisions['queue']}" in message
    assert "must not come back" in message


def test_a_stage_that_is_not_recorded_is_an_error(
    current: Golden, reads: dict[str, set[str]]
) -> None:
    new = deepcopy(current)
    new.revisions["export"] = 1
    assert any("has no results of ['export']" in line for line in problems(current, new, reads))


def test_other_settings_need_no_revision(current: Golden, reads: dict[str, set[str]]) -> None:
    """DVC sees settings by itself."""
    new = deepcopy(current)
    new.settings["queue@it002"] = "other"
    next(iter(new.outputs["queue@it002"].values())).popitem()
    found = problems(current, new, reads)
    assert not forgotten(current, new, reads)
    assert any("Record again" in line for line in found)
    assert not any("raise REVISIONS" in line for line in found)


def test_last_bits_are_no_change(project: Project, current: Golden) -> None:
    """As another processor, or another order of summation, gives them."""
    generator = np.random.default_rng(0)
    paths = [*project.root.glob("data/predictions/*/*/scores.parquet")]
    for path in paths:
        table = pq.read_table(path)
        scores = table.column("score").to_numpy()
        noise = 1.0 + 1e-5 * generator.standard_normal(len(scores))
        noisy = pa.array((scores * noise).astype(np.float32))
        pq.write_table(table.set_column(1, table.schema.field("score"), noisy), path)
    assert len(paths) == 5
    assert not changed(current, look(project))


def test_recording_keeps_what_has_not_moved(
    current: Golden,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It refuses results that changed under their old revision."""
    file = tmp_path / "golden.json"
    new = deepcopy(current)
    figure = new.outputs["predict@it002-knn"]["data/predictions/it002/knn/scores.parquet"]
    figure["score:float"]["sum"] *= 1.000001
    made = lambda *_, **__: project  # noqa: E731
    monkeypatch.setattr(record_golden, "make_project", made)
    monkeypatch.setattr(record_golden, "run_stages", lambda *_, **__: None)
    monkeypatch.setattr(record_golden, "set_environment", lambda *_: None)
    monkeypatch.setattr(record_golden, "add_expensive", lambda _: None)
    monkeypatch.setattr(record_golden, "look", lambda _: new)
    monkeypatch.setattr(record_golden, "FILE", file)
    file.write_text(current.text(), encoding="utf-8")
    assert record_golden.main([]) == 0
    assert file.read_text("utf-8") == current.text()
    figure["score:float"]["sum"] *= 1.01
    assert record_golden.main([]) == 1
    assert "raise REVISIONS['predict']" in capsys.readouterr().err
    assert file.read_text("utf-8") == current.text()
    assert record_golden.main(["--same-revisions"]) == 0
    assert file.read_text("utf-8") == new.text()
