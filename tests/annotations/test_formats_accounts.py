"""Files without labels are named for what they are, and what a record lacks is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance_tools import LABELS, START, MemoryStore, make_series, round_trip

from tsloop.annotations.formats.accounts import describe_other
from tsloop.annotations.formats.base import (
    ForeignLabel,
    ForeignRecord,
    ReadOptions,
    Span,
    WriteContext,
)
from tsloop.annotations.formats.binding import Binder
from tsloop.annotations.formats.exporting import export_records
from tsloop.annotations.formats.importing import bind_all, open_names, read_files
from tsloop.annotations.formats.registry import get_format
from tsloop.annotations.formats.source import Source
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Interval, Status
from tsloop.series.types import Series

OTHERS: list[tuple[str, Any, str]] = [
    (
        "labels.json",
        {"local_change": {"a": {"labels": [{"id": "x", "text": "y"}]}}},
        "a label set of 2",
    ),
    (
        "points.json",
        {"root.a": {"columns": ["FI", "TI"], "st": "2023"}},
        "a point list: 2 points of 1",
    ),
    (
        "answers.json",
        [{"raw": "[]", "n": 5}, {"raw": "?", "n": 5}],
        "2 answers of models: 0 ok, 1 none",
    ),
    (
        "queue.json",
        [{"strategy": "topk", "status": "pending"}],
        "a review queue without labels: 1 pend",
    ),
    ("info.json", {"a": {"file_name": "a.jsonl", "columns": {}}}, "a registry of 1 data set"),
    ("i.json", {"n_rows": 5, "intervals": [{"start": 1}]}, "1 interval in no tool's format"),
    ("prompts.json", {"default": {"template": "?"}}, "1 prompt template"),
    ("other.json", {"a": 1, "b": 2}, "an object of 2 keys without labels: a, b"),
    ("list.json", [1, 2], "a list of 2 items without labels"),
    ("log.jsonl", '{"a": 1}\n{"a": 2}', "2 lines of JSON that hold no labels"),
    ("it001.jsonl", '{"schema": "tsloop.annotation/1"}', "a journal of tsloop with 1 record"),
    ("points.txt", "FI_1\nFI_2\n", "a list of 2 names"),
    ("README.md", "two words\n", "text of 1 line"),
    ("x.csv", "Date,FI\n1,2\n3,4\n", "a series of 2 rows without labels"),
]


@pytest.mark.parametrize(("name", "content", "begin"), OTHERS, ids=[name for name, _, _ in OTHERS])
def test_what_a_file_without_labels_is(name: str, content: Any, begin: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    assert describe_other(Source(Path(name), text.encode())).startswith(begin)


def test_files_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read: No such file"):
        Source.open(tmp_path / "gone.json")
    source = Source(tmp_path / "x.txt", b"\xff\xff\x00")
    with pytest.raises(AnnotationError, match="neither UTF-8 nor GB 18030"):
        _ = source.text
    chinese = Source(tmp_path / "x.json", '{"名": "值"}'.encode("gb18030"))
    assert (chinese.json, chinese.repairs) == ({"名": "值"}, ("read as GB 18030",))
    marked = Source(tmp_path / "x.json", b"\xef\xbb\xbf[1, 2,]")
    assert (marked.json, marked.repairs) == ([1, 2], ("byte order mark", "almost-JSON: commas"))


SERIES = make_series("FI_101.PV")
STORE = MemoryStore(SERIES)
GOOD = ForeignRecord("f, record 1", "FI_101.PV", Status.OK, (Span(ForeignLabel("step_up"), 3, 4),))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "", "values": None}, "names no series"),
        ({"name": "", "values": np.arange(20.0)}, "no stored series"),
        ({"n_rows": 7}, "counts 7 rows, but series 'FI_101.PV' has 60"),
        ({"spans": (Span(ForeignLabel("step_up"), 3, 60),)}, r"\[3, 60\] lies outside the 60 rows"),
        ({"spans": (Span(ForeignLabel("step_up")),)}, "neither rows nor times"),
        (
            {"spans": (Span(ForeignLabel("step_up"), t_start=START + 10**9, t_end=START),)},
            "ends .* before it begins",
        ),
        ({"spans": (Span(ForeignLabel("step_up", "坡"), 1, 1),)}, "has another text in"),
        ({"spans": (Span(ForeignLabel("x"), 1, 1),)}, "is not in the label set"),
    ],
)
def test_what_is_not_certain_is_refused_with_its_place(change: dict[str, Any], why: str) -> None:
    record = replace(GOOD, **change)
    with pytest.raises(AnnotationError, match=rf"^f, record 1: .*{why}"):
        Binder(STORE, LABELS).bind(record)


def test_a_name_that_leads_nowhere_falls_back_to_the_values() -> None:
    record = replace(GOOD, name="gone", values=SERIES.values[30:50], n_rows=20)
    bound = Binder(STORE, LABELS).bind(record)
    assert [(i.start, i.end) for i in bound.record.intervals] == [(33, 34)]
    assert bound.doubts == ("only rows 30 to 49 of 60 were judged",)
    assert open_names([record, GOOD, GOOD], Binder(STORE, LABELS)) == {}
    assert open_names([replace(GOOD, name="x_FI_101.PV.csv")], Binder(STORE, LABELS)) == {
        "x_FI_101.PV.csv": "FI_101.PV"
    }


def test_failures_of_many_records_come_with_their_hints(tmp_path: Path) -> None:
    rows = [
        {"filename": name, "annotations": [], "result": "none"} for name in ("FI_101.PV", "gone")
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (file,) = read_files([tmp_path], "auto", ReadOptions())
    assert file.reading is not None
    binding = bind_all([file.reading], Binder(STORE, LABELS))
    assert ([b.record.result for b in binding.bound], len(binding.failures)) == ([Status.NONE], 1)
    assert "--write-mapping" in next(iter(binding.hints))


def windows(*parts: tuple[int, int, str]) -> Any:
    """Windows ``first..last`` of the series, each with an answer, bound together."""
    whole = make_series("whole", 80)
    values = np.where(np.isnan(whole.values), 0.0, whole.values)
    store = MemoryStore(Series("whole", whole.timestamps, values))
    rows = [
        {"input": "<ts><ts/>", "output": out, "timeseries": [values[first : last + 1].tolist()]}
        for first, last, out in parts
    ]
    source = Source(Path("t.jsonl"), "\n".join(map(json.dumps, rows)).encode())
    reading = get_format("chatts_jsonl").read(source, ReadOptions())
    binding = bind_all([reading], Binder(store, LABELS))
    assert binding.failures == ()
    return binding.bound


def test_windows_of_one_series_are_joined() -> None:
    step = "[{'interval': [%d, %d], 'type': 'step_up'}]"
    (whole,) = windows((0, 49, step % (30, 42)), (20, 79, step % (10, 22)))
    assert [(i.start, i.end) for i in whole.record.intervals] == [(30, 42)]
    assert (whole.doubts, whole.part) == ((), None)
    assert whole.record.extra["imported"]["place"] == "t.jsonl, line 1 and 1 more"
    (short,) = windows((0, 29, "[]"), (40, 79, step % (0, 0)))
    assert [(i.start, i.end) for i in short.record.intervals] == [(40, 40)]
    assert short.doubts == ("only 70 of 80 rows were judged",)
    (torn,) = windows((0, 49, "[]"), (20, 79, step % (10, 22)))
    assert torn.doubts == ("windows that overlap disagree",)
    (calm,) = windows((0, 49, "[]"), (50, 79, "[]"))
    assert (calm.record.result, calm.doubts) == (Status.NONE, ())


def test_training_rows_that_are_missing_or_changed_are_noticed(tmp_path: Path) -> None:
    target = get_format("chatts_jsonl")
    record = AnnotationRecord(
        SERIES.id, SERIES.sha256, 60, Status.OK, LABELS.ref, (Interval(5, 55, "step_up"),)
    )
    round_trip(target, [record], STORE, tmp_path, window=20)
    lines = (tmp_path / "train.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 3

    def read(*chosen: str) -> Any:
        source = Source(Path("train.jsonl"), "\n".join(chosen).encode())
        return target.read(source, ReadOptions())

    partial = read(lines[0], lines[2]).records[0]
    assert partial.doubts == ("no window shows rows 20 to 39",)
    first = Binder(STORE, LABELS).bind(read(lines[0]).records[0])
    assert first.doubts == ("only rows 0 to 19 of 60 were judged",)
    changed = lines[1].replace("[0,19]", "[1,19]")
    assert changed != lines[1]
    assert "does not fit the answer" in read(lines[0], changed, lines[2]).failures[0].reason
    without = json.dumps({**json.loads(lines[1]), "spans": []})
    assert "1 items in the answer, 0 spans" in read(lines[0], without).failures[0].reason


def test_one_fine_time_leaves_out_its_series_where_the_file_holds_the_series() -> None:
    """The intervals alone are on whole milliseconds."""
    stamps = START + 10**6 * np.arange(5)
    stamps[3] += 500
    fine, whole = Series("fine", stamps, np.zeros(5)), make_series("whole")
    records = [
        AnnotationRecord(
            item.id, item.sha256, len(item), Status.OK, LABELS.ref, (Interval(0, 1, "step_up"),)
        )
        for item in (fine, whole)
    ]
    context = WriteContext(MemoryStore(fine, whole), LABELS)
    done = export_records(get_format("label_studio"), records, context)
    assert done.left_out == {"fine": f"the time {stamps[3]} ns is finer than it can write"}
    assert [(loss.part, loss.count) for loss in done.losses if loss.substance] == [("records", 1)]
    tasks = json.loads(next(data for name, data in done.files if name == "tasks.json"))
    assert [task["data"]["series_id"] for task in tasks] == ["whole"]
    assert list(export_records(get_format("nab"), records, context).left_out) == []


def test_series_that_a_format_cannot_show_are_refused() -> None:
    fine = Series("fine", START + 1000 * np.arange(5), np.zeros(5))
    store = MemoryStore(fine)
    record = AnnotationRecord(
        "fine",
        fine.sha256,
        5,
        Status.OK,
        LABELS.ref,
        (Interval(0, 1, t_start=START, t_end=START + 1000),),
    )
    context = WriteContext(store, LABELS)
    left_out = export_records(get_format("label_studio"), [record], context).left_out
    assert "finer than it can write" in left_out["fine"]
    nothing = AnnotationRecord("fine", fine.sha256, 5, Status.NONE, LABELS.ref)
    done = export_records(get_format("label_studio"), [nothing], context)
    assert (list(done.left_out), done.n_records) == (["fine"], 0)
    assert list(export_records(get_format("nab"), [nothing], context).left_out) == []
    with pytest.raises(AnnotationError, match="is not in the series store"):
        export_records(get_format("nab"), [record.replace(series_id="gone")], context)
