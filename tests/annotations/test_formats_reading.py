"""What other tools write, in all its spellings: read leniently, and every oddity accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conformance_tools import LABELS, MemoryStore, make_series, round_trip

from tsloop.annotations.formats.accounts import is_damaged
from tsloop.annotations.formats.base import ForeignRecord, Reading, ReadOptions
from tsloop.annotations.formats.binding import Binder
from tsloop.annotations.formats.mapping import Mapped
from tsloop.annotations.formats.registry import detect_format, get_format
from tsloop.annotations.formats.source import Source
from tsloop.annotations.record import IMPORTED, AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Basis, Interval, Status

SERIES = make_series("FI_101.PV")
STORE = MemoryStore(SERIES)


def read(content: Any, name: str = "x.json", fmt: str = "", **options: Any) -> Reading:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    source = Source(Path(name), text.encode())
    found = get_format(fmt) if fmt else detect_format(source)
    assert found is not None
    return found.read(source, ReadOptions(**options))


def rows_of(record: ForeignRecord) -> list[tuple[int | None, int | None, str]]:
    return [(span.start, span.end, span.label.text) for span in record.spans]


def v2(segments: list[Any], **more: Any) -> dict[str, Any]:
    label = {"id": "label_9", "text": "点异常", "categoryId": "anomaly"}
    annotation = {"label": label, "segments": segments, "prompt": "123", "expert_output": "45"}
    return {"filename": "FI_101.PV.csv", "annotations": [{**annotation, **more}]}


def test_annotator_v2_unsorted_overlapping_with_null_statistics() -> None:
    own = {"id": "label_9", "text": "点异常"}
    reading = read(
        {
            **v2(
                [
                    {"start": 30, "end": 40, "count": 11, "minVal": None, "label": own},
                    {"start": 3, "end": 35, "count": 7, "mean": float("nan")},
                    {"start": "5", "end": 5.0},
                ]
            ),
            "overall_attribute": {"trend": "", "noise": "clean", "seasonal": "no_periodic"},
            "export_time": "2026-01-06T06:08:27.470Z",
            "site": "north",
            "level": float("nan"),
        }
    )
    (record,) = reading.records
    assert rows_of(record) == [(30, 40, "点异常"), (3, 35, "点异常"), (5, 5, "点异常")]
    assert {span.reason for span in record.spans} == {"45"}
    assert record.repairs == (
        "counts that do not fit their rows",
        "rows written as fractions",
        "rows written as text",
    )
    assert (record.doubts, record.proposed) == ((), False)
    assert {k: v.id for k, v in record.overall.items()} == {
        "noise": "clean",
        "seasonality": "no_periodic",
    }
    assert record.time == "2026-01-06T06:08:27.470Z"
    assert record.fields == {"site": "north", "level": None, "prompts": ["123"]}
    bound = Binder(STORE, LABELS, Mapped(labels={("label_9", "点异常"): "anomaly"})).bind(record)
    assert bound.record.overall == {"seasonality": "not_periodic"}
    imported = bound.record.extra[IMPORTED]
    assert imported["overall"] == {"noise": {"id": "clean"}}
    assert imported["labels"][1] == {
        "start": 3,
        "end": 35,
        "to": "anomaly",
        "id": "label_9",
        "text": "点异常",
    }
    assert "noise {'id': 'clean'} has no place here" in bound.notes


def test_annotator_v2_stored_and_wrappers() -> None:
    stored = {**v2([{"start": 1, "end": 2}], id=1766467094868, expertOutput="spiky")}
    del stored["annotations"][0]["expert_output"]
    stored["last_updated"] = "2025-12-23T13:18:16.037576"
    (record,) = (reading := read(stored)).records
    assert reading.format == "annotator_v2_stored"
    assert record.spans[0].reason == "spiky"
    # A stamp without a zone is kept as it is, and becomes a time once a zone is stated.
    assert (record.time, record.fields["last_updated"]) == ("", stored["last_updated"])
    (zoned,) = read(stored, zone="Asia/Shanghai").records
    assert zoned.time == "2025-12-23T05:18:16.037576Z"
    for wrapped in ([stored, stored], {"results": [stored]}, {"file": "a.csv", "result": stored}):
        assert {r.name for r in read(wrapped).records} == {"FI_101.PV.csv"}


def test_proposals_of_models_stay_proposals() -> None:
    by_id = read(v2([{"start": 1, "end": 2}], id="auto_1769137108_chatts"))
    by_label = v2([{"start": 1, "end": 2}])
    by_label["annotations"][0]["label"] = {"id": "chatts_detected", "text": "ChatTS"}
    rows = [{**v2([{"start": 1, "end": 2}], label="点异常"), "source": "inference"}]
    for reading in (by_id, read(by_label), read(rows)):
        assert [record.proposed for record in reading.records] == [True]
    bound = Binder(STORE, LABELS).bind(read(by_label).records[0])
    assert [(i.label, i.basis) for i in bound.record.intervals] == [("anomaly", Basis.MODEL)]


@pytest.mark.parametrize(
    "segment", [{"start": 3}, {"start": 3.5, "end": 4}, "x", {"start": -1, "end": 2}, {}]
)
def test_one_unreadable_interval_fails_its_record(segment: Any) -> None:
    reading = read([v2([{"start": 1, "end": 2}, segment]), v2([{"start": 1, "end": 2}])])
    assert len(reading.records) == 1
    (failure,) = reading.failures
    assert failure.place == "x.json, record 1"


def test_an_empty_list_is_not_no_anomaly_unless_that_is_stated() -> None:
    empty = {"filename": "FI_101.PV.csv", "annotations": []}
    reading = read(empty)
    assert (reading.records, len(reading.skipped)) == ((), 1)
    (record,) = read(empty, empty_is_none=True).records
    assert record.result is Status.NONE
    without = read(v2([]), empty_is_none=False)
    assert (without.records, len(without.skipped)) == ((), 1)


def test_annotator_v1_rows_and_tree() -> None:
    row = {
        "id": "ann_17",
        "start_index": 18,
        "end_index": 25,
        "overall_attributes": {"trend": "decrease", "frequency": "high_freq"},
        "local_changes": [
            {"id": "upward_spike", "text": "上行尖峰", "color": "#ef4444"},
            {"id": "step_up", "text": "阶跃上升"},
        ],
        "output": "Yes",
    }
    reading = read({"filename": "FI_101.PV.csv", "annotations": [row]})
    assert reading.format == "annotator_v1"
    bound = Binder(STORE, LABELS).bind(reading.records[0])
    assert [i.label for i in bound.record.intervals] == ["step_up", "upward_spike"]
    assert bound.record.overall == {"trend": "decrease", "frequency": "high"}
    leaf = {"id": "upward_spike", "text": "上行尖峰", "index": [18, 25], "output": "Yes"}
    tree = {
        "categories": {"trend": {"name": "趋势", "labels": [{"id": "decrease", "text": "下降"}]}},
        "local_change": {"name": "局部变化", "categories": {"spike": {"labels": [leaf]}}},
    }
    reading = read({"filename": "FI_101.PV.csv", "annotations": [tree]})
    assert reading.format == "annotator_v1_tree"
    bound = Binder(STORE, LABELS).bind(reading.records[0])
    assert bound.record.overall == {"trend": "decrease"}
    assert bound.record.intervals[0].reason == "Yes"
    del leaf["index"]
    assert len(read({"filename": "FI_101.PV.csv", "annotations": [tree]}).failures) == 1


def task(result: list[Any], data: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "data": data or {"csv": "/up/FI_101.PV.csv?x=1"},
        "annotations": [{"result": result, **more}],
    }


def region(start: Any, end: Any, *labels: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "instant": start == end, "timeserieslabels": list(labels)}
    return {
        "id": "r",
        "from_name": "label",
        "to_name": "ts",
        "type": "timeserieslabels",
        "value": value,
    }


def test_label_studio_annotations_rows_and_stamps() -> None:
    rows = read([task([region(4, 23, "step up"), region(7, 7, "dropout", "clipping")])])
    assert rows_of(rows.records[0]) == [(4, 23, "step up"), (7, 7, "dropout"), (7, 7, "clipping")]
    stamps = [region("2023-11-14 22:13:20.250", "2023-11-14 22:13:21.000", "step up")]
    bound = Binder(STORE, LABELS).bind(read([task(stamps)], zone="UTC").records[0])
    assert [(i.start, i.end) for i in bound.record.intervals] == [(1, 4)]
    with pytest.raises(AnnotationError, match="is no sample"):
        Binder(STORE, LABELS).bind(
            read(
                [task([region("2023-11-14 22:13:20.3", "2023-11-14 22:13:21", "step up")])],
                zone="UTC",
            ).records[0]
        )
    off = read(
        [task([region("2023-11-14 22:13:20.3", "2023-11-14 22:13:21", "step up")])], zone="UTC"
    )
    snapped = Binder(STORE, LABELS, snap=True).bind(off.records[0])
    assert snapped.record.intervals[0].start == 1
    assert snapped.notes == ("a time moved to the nearest sample, 0.05 s away",)
    assert "no time zone" in read([task(stamps)]).failures[0].reason


def test_label_studio_cancelled_empty_and_predicted() -> None:
    by = {"email": "li@example.com", "id": 3}
    reading = read(
        [
            task([region(1, 2, "step up")], was_cancelled=True),
            task([], completed_by=by, created_at="2026-01-05T08:30:00Z"),
            {
                **task([]),
                "annotations": [],
                "predictions": [{"result": [region(1, 1, "clipping")]}],
            },
            {**task([]), "annotations": [], "predictions": [17]},  # as the server exports them
            task([{"type": "choices", "from_name": "trend", "value": {"choices": ["上升"]}}]),
            task([{"type": "textarea", "value": {}}, region(1, 1, "clipping")]),
            task([{"type": "timeserieslabels", "value": {"start": 1}}]),
        ]
    )
    assert [(r.result, r.proposed) for r in reading.records] == [
        (Status.NONE, False),
        (Status.OK, True),
        (Status.NONE, False),
        (Status.OK, False),
    ]
    assert (reading.records[0].author, reading.records[0].time) == (
        "li@example.com",
        "2026-01-05T08:30:00Z",
    )
    assert [s.reason for s in reading.skipped] == ["a cancelled annotation", "nobody annotated it"]
    assert reading.records[3].repairs == ("results of other kinds left out: textarea",)
    assert len(reading.failures) == 1


def test_trainset_runs_per_series_in_any_order() -> None:
    lines = ["series,timestamp,value,label"]
    for second in (3, 1, 2, 4, 5):  # out of order
        label = {1: "foo", 2: "foo", 4: "foo", 5: "biz"}.get(second, "")
        lines.append(f"a,2019-01-14T16:26:3{second}.000Z,{second},{label}")
        lines.append(f"b,2019-01-14T16:26:3{second}.000Z,,")
    lines.append("c,yesterday,1,foo")
    reading = read("\n".join(lines), "t.csv")
    (record,) = reading.records
    assert [(s.t_start, s.t_end, s.label.text) for s in record.spans] == [
        (1547483191000000000, 1547483192000000000, "foo"),
        (1547483194000000000, 1547483194000000000, "foo"),
        (1547483195000000000, 1547483195000000000, "biz"),
    ]
    assert (record.n_rows, record.repairs) == (5, ("rows out of order",))
    assert [s.place for s in reading.skipped] == ["t.csv, series b"]
    assert [f.place for f in reading.failures] == ["t.csv, series c"]


def test_nab_windows_need_a_zone_and_say_that_they_are_wide() -> None:
    data = {
        "real/a.csv": [["2014-02-26 13:45:00.000000", "2014-02-27 06:25:00.000000"]],
        "artificial/b.csv": [],
        "real/c.csv": [["2014-02-26 13:45:00.000000"]],
    }
    assert len(read(data).failures) == 2
    reading = read(data, zone="UTC")
    first, second = reading.records
    assert "tolerance" in first.repairs[0]
    assert first.fields == {"kind": "tolerance_window"}
    assert second.result is Status.NONE
    assert len(reading.failures) == 1
    labels = read({"real/a.csv": ["2014-02-26 22:05:00"]}, zone="UTC").records[0]
    assert labels.spans[0].t_start == labels.spans[0].t_end
    assert labels.repairs == ()


def test_golden_ends_are_exclusive() -> None:
    item = {"interval": [12, 14], "type": "dip", "confidence": 0.95}
    data = {
        "data_type": "noisy",
        "source": "x#1",
        "annotators": ["alice", "bob"],
        "intervals": [item],
    }
    (record,) = read(data, "FI_101.PV.label.json").records
    assert rows_of(record) == [(12, 13, "dip")]
    assert (record.author, record.name, record.spans[0].score) == ("alice, bob", "FI_101.PV", 0.95)
    mapped = Mapped(labels={("", "dip"): "dropout"})
    bound = Binder(STORE, LABELS, mapped, format="golden").bind(record)
    from tsloop.annotations.formats.base import WriteContext
    from tsloop.annotations.formats.exporting import export_records

    context = WriteContext(STORE, LABELS)
    files = dict(export_records(get_format("golden"), [bound.record], context).files)
    again = json.loads(files["FI_101.PV.label.json"])
    assert (again["data_type"], again["source"]) == (
        "noisy",
        "x#1",
    )  # foreign fields come out again
    item["interval"] = [12, 12]
    assert "holds no row" in read(data, "FI_101.PV.label.json").failures[0].reason


VALUES = [round(float(v), 5) for v in SERIES.values[25:55]]


def test_a_dense_series_is_split_until_its_answers_are_short(tmp_path: Path) -> None:
    series = make_series("dense", 400)
    points = tuple(
        Interval(row, row, "dropout", basis=Basis.IMPORTED, t_start=stamp, t_end=stamp)
        for row, stamp in enumerate(series.timestamps.tolist())
        if row % 3 == 0
    )
    record = AnnotationRecord("dense", series.sha256, 400, Status.OK, LABELS.ref, points)
    (again,), _ = round_trip(
        get_format("chatts_jsonl"), [record], MemoryStore(series), tmp_path, window=400
    )
    assert again.record.intervals == points
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text("utf-8").splitlines()]
    assert [row["rows"] for row in rows] == [[0, 99], [100, 199], [200, 299], [300, 399]]


PROMPT = "请分析长度为30的单变量时序数据片段<ts><ts/>，识别异常区间和异常类型。"


def jsonl(*outputs: Any, values: list[float] = VALUES) -> str:
    rows = [{"input": PROMPT, "output": out, "timeseries": [values]} for out in outputs]
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def test_chatts_rows_find_their_series_by_its_values() -> None:
    reading = read(jsonl("{'interval': [3, 9], 'type': 'step_up'}"), "train.jsonl")
    (record,) = reading.records
    assert record.repairs == ("single quotes",)
    bound = Binder(STORE, LABELS).bind(record)
    assert [(i.start, i.end) for i in bound.record.intervals] == [(28, 34)]
    assert bound.doubts == ("only rows 25 to 54 of 60 were judged",)
    (other,) = read(jsonl("[]", values=[v + 1 for v in VALUES]), "train.jsonl").records
    with pytest.raises(AnnotationError, match="no stored series"):
        Binder(STORE, LABELS).bind(other)


def test_unreadable_chatts_rows_are_failures_with_their_line() -> None:
    text = jsonl("Sorry, I cannot do that", "", "[", "[]", [{"interval": [1, 2]}])
    broken = '{"input": "x"\n{"input": "", "output": "[]", "timeseries": [[1], [2]]}'
    reading = read(f"{text}\n{broken}", "train.jsonl", fmt="chatts_jsonl")
    assert [f.place for f in reading.failures] == [
        f"train.jsonl, line {n}" for n in (1, 2, 3, 6, 7)
    ]
    assert [r.result for r in reading.records] == [Status.NONE, Status.OK]
    assert "an answer that is no text" in reading.records[1].repairs
    as_list = "[" + ",".join(jsonl("[]", "[]").splitlines()) + "]"
    reading = read(as_list, "train.jsonl")
    assert len(reading.records) == 2
    assert "JSON list" in reading.repairs[0]


def talk(answer: str, **more: Any) -> dict[str, Any]:
    first = "<image>\n请分析图中的低频、未知噪声、无周期性、无明显趋势的时间序列数据，并识别异常。"
    return {
        "image": "images/FI_101.PV.jpg",
        "conversations": [
            {"from": "user", "value": first},
            {"from": "assistant", "value": answer},
        ],
        **more,
    }


def one(start: int, end: int, label: str = "阶跃上升") -> str:
    item = {"interval": [start, end], "type": label, "reason": f"{start}"}
    return json.dumps({"status": "success", "detected_anomalies": [item]}, ensure_ascii=False)


def test_qwen_conversations_in_all_spellings() -> None:
    marker = '{"status": "success", "detected_anomalies": [{"type": "无异常", "reason": "-"}]}'
    attribute = (
        '{"status":"success","detected_anomalies":[{"type":"全局属性","reason":"高频、低噪声"}]}'
    )
    older = '{"overall_attribute": {"frequency": "low_freq", "noise": "", "trend": "stable"}}'
    reading = read(
        [
            talk(",".join([one(3, 3), one(5, 9, "点异常"), attribute])),
            talk(marker),
            talk(one(3, 3).replace('"', "'") + "," + older.replace('"', "'")),
            talk("［｛" + one(3, 3)[1:-1] + "｝］"),
            talk(f"{one(3, 3)},{marker}"),
            talk("抱歉，我无法识别"),
            talk(one(3, 3, "ChatTS"), image="down/FI_101.PV.csv"),
            talk('{"objects": [{"bbox_2d": [1.5, 0.0, 2.5, 512.0]}]}'),
            {"conversations": "?"},
        ]
    )
    assert [f.place for f in reading.failures] == [f"x.json, record {n}" for n in (6, 8, 9)]
    joined, none, quoted, wide, contradiction, model = reading.records
    assert [r.result for r in reading.records] == [Status.OK, Status.NONE, *[Status.OK] * 4]
    assert joined.repairs == ("joined objects",)
    assert {k: v.text or v.id for k, v in joined.overall.items()} == {
        "frequency": "高频",
        "noise": "低",
        "seasonality": "无周期",
        "trend": "无明显趋势",
    }
    assert none.repairs == ()
    assert quoted.repairs == ("joined objects", "single quotes")
    assert quoted.overall["frequency"].id == "low_freq"
    assert wide.repairs == ("full-width brackets",)
    assert contradiction.doubts == ('contradiction ("no anomaly" beside anomalies)',)
    assert (model.proposed, "a picture that is none" in model.repairs) == (True, True)


def test_qwen_conversations_as_json_lines() -> None:
    lines = [json.dumps(talk(one(1, 2)), ensure_ascii=False), "{broken", json.dumps(talk("[]"))]
    reading = read("\n".join(lines), "x.jsonl")
    assert [r.result for r in reading.records] == [Status.OK, Status.NONE]
    assert [f.place for f in reading.failures] == ["x.jsonl, record 2"]


def test_a_list_with_an_ellipsis_is_read_and_the_rest_is_a_failure() -> None:
    text = json.dumps([talk(one(1, 2))], ensure_ascii=False)[:-1] + ",\r\n  ......\r\n]"
    reading = read(text, "x.txt")
    assert len(reading.records) == 1
    assert [f.place for f in reading.failures] == ["x.txt, record 2"]
    assert reading.repairs == ("almost-JSON: literals",)
    assert detect_format(Source(Path("x.json"), text[:-20].encode())) is None  # cut off


HEAD = "date,FI_101.PV,outlier_mask,global_mask,local_mask"


def test_masks_of_zeros_are_no_judgement_and_thinned_rows_are_led_back(tmp_path: Path) -> None:
    flags = [0, 1, 1, 0, 1]
    lines = [f"t{i},1.5,0,{flag},0,{i * 7}" for i, flag in enumerate(flags)]
    (record,) = read("\n".join([HEAD + ",orig_pos", *lines]), "a.csv").records
    assert [(s.start, s.end) for s in record.spans] == [(7, 14), (28, 28)]
    assert (record.proposed, record.n_rows) == (True, None)
    plain = [f"t{i},1.5,0,{flag},0" for i, flag in enumerate(flags)]
    (record,) = read("\n".join([HEAD, *plain]), "a.csv").records
    assert record.n_rows == 5
    with pytest.raises(AnnotationError, match="counts 5 rows"):
        Binder(STORE, LABELS).bind(record)
    zeros = "\n".join([HEAD, "t0,1,0,0,0"])
    reading = read(zeros, "a.csv")
    assert (reading.records, len(reading.skipped)) == ((), 1)
    assert "mask 'x'" in read(f"{HEAD}\nt0,1,0,x,0", "a.csv").failures[0].reason


def test_segments_need_their_index_space(tmp_path: Path) -> None:
    item = {"start": 3, "end": 8, "score": 25.7, "raw_p": 1.0, "length": 3}
    (tmp_path / "a_segments.json").write_text(json.dumps([item]))

    def of(name: str, **options: str) -> Reading:
        source = Source.open(tmp_path / name)
        found = detect_format(source)
        assert found is not None
        return found.read(source, ReadOptions(**options))

    assert "index space 'unknown'" in of("a_segments.json").failures[0].reason
    assert len(of("a_segments.json", index_space="raw").records) == 1
    summary = {"index_space": "downsample", "segment_count": 1}
    metrics = {"summary": summary, "point_name": "FI_101.PV"}
    (tmp_path / "a_metrics.json").write_text(json.dumps(metrics))
    assert "'downsample'" in of("a_segments.json", index_space="raw").failures[0].reason
    summary["index_space"] = "raw_mapped"
    (tmp_path / "a_metrics.json").write_text(json.dumps(metrics))
    for name in ("a_segments.json", "a_metrics.json"):
        (record,) = of(name).records
        # The older score measures contrast: it is kept, but is no confidence.
        assert record.spans[0].score is None
        assert record.fields == {"contrast": [25.7]}
        assert record.name == "FI_101.PV"
    summary["segment_count"] = 4
    (tmp_path / "a_metrics.json").write_text(json.dumps(metrics))
    assert "counts 4 segments" in of("a_segments.json").failures[0].reason
    (tmp_path / "b_segments.json").write_text("[]")
    assert len(of("b_segments.json").skipped) == 1


@pytest.mark.parametrize(
    ("name", "text", "damaged"),
    [
        ("a.json", "", True),
        ("a.json", " \n", True),
        ("a.json", "[1, 2", True),
        ("a.json", "null", False),
        ("a.json", "[]", False),
        ("a.jsonl", "", False),
        ("a.jsonl", "{broken", True),
        ("a.csv", "", False),
    ],
)
def test_an_aborted_download_is_damaged(name: str, text: str, damaged: bool) -> None:
    assert is_damaged(Source(Path(name), text.encode())) is damaged
