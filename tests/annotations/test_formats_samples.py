"""Files of real tools, where they are at hand: an account of each, and nothing of them lost."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conformance_tools import LABELS, START, MemoryStore, round_trip, without_origin

from tsloop.annotations.formats.base import ReadOptions, WriteContext
from tsloop.annotations.formats.binding import Binder, Bound
from tsloop.annotations.formats.exporting import export_records, with_original_labels
from tsloop.annotations.formats.importing import FileReading, bind_all, read_files
from tsloop.annotations.formats.labels_json import differences, read_labels_json
from tsloop.annotations.formats.losses import held_part
from tsloop.annotations.formats.mapping import Mapped, survey
from tsloop.annotations.formats.registry import get_format
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.stamps import to_ns
from tsloop.answers import parse_answer
from tsloop.errors import AnnotationError
from tsloop.files import read_jsonl
from tsloop.intervals import Status
from tsloop.series.types import Series

FOLDER = os.environ.get("TSLOOP_TEST_SAMPLES")
SAMPLES = Path(FOLDER or "")

pytestmark = pytest.mark.skipif(not FOLDER, reason="TSLOOP_TEST_SAMPLES names no folder of samples")

ACCOUNTS = {
    "FI_10401C.PV.intervals.json": "23 intervals in no tool's format",
    "ZHLH_4C_1216_FI_10401C.PV.csv": "a series of 5000 rows without labels",
    "platform_rows_example.json": "platform_rows, 1 record: 2 intervals in 1; 1 proposal",
    "preannotation_example.json": "annotator_v2, 1 record: 1 interval in 1; 1 proposal",
    "v1_api_example.json": "annotator_v1, 1 record: 1 interval in 1",
    "v1_export_example.json": "annotator_v1_tree, 1 record: 1 interval in 1",
    "v2_export_数据集zhlh_100_6500_GDS_SYS_01_02_BY.PV.csv.json": "annotator_v2, 1 record: 9 int",
    "v2_stored_数据集zhlh_100_LI_50701.PV.csv.json": "annotator_v2_stored, 1 record: 2 intervals",
    "dataset_info.json": "a registry of 6 data sets",
    "variant_a_derived_FI_10401C.PV.jsonl": "chatts_jsonl, 1 record: 23 intervals in 1",
    "variant_b_row1.jsonl": "chatts_jsonl, 1 record: 1 interval in 1",
    "all_conversations_first12.json": "qwen, 12 records: 78 intervals in 7, 5 without anomaly",
    "converted_AC6403B.PV.json": "qwen, 1 record: 3 intervals in 1",
    "merged_annotations.json": "qwen, 100 records: 1845 intervals in 80, 20 without anomaly",
    "merged_annotations_modified.json": "qwen, 100 records: 1833 intervals in 68, 32 without",
    "paired_FI_10401C.PV.json": "qwen, 1 record: 23 intervals in 1",
    "qwen_converted_data.json": "qwen, 1 record: 4 intervals in 1; 1 proposal of a model",
    "qwen_grounding_sample.txt": "qwen, 0 records; 2 unreadable records",
    "label_studio_tasks.json": "label_studio, 1 record: 2 intervals in 1",
    "nab_combined_labels_slice.json": "nab, 9 records: 22 intervals in 8, 1 without anomaly",
    "nab_combined_windows_slice.json": "nab, 9 records: 21 intervals in 8, 1 without anomaly",
    "nab_ec2_cpu_utilization_24ae8d.csv": "a series of 4032 rows without labels",
    "series_001.label.json": "golden, 1 record: 1 interval in 1",
    "chatts_prompts.json": "8 prompt templates",
    "derived_metrics.json": "segments, 1 record: 22 intervals in 1",
    "derived_result.csv": "inference_csv, 1 record: 23 intervals in 1",
    "derived_segments.json": "segments, 1 record: 22 intervals in 1",
    "labels_rev0.json": "a label set of 9 labels and 4 attributes",
    "labels_rev3.json": "a label set of 13 labels and 4 attributes; names of models left out: C",
    "malformed_outputs.json": "45 answers of models",
    "test_points_config.json": "a point list: 443 points of 4 devices",
    "train_points.txt": "a list of 337 names",
    "review_queue_example.json": "a review queue without labels: 1 pending",
    "sample_trainset.csv": "trainset, 3 records: 18 intervals in 3",
}


@pytest.fixture(scope="module")
def files() -> list[FileReading]:
    return list(read_files([SAMPLES], "auto", ReadOptions(zone="UTC")))


def test_every_file_gets_its_account(files: list[FileReading]) -> None:
    assert len(files) == sum(path.is_file() for path in SAMPLES.rglob("*"))
    accounts = {file.path.name: file.account for file in files}
    for name, begin in ACCOUNTS.items():
        assert accounts[name].startswith(begin), name
    others = {name: text for name, text in accounts.items() if name not in ACCOUNTS}
    assert all(
        "without labels" in t or "a label set" in t or "text of" in t or "a point list" in t
        for t in others.values()
    ), others


def test_repairs_and_doubts_are_counted(files: list[FileReading]) -> None:
    by_name = {file.path.name: file for file in files}
    assert by_name["merged_annotations.json"].repairs == {"joined objects": 68}
    assert by_name["merged_annotations.json"].doubts == {}
    damaged = by_name["merged_annotations_modified.json"].doubts
    assert damaged == {'contradiction ("no anomaly" beside anomalies)': 68}
    assert by_name["variant_b_row1.jsonl"].repairs == {"single quotes": 1}
    assert by_name["converted_AC6403B.PV.json"].repairs["one object where a list is due"] == 1


def bind_merged(files: list[FileReading]) -> tuple[list[Bound], MemoryStore]:
    """The 100 real records in series that have as many rows as theirs."""
    reading = next(f.reading for f in files if f.path.name == "merged_annotations.json")
    assert reading is not None
    rng = np.random.default_rng(0)
    names = {record.name: Path(record.name).stem for record in reading.records}
    stamps = START + 10**9 * np.arange(5000)
    store = MemoryStore(
        *(Series(i, stamps, rng.normal(size=5000).round(3)) for i in sorted(set(names.values())))
    )
    found = survey(reading.records, LABELS, Mapped())
    mapped = Mapped(
        LABELS.ref, {("", label.text): "anomaly" for label in found.open_labels}, {}, names
    )
    assert {label.text for label in found.open_labels} == {"点异常", "区间异常"}
    binding = bind_all([reading], Binder(store, LABELS, mapped))
    assert binding.failures == ()
    return list(binding.bound), store


def test_the_real_records_keep_every_interval(files: list[FileReading], tmp_path: Path) -> None:
    bound, store = bind_merged(files)
    records = [item.record for item in bound]
    assert len(records) == 100
    assert sum(record.result is Status.NONE for record in records) == 20
    assert sum(len(record.intervals) for record in records) == 1845
    assert sum(len(i) == 1 for record in records for i in record.intervals) == 1374
    assert [item.doubts for item in bound] == [()] * 100
    said = {i["text"] for r in records for i in r.extra["imported"].get("labels", [])}
    assert said == {"点异常", "区间异常"}  # what a mapping changed is kept
    for name in ("annotator_v2", "annotator_v1_tree", "platform_rows", "label_studio"):
        again, reading = round_trip(get_format(name), records, store, tmp_path / name)
        assert sum(len(item.record.intervals) for item in again) == 1845, name
        assert reading.failures == ()
        expected = {r.series_id: held_part(r, get_format(name).holds, LABELS) for r in records}
        for item in again:
            held = expected[item.record.series_id]
            assert held is not None
            assert without_origin(item.record) == without_origin(held)


def test_real_records_as_training_rows_are_valid_json_of_one_grammar(
    files: list[FileReading], tmp_path: Path
) -> None:
    """The densest record has 400 intervals: it is split into windows, and comes back whole."""
    bound, store = bind_merged(files)
    dense = max((item.record for item in bound), key=lambda record: len(record.intervals))
    assert len(dense.intervals) == 400
    target = get_format("chatts_jsonl")
    (again,), reading = round_trip(target, [dense], store, tmp_path, window=1024)
    assert reading.failures == ()
    held = held_part(dense, target.holds, LABELS)
    assert held is not None
    assert without_origin(again.record) == without_origin(held)
    for row in read_jsonl(tmp_path / "train.jsonl"):
        answer = parse_answer(row["output"], len(row["timeseries"][0]), LABELS)
        assert (answer.flags, "\n" in row["output"]) == ((), False)
        assert len(answer.intervals) <= 64


def test_the_paired_series_and_its_labels_agree_in_every_format(files: list[FileReading]) -> None:
    path = SAMPLES / "acquisition" / "rev_a" / "ZHLH_4C_1216_FI_10401C.PV.csv"
    with path.open(encoding="utf-8") as stream:
        values = np.array([float(row["value"]) for row in csv.DictReader(stream)])
    store = MemoryStore(Series("FI_10401C.PV", START + 10**9 * np.arange(5000), values))
    by_name = {file.path.name: file for file in files}
    mapped = Mapped(
        LABELS.ref,
        {("", "点异常"): "anomaly"},
        {},
        {"images/数据集zhlh_100_FI_10401C.PV.jpg": "FI_10401C.PV"},
    )
    spans = {}
    for name in (
        "paired_FI_10401C.PV.json",
        "variant_a_derived_FI_10401C.PV.jsonl",
        "derived_result.csv",
    ):
        reading = by_name[name].reading
        assert reading is not None
        (record,) = reading.records
        if record.name.startswith("images"):
            mapped = Mapped(mapped.label_set, mapped.labels, {}, {record.name: "FI_10401C.PV"})
        bound = Binder(store, LABELS, mapped).bind(record)
        spans[name] = [(i.start, i.end) for i in bound.record.intervals]
        assert bound.doubts == ()
    assert len(set(map(tuple, spans.values()))) == 1
    assert len(spans["derived_result.csv"]) == 23
    window = by_name["variant_b_row1.jsonl"].reading
    assert window is not None
    with pytest.raises(AnnotationError, match="no stored series"):
        Binder(store, LABELS, mapped).bind(window.records[0])


def test_drift_of_the_real_label_sets_is_found() -> None:
    def of(revision: int):  # type: ignore[no-untyped-def]
        source = Source.open(SAMPLES / "labels" / f"labels_rev{revision}.json")
        return read_labels_json(source, "plant", revision + 1)[0]

    drifted = {d.id: (d.theirs, d.ours) for d in differences(of(3), of(0)) if d.ours and d.theirs}
    assert drifted == {
        "anomaly_segment": ("异常区间", "震荡区间"),
        "noise/noisy": ("有噪声", "高"),
        "noise/clean": ("无噪声", "中"),
        "noise/almost_no_noise": ("几乎无噪声", "低"),
    }
    assert differences(of(2), of(1)) == []


def foreign_round_trip(
    file: FileReading, store: MemoryStore, names: dict[str, str | None]
) -> bytes:
    """Foreign → canonical, labels by a mapping → the first file that its format writes again."""
    assert file.reading is not None
    labels = survey(file.reading.records, LABELS, Mapped()).open_labels
    # Kinds of a foreign set, each to one of ours, so that no two overlapping ones become one.
    kinds = dict(zip(((x.id, x.text) for x in labels), LABELS.ids[1:], strict=False))
    binder = Binder(store, LABELS, Mapped(LABELS.ref, kinds, {}, names), format=file.reading.format)
    records = [binder.bind(record).record for record in file.reading.records]
    records, label_set = with_original_labels(records, LABELS)
    context = WriteContext(store, label_set)
    return next(export_records(get_format(file.reading.format), records, context).files)[1]


def test_a_real_table_comes_back_cell_by_cell(files: list[FileReading]) -> None:
    file = next(f for f in files if f.path.name == "sample_trainset.csv")
    rows = list(csv.DictReader(file.path.read_text("utf-8").splitlines()))
    columns: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        columns.setdefault(row["series"], []).append(row)
    store = MemoryStore(
        *(
            Series(
                name,
                np.array([to_ns(row["timestamp"]) for row in column]),
                np.array([float(row["value"]) for row in column]),
            )
            for name, column in columns.items()
        )
    )
    text = foreign_round_trip(file, store, {}).decode()
    again = list(csv.DictReader(text.splitlines()))

    def key(row: dict[str, str]) -> tuple[str, str]:
        return row["series"], row["timestamp"]

    assert [{**r, "value": ""} for r in sorted(again, key=key)] == [
        {**r, "value": ""} for r in sorted(rows, key=key)
    ]
    assert Counter(row["label"] for row in again) == Counter(row["label"] for row in rows)


def test_a_real_annotation_comes_back_segment_by_segment(files: list[FileReading]) -> None:
    file = next(f for f in files if f.path.name.startswith("v2_export"))
    document = json.loads(file.path.read_text("utf-8"))
    stamps = START + 10**9 * np.arange(5000)
    store = MemoryStore(Series("x", stamps, np.arange(5000.0)))
    again = json.loads(foreign_round_trip(file, store, {document["filename"]: "x"}))

    def segments(data: dict) -> list[tuple]:  # type: ignore[type-arg]
        return sorted(
            (
                s["start"],
                s["end"],
                s["count"],
                a["label"]["id"],
                a["label"]["text"],
                a["expert_output"],
            )
            for a in data["annotations"]
            for s in a["segments"]
        )

    assert segments(again) == segments(document)
    assert again["export_time"] == document["export_time"]


def test_real_windows_find_their_rows(files: list[FileReading]) -> None:
    path = SAMPLES / "external" / "nab_ec2_cpu_utilization_24ae8d.csv"
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    name = "realAWSCloudwatch/ec2_cpu_utilization_24ae8d"
    stamps = np.array([to_ns(row["timestamp"], "UTC") for row in rows])
    store = MemoryStore(Series(name, stamps, np.array([float(row["value"]) for row in rows])))
    reading = next(f.reading for f in files if f.path.name == "nab_combined_windows_slice.json")
    assert reading is not None
    (record,) = [record for record in reading.records if record.name == f"{name}.csv"]
    found = Binder(store, LABELS).bind(record).record.intervals
    assert [rows[i.start]["timestamp"] for i in found] == [
        "2014-02-26 13:45:00",
        "2014-02-27 08:55:00",
    ]
    assert [rows[i.end]["timestamp"] for i in found] == [
        "2014-02-27 06:25:00",
        "2014-02-28 01:35:00",
    ]
