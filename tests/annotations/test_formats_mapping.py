"""Labels, attributes, names and times: what is certain, what a mapping says, what stays open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conformance_tools import LABELS, MemoryStore, make_series
from hypothesis import given
from hypothesis import strategies as st

from tsloop.annotations.formats.attributes import known_value, phrases, write_overall
from tsloop.annotations.formats.base import ForeignLabel, ForeignRecord, Span
from tsloop.annotations.formats.labels_json import differences, read_labels_json, to_dict
from tsloop.annotations.formats.mapping import How, Mapped, find_label, survey
from tsloop.annotations.formats.naming import FileNames, candidates, find_by_values, find_series
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.stamps import (
    digits_needed,
    from_ns,
    record_time,
    texts_from_ns,
    to_ns,
)
from tsloop.errors import AnnotationError, LabelSetError
from tsloop.intervals import Status
from tsloop.labels import LabelSet

NOTHING = Mapped()


@pytest.mark.parametrize(
    ("label", "to", "how"),
    [
        (ForeignLabel("step_up", "阶跃上升"), "step_up", How.SAME),
        (ForeignLabel("step_up", "step up"), "step_up", How.SAME),
        (ForeignLabel("step_up"), "step_up", How.SAME),
        (ForeignLabel(), "anomaly", How.SAME),
        (ForeignLabel("anomaly_segment", "震荡区间"), "oscillation", How.TEXT),
        (ForeignLabel("", "flatline"), "flatline", How.TEXT),
        (ForeignLabel("step_up", "坡"), "", How.DRIFTED),
        (ForeignLabel("anomaly_segment", "异常区间"), "", How.UNKNOWN),
        (ForeignLabel("anomaly_segment"), "", How.UNKNOWN),
        (ForeignLabel("chatts_detected", "ChatTS"), "anomaly", How.MODEL),
        (ForeignLabel("", "ChatTS"), "anomaly", How.MODEL),
    ],
)
def test_a_label_is_understood_or_open(label: ForeignLabel, to: str, how: How) -> None:
    found = find_label(label, "", LABELS, NOTHING)
    assert (found.to, found.how) == (to, how)
    assert found.how.settled is bool(to)


def test_a_text_that_two_labels_share_is_open() -> None:
    data = {"id": "x", "version": 1, "labels": [{"id": i, "zh": "峰", "en": i} for i in "ab"]}
    twice = LabelSet.from_dict(data)
    assert find_label(ForeignLabel("", "峰"), "", twice, NOTHING).how is How.UNKNOWN
    assert find_label(ForeignLabel("b", "峰"), "", twice, NOTHING).to == "b"


def test_an_entry_counts_for_exactly_the_id_and_text_that_it_names(tmp_path: Path) -> None:
    spans = tuple(
        Span(ForeignLabel("anomaly_segment", text), 1, 2)
        for text in ("异常区间", "异常区间", "别的")
    )
    overall = {"noise": ForeignLabel("clean"), "trend": ForeignLabel("increase")}
    record = ForeignRecord("x", "x", Status.OK, spans, overall=overall)
    found = survey([record], LABELS, NOTHING)
    assert [label.text for label in found.open_labels] == ["异常区间", "别的"]
    draft = found.draft(LABELS, NOTHING, {"a.csv": None})
    draft.save(tmp_path / "map.json")
    data = json.loads((tmp_path / "map.json").read_text("utf-8"))
    assert {entry["to"] for entry in data["labels"]} == {None}
    assert data["overall"] == [{"attribute": "noise", "id": "clean", "text": "", "to": None}]
    data["labels"][0 if data["labels"][0]["text"] == "异常区间" else 1]["to"] = "anomaly"
    data["overall"][0]["to"] = "none"
    (tmp_path / "map.json").write_text(json.dumps(data), "utf-8")
    mapped = Mapped.load(tmp_path / "map.json", LABELS)
    again = survey([record], LABELS, mapped)
    assert [label.text for label in again.open_labels] == ["别的"]
    assert all(to for to, _ in again.overall.values())


def test_a_mapping_for_another_set_or_to_unknown_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    Mapped("other@2").save(path)
    with pytest.raises(LabelSetError, match=r"leads to label set 'other@2'"):
        Mapped.load(path, LABELS)
    Mapped(LABELS.ref, {("", "x"): "nonsense"}).save(path)
    with pytest.raises(LabelSetError, match="'nonsense' is not in label set"):
        Mapped.load(path, LABELS)
    path.write_text(
        '{"schema": "tsloop.import-mapping/1", "label_set": "tsloop@1", "labels": [{}]}'
    )
    with pytest.raises(AnnotationError, match="broken entry"):
        Mapped.load(path, LABELS)
    path.write_text("[]")
    with pytest.raises(AnnotationError, match="no mapping"):
        Mapped.load(path, LABELS)


def test_attributes_whose_ids_changed_their_meaning_are_not_guessed() -> None:
    assert known_value("frequency", ForeignLabel("high_freq"), LABELS) == "high"
    assert known_value("noise", ForeignLabel("", "中"), LABELS) == "medium"
    for drifted in ("noisy", "clean", "almost_no_noise"):
        assert known_value("noise", ForeignLabel(drifted), LABELS) is None
    assert known_value("mood", ForeignLabel("good"), LABELS) is None
    texts = {
        key: value.text for key, value in phrases("低频、中等噪声、未知周期性、上升的").items()
    }
    assert texts == {"frequency": "低频", "noise": "中", "trend": "上升"}
    out = write_overall({"frequency": "high", "seasonality": "periodic"}, LABELS)
    assert out == {"frequency": "high_freq", "noise": "", "seasonal": "has_periodic", "trend": ""}


def test_names_are_ids_or_proposals() -> None:
    ids = ["plant/FI_101.PV", "plant/TI_101.PV", "b/x", "x.csv"]
    assert find_series("plant/FI_101.PV", ids, {}) == "plant/FI_101.PV"
    assert find_series("up\\x.csv", ids, {}) == "x.csv"
    assert find_series("what.csv", ids, {"what.csv": "b/x"}) == "b/x"
    with pytest.raises(AnnotationError, match=r"could be 'plant/FI_101.PV'"):
        find_series("images/数据集_100_FI_101.PV.jpg", ids, {})
    with pytest.raises(AnnotationError, match="like none of them"):
        find_series("images/AI_9.PV.jpg", ids, {})
    with pytest.raises(AnnotationError, match="does not have"):
        find_series("a", ids, {"a": "gone"})
    with pytest.raises(AnnotationError, match=r"'y' or 'y.csv'"):
        find_series("dir/y.csv.json", ["y", "y.csv"], {})
    assert candidates("u_FI_101.PV.csv", ["a_FI_101.PV", "b_FI_101.PV"]) == [
        "a_FI_101.PV",
        "b_FI_101.PV",
    ]
    assert candidates("XFI_101.PV", ["TI_101.PV"]) == ["TI_101.PV"]  # similar, so worth a look


def test_file_names_are_unique_on_any_disk() -> None:
    names = FileNames()
    ids = ["a/b", "a:b", "A_B", "温度 1", "..", "x" * 300]
    found = [names(series_id, ".csv") for series_id in ids]
    assert len({name.casefold() for name in found}) == len(ids)
    assert found[0] == "a_b.csv"
    assert all("/" not in name and len(name.encode()) <= 210 for name in found)


def test_a_series_is_found_by_its_values_where_they_stand_once() -> None:
    one, two = make_series("one"), make_series("two", seed=1)
    copy = make_series("copy", seed=1)
    assert find_by_values(one.values[30:50].round(7), MemoryStore(one, two)) == [("one", 30)]
    assert find_by_values(two.values[30:50], MemoryStore(one, two, copy)) == [
        ("two", 30),
        ("copy", 30),
    ]
    assert find_by_values(one.values[15:35], MemoryStore(one)) == []  # a gap matches nothing
    assert find_by_values(one.values[30:33], MemoryStore(one)) == []  # too short to be sure


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_stamps_come_back_to_the_nanosecond(ns: int) -> None:
    digits = digits_needed((ns,))
    assert to_ns(from_ns(ns, digits)) == ns
    assert texts_from_ns(np.array([ns]), digits, " ", "") == [from_ns(ns, digits, " ", "")]
    assert to_ns(from_ns(ns, digits, " ", ""), "UTC") == ns


def test_stamps_that_leave_doubt_are_refused() -> None:
    assert to_ns("2024/1/5 8:30", "Asia/Shanghai") == to_ns("2024-01-05T00:30:00Z")
    assert to_ns("2024-01-05 08:30:00.25+0800") == to_ns("2024-01-05 00:30:00.250Z")
    for text, zone in (
        ("2024-01-05 08:30:00", ""),
        ("2024-10-27 02:30:00", "Europe/Berlin"),  # twice
        ("2024-03-31 02:30:00", "Europe/Berlin"),  # never
        ("2024-01-05 08:30:00", "Mars/Base"),
        ("2024-02-30", "UTC"),
        ("soon", "UTC"),
    ):
        with pytest.raises(AnnotationError):
            to_ns(text, zone)
    assert record_time("2026-01-05T08:30:00+08:00", "") == "2026-01-05T00:30:00Z"
    assert [record_time(text, "") for text in (None, "", "soon", 17)] == [""] * 4


LABELS_JSON = {
    "custom_labels": [{"id": "label_7", "text": "上峰"}],
    "local_change": {
        "spike": {
            "name": "尖峰类",
            "labels": [{"id": "upward_spike", "text": "上行尖峰", "color": "#ef4444"}],
        },
        "anomaly": {"name": "特殊", "labels": [{"id": "anomaly_segment", "text": "震荡区间"}]},
        "algorithm_results": {"labels": [{"id": "chatts_detected", "text": "ChatTS"}]},
    },
    "overall_attribute": {
        "seasonal": {"name": "周期性", "labels": [{"id": "has_periodic", "text": "有周期"}]}
    },
}


def test_a_label_set_of_the_annotator_becomes_one_of_ours(tmp_path: Path) -> None:
    source = Source(tmp_path / "labels.json", json.dumps(LABELS_JSON).encode())
    theirs, models = read_labels_json(source, "plant", 2)
    assert (theirs.ref, models) == ("plant@2", ["ChatTS"])
    assert theirs.ids == ("anomaly", "upward_spike", "anomaly_segment", "label_7")
    assert (theirs["upward_spike"].en, theirs["anomaly_segment"].en) == (
        "upward spike",
        "oscillation",
    )
    assert [(a.id, [v.id for v in a.values]) for a in theirs.attributes] == [
        ("seasonality", ["has_periodic"])
    ]
    assert LabelSet.from_dict(to_dict(theirs)) == theirs
    found = {drift.id: str(drift) for drift in differences(LABELS, theirs)}
    assert found["anomaly_segment"].endswith("called oscillation here")
    assert "label_7" in found
    assert "upward_spike" not in found
    nested = {
        key: {"categories": value} for key, value in LABELS_JSON.items() if key != "custom_labels"
    }
    again, _ = read_labels_json(Source(Path("l.json"), json.dumps(nested).encode()), "plant", 2)
    assert again.ids == theirs.ids[:-1]


def test_the_same_id_with_another_text_is_drift() -> None:
    changed = json.loads(json.dumps(LABELS_JSON))
    changed["local_change"]["anomaly"]["labels"][0]["text"] = "异常区间"
    old, _ = read_labels_json(Source(Path("a.json"), json.dumps(changed).encode()), "plant", 1)
    new, _ = read_labels_json(Source(Path("b.json"), json.dumps(LABELS_JSON).encode()), "plant", 2)
    (drift,) = differences(new, old)
    assert str(drift) == "anomaly_segment: means '震荡区间' here, but '异常区间' there"
    label = ForeignLabel("anomaly_segment", "异常区间")
    assert find_label(label, "", new, NOTHING).how is How.DRIFTED
    twice = json.loads(json.dumps(LABELS_JSON))
    twice["custom_labels"].append({"id": "label_7", "text": "下峰"})
    with pytest.raises(LabelSetError, match="two labels of id 'label_7'"):
        read_labels_json(Source(Path("c.json"), json.dumps(twice).encode()), "plant", 1)
