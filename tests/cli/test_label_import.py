"""`tsloop labels import|export|set|formats`, as people call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_tools import call

from tsloop.annotations.journal import read_journal
from tsloop.annotations.record import AnnotationRecord
from tsloop.api import AnnotationAdapter
from tsloop.config.params import configure
from tsloop.detectors.predictions import PredictionWriter
from tsloop.errors import TsloopError
from tsloop.intervals import Detection, Interval, Status
from tsloop.loop.label_import import plan_import
from tsloop.project import Project
from tsloop.series.store import SeriesStore, SeriesWriter
from tsloop.series.types import Role, Series

START = 1_700_000_000_000_000_000
STEP = 10**9


@pytest.fixture
def project(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose series are there, as if prepare had run; the shell stands in it."""
    rng = np.random.default_rng(0)
    with SeriesWriter(fresh.series, thumbnail_width=0) as writer:
        for name, role in (("a/FI_1.PV", Role.POOL), ("a/FI_2.PV", Role.POOL), ("g", Role.GOLD)):
            writer.add(Series(name, START + STEP * np.arange(80), rng.normal(size=80), role=role))
    monkeypatch.chdir(fresh.root)
    return fresh


def document(name: str, *segments: tuple[int, int], label: str = "阶跃上升") -> dict[str, Any]:
    found = [{"start": start, "end": end} for start, end in segments]
    annotations = [{"label": {"id": "", "text": label}, "segments": found}] if found else []
    return {"filename": name, "annotations": annotations, "result": "ok" if found else "none"}


def save(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data, ensure_ascii=False), "utf-8")
    return path


def held(project: Project, name: str = "it001") -> dict[str, AnnotationRecord]:
    return {record.series_id: record for record in read_journal(project.labels(name))}


def test_from_an_open_question_to_a_journal(project: Project, tmp_path: Path) -> None:
    rows = [document("x_FI_1.PV.csv", (3, 3), (7, 9), label="怪"), document("a/FI_2.PV")]
    file = save(tmp_path / "rows.json", rows)
    dry = call("import", file, "--dry-run", "--into", "it001")
    assert dry.exit_code == 1
    assert "annotator_v2, 2 records: 2 intervals in 1, 1 without anomaly" in dry.output
    assert "怪: 2 intervals OPEN (unknown)" in dry.output
    assert "could be 'a/FI_1.PV'" in dry.output
    with pytest.raises(TsloopError, match="open labels are 怪"):
        call("import", file, "--into", "it001")
    said = call("import", file, "--write-mapping", "map.json").output
    assert "Matched by likeness: 1 series name" in said
    mapping = json.loads(Path("map.json").read_text("utf-8"))
    assert mapping["series"] == {"x_FI_1.PV.csv": "a/FI_1.PV"}
    mapping["labels"][0]["to"] = "contextual"
    save(Path("map.json"), mapping)
    command = ("import", file, "--into", "it001", "--mapping", "map.json", "--author", "li")
    assert "Would write 2 records with 2 intervals" in call(*command, "--dry-run").output
    assert not project.labels("it001").exists()
    done = call(*command)
    assert (done.exit_code, "Wrote 2 records with 2 intervals" in done.output) == (0, True)
    first, second = held(project).values()
    assert [(i.start, i.end, i.label) for i in first.intervals] == [
        (3, 3, "contextual"),
        (7, 9, "contextual"),
    ]
    assert first.intervals[0].t_start == START + 3 * STEP
    assert (first.author, second.result) == ("li", Status.NONE)
    before = project.labels("it001").read_bytes()
    again = call(*command)
    assert (again.exit_code, "There already: 2 records" in again.output) == (0, True)
    assert project.labels("it001").read_bytes() == before
    with pytest.raises(TsloopError, match=r"map.json is there already"):
        call("import", file, "--write-mapping", "map.json")


def test_what_a_person_said_is_never_overwritten(project: Project, tmp_path: Path) -> None:
    adapter = AnnotationAdapter(project)
    mine = adapter.record("a/FI_1.PV", [Interval(1, 2, "dropout")], author="wang", revision=4)
    adapter.import_records("it001", [mine])
    file = save(
        tmp_path / "rows.json", [document("a/FI_1.PV", (3, 3)), document("a/FI_2.PV", (4, 4))]
    )
    refused = call("import", file, "--into", "it002")
    assert refused.exit_code == 1
    assert "wang judged it differently in data/labels/it001.jsonl (revision 4)" in refused.output
    assert not project.labels("it002").exists()
    assert call("import", file, "--into", "it002", "--skip-failed").exit_code == 1
    assert list(held(project, "it002")) == ["a/FI_2.PV"]
    revised = call("import", file, "--into", "it002", "--revise")
    assert (revised.exit_code, "A later revision: 1 record" in revised.output) == (0, True)
    assert held(project, "it002")["a/FI_1.PV"].revision == 5
    assert held(project)["a/FI_1.PV"] == mine


def test_gold_and_training_keep_apart(project: Project, tmp_path: Path) -> None:
    configure(project, ["annotator=human"])
    gold = save(tmp_path / "gold.json", [document("g", (3, 9))])
    written = call("import", gold, "--into", "gold", "--blind-by", "li").output
    assert "data/labels/gold.jsonl" in written
    assert "There already" in call("import", gold, "--into", "gold").output
    refused = call("import", gold, "--into", "it001")
    assert "conflict: g: it is gold" in refused.output
    twice = [document("a/FI_1.PV", (3, 3)), document("a/FI_1.PV", (4, 4))]
    records = AnnotationAdapter(project)
    made = [records.record("a/FI_1.PV", [Interval(row, row)]) for row in (3, 4)]
    plan = plan_import(project, "it001", made, ["it001"])
    silent, stated = made[0], made[0].replace(overall={"trend": "increase"})
    records.import_records("it002", [stated])
    assert plan_import(project, "it002", [silent], ["it002"]).same == ("a/FI_1.PV",)
    other = stated.replace(overall={"trend": "stable"})
    assert len(plan_import(project, "it002", [other], ["it002"]).conflicts) == 1
    project.labels("it002").unlink()
    assert (plan.add, [c.reason[:9] for c in plan.conflicts]) == ((), ["the files"])
    same = call("import", save(tmp_path / "x.json", twice[:1] * 2), "--into", "it001")
    assert "Wrote 1 record" in same.output


def test_proposals_and_doubts_wait_for_a_person(project: Project, tmp_path: Path) -> None:
    rows = [{**document("a/FI_1.PV", (3, 3)), "source": "inference"}]
    reversed_row = document("a/FI_2.PV", (9, 4))
    file = save(tmp_path / "rows.json", [*rows, reversed_row])
    said = call("import", file, "--into", "it001", "--proposals", "drafts.jsonl")
    assert "1 proposal with 1 interval in drafts.jsonl" in said.output
    assert "doubtful: end before start (1)" in said.output
    assert "1 record with doubts not taken" in said.output
    assert not project.labels("it001").exists()
    draft = json.loads(Path("drafts.jsonl").read_text("utf-8"))
    assert (draft["draft"][:7], draft["intervals"][0]["basis"]) == ("A model", "model")
    assert "Wrote 1 record" in call("import", file, "--into", "it001", "--accept-doubtful").output
    assert list(held(project)) == ["a/FI_2.PV"]


def test_files_without_labels_and_folders(project: Project, tmp_path: Path) -> None:
    (tmp_path / "series.csv").write_text("date,value\n2026-01-01,1\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    save(tmp_path / "rows.json", [document("a/FI_1.PV", (3, 3))])
    folder = call("import", tmp_path, "--into", "it001")
    assert (folder.exit_code, "picture" in folder.output) == (0, False)
    assert "a series of 1 row without labels" in folder.output
    assert call("import", tmp_path / "series.csv").exit_code == 1
    unknown = call("import", tmp_path / "rows.json", "--format", "xml")
    assert (unknown.exit_code, "no format 'xml'" in unknown.output) == (1, True)
    wrong = call("import", tmp_path / "rows.json", "--format", "nab")
    assert (wrong.exit_code, "not of the format nab" in wrong.output) == (1, True)


def test_outside_a_project_a_file_is_read_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = save(tmp_path / "rows.json", [document("a", (3, 3), (4, 5))])
    said = call("import", file, "--dry-run")
    assert (said.exit_code, "2 intervals in 1" in said.output) == (0, True)
    with pytest.raises(TsloopError, match="not inside a tsloop project"):
        call("import", file, "--into", "it001")


def test_export_says_what_is_lost_and_writes_nothing_then(project: Project, tmp_path: Path) -> None:
    adapter = AnnotationAdapter(project)
    spans = [Interval(1, 2, "dropout", reason="r", score=0.5), Interval(2, 2, "clipping")]
    adapter.import_records("it001", [adapter.record("a/FI_1.PV", spans, author="wang")])
    done = call("export", "annotator_v2", tmp_path / "v2", "--from", "it001")
    assert done.exit_code == 0
    assert "left out: scores: 1 (first: a/FI_1.PV)" in done.output
    assert (tmp_path / "v2" / "a_FI_1.PV.csv.json").is_file()
    with pytest.raises(TsloopError, match="trainset cannot hold all of it"):
        call("export", "trainset", tmp_path / "t", "--from", "it001")
    with pytest.raises(TsloopError, match="trainset can hold none of the records"):
        call("export", "trainset", tmp_path / "t", "--from", "it001", "--accept-loss")
    with pytest.raises(TsloopError, match="nab cannot hold all of it"):
        call("export", "nab", tmp_path / "n", "--from", "it001")
    assert not (tmp_path / "n").exists()
    accepted = call("export", "nab", tmp_path / "n", "--from", "it001", "--accept-loss")
    assert "lost: labels: 2" in accepted.output
    (tmp_path / "n" / "combined_windows.json").write_text("mine")
    with pytest.raises(TsloopError, match="is there already, with other content"):
        call("export", "nab", tmp_path / "n", "--from", "it001", "--accept-loss")
    values = np.full(80, np.nan)
    with SeriesWriter(project.series, thumbnail_width=0) as writer:
        for name in ("a/FI_1.PV", "a/FI_2.PV"):
            writer.add(Series(name, START + STEP * np.arange(80), values))
    empty = [adapter.record(name) for name in ("a/FI_1.PV", "a/FI_2.PV")]
    adapter.import_records("it002", empty)
    with pytest.raises(TsloopError, match="has no value"):
        call("export", "qwen", tmp_path / "q", "--from", "it002")
    assert list((tmp_path / "q").iterdir()) == []  # all of it, or nothing
    with pytest.raises(TsloopError, match="Say what to export"):
        call("export", "nab", tmp_path / "n")


def test_one_record_that_a_format_cannot_hold_does_not_keep_the_others(
    project: Project, tmp_path: Path
) -> None:
    adapter = AnnotationAdapter(project)
    clash = [Interval(1, 4, "dropout"), Interval(2, 9, "clipping"), Interval(8, 8, "step_up")]
    fits = adapter.record("a/FI_2.PV", [Interval(3, 5, "dropout")])
    adapter.import_records("it001", [adapter.record("a/FI_1.PV", clash), fits])
    command = ("export", "trainset", tmp_path / "t", "--from", "it001")
    with pytest.raises(TsloopError, match=r"cannot hold all of it.*--accept-loss"):
        call(*command)
    assert not (tmp_path / "t").exists()
    done = call(*command, "--accept-loss")
    assert done.exit_code == 0
    assert "lost: records: 1 (first: a/FI_1.PV)" in done.output
    assert "[1, 4] dropout overlaps [2, 9] clipping; [2, 9] clipping overlaps [8, 8]" in done.output
    assert "1 record as TRAINSET table" in done.output
    back = call("import", tmp_path / "t", "--dry-run")
    assert "1 record: 1 interval" in back.output


def test_nab_windows_of_ours_come_back_without_an_option(project: Project, tmp_path: Path) -> None:
    adapter = AnnotationAdapter(project)
    adapter.import_records("it001", [adapter.record("a/FI_1.PV", [Interval(3, 9)])])
    out = tmp_path / "n"
    call("export", "nab", out, "--from", "it001")
    for zone in ((), ("--zone", "Asia/Shanghai")):  # an option for other files shifts nothing
        project.labels("it001").unlink()
        back = call("import", out, "--into", "it001", *zone)
        assert back.exit_code == 0
        assert "the zone of the NAB windows beside it: UTC" in back.output
        assert [(i.start, i.end) for i in held(project)["a/FI_1.PV"].intervals] == [(3, 9)]
    windows = out / "combined_windows.json"
    windows.write_text(windows.read_text().replace("13:29", "13:28"))  # no longer what we wrote
    changed = call("import", out)
    assert (changed.exit_code, "has no time zone. State it: --zone" in changed.output) == (1, True)


def test_a_result_table_has_the_days_of_its_series_zone(project: Project, tmp_path: Path) -> None:
    """The first sample is at 22:13 in UTC, and on the next day in Shanghai."""
    values = np.zeros(80)
    with SeriesWriter(project.series, thumbnail_width=0) as writer:
        series = Series("s", START + STEP * np.arange(80), values, zone="Asia/Shanghai")
        writer.add(series)
    adapter = AnnotationAdapter(project)
    adapter.import_records("it001", [adapter.record("s", [Interval(3, 9)])])
    out = tmp_path / "csv"
    call("export", "inference_csv", out, "--from", "it001", "--accept-loss")
    table = (out / "tsloop_none_s_20231115.csv").read_text("utf-8").splitlines()
    assert table[1].startswith("2023-11-15 06:13:20,")
    back = call("import", out)
    assert "1 proposal with 1 interval" in back.output


def test_detections_go_out_as_proposals_and_failures_do_not(
    project: Project, tmp_path: Path
) -> None:
    store = SeriesStore.open(project.series)
    with PredictionWriter(project.predictions("it001", "knn")) as writer:
        for series_id, found in (
            ("a/FI_1.PV", Detection.of([Interval(3, 3), Interval(7, 9, score=0.75)])),
            ("a/FI_2.PV", Detection.of([])),
            ("g", Detection.failed("out of memory")),
        ):
            writer.add(series_id, store.entry(series_id).sha256, found, None)
    done = call("export", "inference_csv", tmp_path / "csv", "--predictions", "it001/knn")
    assert done.exit_code == 1
    assert "1 series without a result not exported, as g: out of memory" in done.output
    stem = "tsloop_none_a_FI_1.PV_20231114"
    assert sorted(p.name for p in (tmp_path / "csv").iterdir())[:3] == [
        f"{stem}.csv",
        f"{stem}_metrics.json",
        f"{stem}_segments.json",
    ]
    assert len(list((tmp_path / "csv").iterdir())) == 6
    lines = (tmp_path / "csv" / f"{stem}.csv").read_text("utf-8").splitlines()
    assert [row for row, line in enumerate(lines[1:]) if line.split(",")[3] == "1"] == [3, 7, 8, 9]
    back = call("import", tmp_path / "csv", "--into", "it001")
    assert "2 proposals with 2 intervals not taken" in back.output
    assert call("export", "segments", tmp_path / "s", "--predictions", "it001/knn").exit_code == 1
    segments = json.loads((tmp_path / "s" / "a_FI_1.PV_segments.json").read_text("utf-8"))
    assert [(s["start"], s["end"], s["score"]) for s in segments] == [(3, 3, None), (7, 9, 0.75)]
    studio = call("export", "label_studio", tmp_path / "ls", "--predictions", "it001/knn")
    tasks = json.loads((tmp_path / "ls" / "tasks.json").read_text("utf-8"))
    assert (studio.exit_code, [len(t["predictions"]) for t in tasks]) == (1, [1, 1])
    assert [t["annotations"] for t in tasks] == [[], []]
    with pytest.raises(TsloopError, match="qwen cannot hold all of it"):  # no model teaches itself
        call("export", "qwen", tmp_path / "q", "--predictions", "it001/knn")


def test_label_sets_and_the_list_of_formats(project: Project, tmp_path: Path) -> None:
    labels = [{"id": "step_up", "text": "坡"}, {"id": "label_1", "text": "点异常"}]
    file = save(tmp_path / "labels.json", {"local_change": {"step": {"labels": labels}}})
    said = call("set", file, "--out", "plant.json", "--version", "3").output
    assert "step_up: means '阶跃上升' here, but '坡' there" in said
    configure(project, ["labels.set=plant.json"])
    rows = save(tmp_path / "rows.json", [document("a/FI_1.PV", (3, 3), label="点异常")])
    assert call("import", rows, "--into", "it001").exit_code == 0
    record = held(project)["a/FI_1.PV"]
    assert (record.label_set, record.intervals[0].label) == ("plant@3", "label_1")
    with pytest.raises(TsloopError, match="is there already"):
        call("set", file, "--out", "plant.json")
    assert "trainset: TRAINSET table" in call("formats").output


def test_labels_that_a_mapping_changed_go_back_as_they_came(
    project: Project, tmp_path: Path
) -> None:
    """Two foreign labels that became one of ours, and one of another id but our text."""
    labels = [("label_1", "点异常"), ("label_2", "区间异常"), ("anomaly_segment", "震荡区间")]
    annotations = [
        {"label": {"id": i, "text": text}, "segments": [{"start": n, "end": n + 3}]}
        for n, (i, text) in enumerate(labels)
    ]
    file = save(tmp_path / "v2.json", {"filename": "a/FI_1.PV.csv", "annotations": annotations})
    call("import", file, "--write-mapping", "map.json")
    mapping = Path("map.json").read_text("utf-8").replace("null", '"anomaly"')
    Path("map.json").write_text(mapping, "utf-8")
    assert call("import", file, "--into", "it001", "--mapping", "map.json").exit_code == 0
    found = [i.label for i in held(project)["a/FI_1.PV"].intervals]
    assert found == ["anomaly", "anomaly", "oscillation"]
    call("export", "annotator_v2", tmp_path / "out", "--from", "it001", "--original-labels")
    (out,) = (tmp_path / "out").iterdir()
    again = json.loads(out.read_text("utf-8"))["annotations"]
    assert [(a["label"]["id"], a["label"]["text"]) for a in again] == labels
    assert [(s["start"], s["end"]) for a in again for s in a["segments"]] == [
        (0, 3),
        (1, 4),
        (2, 5),
    ]
    assert "There already" in call("import", out, "--into", "it001", "--mapping", "map.json").output
