"""`tsloop labels check|suspects|agreement` and the gate of `dataset@`, on a finished project."""

from __future__ import annotations

import importlib
import json

import pytest
from detect_tools import call

from project_tools import run_stages
from tsloop.annotations.journal import read_journal, write_journal
from tsloop.api import AnnotationAdapter
from tsloop.config.params import configure, read_params
from tsloop.config.pipeline import NOTHING_YET
from tsloop.files import read_json, read_jsonl, write_jsonl
from tsloop.intervals import Detection, Interval, Status
from tsloop.loop.manager import IterationManager
from tsloop.loop.queues import LIKELY_LABEL_ERROR, QueueItem, read_queue, write_queue
from tsloop.loop.suspects import find
from tsloop.project import Project
from tsloop.stages.runner import run_stage


@pytest.fixture
def manned(finished: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """People have labelled it002 and gold, just like the simulated annotator."""
    for name in ("it002", "gold"):
        finished.labels(name).write_bytes(finished.simulated(name).read_bytes())
    configure(finished)
    monkeypatch.chdir(finished.root)
    return finished


def test_check_lists_every_check_and_its_action(finished, monkeypatch, capsys) -> None:
    assert call(finished.root, monkeypatch, "labels", "check") == 0
    said = capsys.readouterr().out
    assert "it002.jsonl: 3 series" in said
    for name in ("bounds", "leakage", "far_edges", "drift", "agreement"):
        assert name in said


def test_check_looks_at_every_line_of_a_journal(finished, monkeypatch, capsys) -> None:
    lines = finished.simulated("it002").read_text(encoding="utf-8").splitlines()
    outside = json.loads(lines[1])
    outside["intervals"] = [{"start": 0, "end": 10**6, "label": "step_up"}]
    outside["intervals"].append({"start": 9, "end": 3, "label": "step_up"})
    outside["result"] = "ok"
    foreign = {**json.loads(lines[2]), "n_rows": 300}
    text = "\n".join(["{", lines[0], json.dumps(outside), json.dumps(foreign)])
    (finished.root / "mine.jsonl").write_text(text, encoding="utf-8")
    assert call(finished.root, monkeypatch, "labels", "check", "mine.jsonl") == 1
    said = capsys.readouterr().out
    assert "mine.jsonl, line 1 is not valid JSON" in said
    assert "mine.jsonl, line 3: " in said
    assert "lies outside" in said
    assert "[9, 3]" in said
    assert f"{foreign['series_id']}: The record" in said


def test_check_names_gold_and_what_is_missing(manned, monkeypatch, capsys) -> None:
    write_journal(manned.root / "leak.jsonl", read_journal(manned.labels("gold"))[:1])
    assert call(manned.root, monkeypatch, "labels", "check", "leak.jsonl") == 1
    assert "is gold" in capsys.readouterr().out
    assert call(manned.root, monkeypatch, "labels", "check", "it007") == 1
    assert "Iterations are it001, it002" in capsys.readouterr().err


def test_a_check_that_stops_stops_the_stage(manned, capsys) -> None:
    first, *rest = read_journal(manned.labels("it002"))
    odd = first.replace(intervals=(Interval(5, 5, "oscillation"),), result=Status.OK)
    write_journal(manned.labels("it002"), [odd, *rest])
    stage = importlib.import_module("tsloop.stages.dataset").dataset
    assert run_stage("dataset", stage, ["it002"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["label_findings"] >= 1
    found = read_json(manned.snapshot("it002") / "quality.json")["findings"]
    assert "one_row_intervals" in {f["check"] for f in found}
    configure(manned, ["checks.one_row_intervals=stop"])
    assert run_stage("dataset", stage, ["it002"]) == 1
    said = capsys.readouterr().err
    assert f"one_row_intervals: {first.series_id} [5, 5]" in said
    assert "tsloop configure checks.one_row_intervals=warn" in said


def test_a_second_reading_is_compared(manned, monkeypatch, capsys) -> None:
    assert call(manned.root, monkeypatch, "labels", "agreement", "it002") == 1
    assert "it002.second.jsonl does not exist" in capsys.readouterr().err
    own = read_journal(manned.labels("it002"))
    write_journal(manned.second("it002"), own)
    assert call(manned.root, monkeypatch, "labels", "agreement", "it002") == 0
    assert "Good enough" in capsys.readouterr().out
    other = [
        r.replace(intervals=(Interval(200, 230, "step_up"),), result=Status.OK, author="wang")
        for r in own
    ]
    write_journal(manned.second("it002"), other)
    command = ("labels", "agreement", "it002", "--disputes", "open.jsonl")
    assert call(manned.root, monkeypatch, *command) == 0
    said = capsys.readouterr().out
    assert "Not good enough: kappa is" in said
    assert {row["kind"] for row in read_jsonl(manned.root / "open.jsonl")} >= {"only_second"}
    configure(manned, ["checks.agreement=stop"])
    entry = read_params(manned)["datasets"]["it002"]
    assert entry["second"] == "data/labels/it002.second.jsonl"
    assert read_params(manned)["datasets"]["it001"]["second"] == NOTHING_YET
    assert call(manned.root, monkeypatch, *command) == 1
    capsys.readouterr()
    stage = importlib.import_module("tsloop.stages.dataset").dataset
    assert run_stage("dataset", stage, ["it002"]) == 1
    assert "agreement: kappa is" in capsys.readouterr().err
    configure(manned, ["checks.min_kappa=-1"])
    assert run_stage("dataset", stage, ["it002"]) == 0


def test_agreement_needs_two_journals_with_something_in_common(manned, monkeypatch, capsys) -> None:
    one, other = str(manned.labels("it002")), str(manned.labels("gold"))
    assert call(manned.root, monkeypatch, "labels", "agreement", one) == 1
    assert "Give a second journal" in capsys.readouterr().err
    assert call(manned.root, monkeypatch, "labels", "agreement", one, other) == 1
    assert "no series in common" in capsys.readouterr().err


def test_what_is_neither_a_journal_nor_an_iteration_is_said(finished, monkeypatch, capsys) -> None:
    """A mistyped path has another remedy than an iteration without labels."""

    def said(*command: str) -> str:
        assert call(finished.root, monkeypatch, "labels", *command) == 1
        return capsys.readouterr().err

    for command in ("check", "agreement"):
        for path in ("mine.josnl", "data/labels/it002.josnl"):
            assert f"'{path}' is neither an iteration nor a file" in said(command, path)
    assert "Iterations are it001, it002" in said("check", "mine.josnl")
    alone = said("agreement", "it002")
    assert "data/labels/it002.second.jsonl does not exist" in alone
    assert "second person" in alone
    assert "template" not in alone
    assert "The second journal, li.jsonl, does not exist" in said("agreement", "it002", "li.jsonl")


def test_suspects_are_listed(finished, monkeypatch, capsys) -> None:
    assert call(finished.root, monkeypatch, "labels", "suspects") == 1
    assert "at least 6 with 20 intervals are needed" in capsys.readouterr().err
    monkeypatch.setattr(find, "MIN_SERIES", 2)
    monkeypatch.setattr(find, "MIN_INTERVALS", 2)
    command = ("labels", "suspects", "it002", "--detector", "knn", "--out", "list.jsonl")
    assert call(finished.root, monkeypatch, *command) == 0
    said = capsys.readouterr().out
    assert "unlabelled spots were judged" in said
    rows = read_jsonl(finished.root / "list.jsonl")
    records = read_jsonl(finished.snapshot("it002") / "annotations.jsonl")
    labels = [row for row in rows if row["kind"] != "missed"]
    assert len(labels) == sum(len(record["intervals"]) for record in records)
    assert [row["score"] for row in rows] == sorted((r["score"] for r in rows), reverse=True)


def test_the_queue_asks_again_and_a_draft_holds_the_labels(finished, monkeypatch) -> None:
    monkeypatch.chdir(finished.root)
    monkeypatch.setattr(find, "MIN_SERIES", 2)
    monkeypatch.setattr(find, "MIN_INTERVALS", 2)
    monkeypatch.setattr("tsloop.loop.suspects.rechecks.MIN_CHANCE", 0.0)
    before = read_queue(finished.queue("it002"))
    run_stages(finished, "queue@it002", record=False)
    after = read_queue(finished.queue("it002"))
    again = [item for item in after if item.reason == LIKELY_LABEL_ERROR]
    assert 0 < len(again) <= 3
    assert [item.series_id for item in after[len(again) :]] == [i.series_id for i in before]
    IterationManager(finished).create_iteration()
    configure(finished, ["annotator=human"])
    rows = AnnotationAdapter(finished).draft("it003", "li")
    held = {r["series_id"]: r for r in read_jsonl(finished.snapshot("it002") / "annotations.jsonl")}
    for row, item in zip(rows, again, strict=False):
        assert row["revision"] == held[item.series_id]["revision"] + 1
        assert row["intervals"] == held[item.series_id]["intervals"]
        assert "please look again" in row["draft"]
    looked = [{k: v for k, v in row.items() if k != "draft"} for row in rows[:1]]
    write_jsonl(finished.labels("it003"), looked)
    (record,) = read_journal(finished.labels("it003"))
    assert record.author == "li"


def test_a_queue_that_asks_for_what_is_not_labelled_is_refused(finished) -> None:
    item = QueueItem(1, "nobody", 0.9, LIKELY_LABEL_ERROR, 1.0, Detection.of(()), revision=1)
    write_queue(finished.queue("it002"), [item])
    IterationManager(finished).create_iteration()
    with pytest.raises(Exception, match="is not labelled any more"):
        AnnotationAdapter(finished).draft("it003")
