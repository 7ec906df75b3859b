"""Snapshots: what enters them, what is refused, what quality says."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled_samples import STEP_NS, make_series, record_of

from tsloop.annotations.checks.config import ChecksConfig
from tsloop.annotations.fitting import fit_record
from tsloop.annotations.journal import write_journal
from tsloop.annotations.snapshot import build_snapshot, read_snapshot
from tsloop.errors import AnnotationError, LabelSetError, TsloopError
from tsloop.files import sha256_tree, write_text_atomic
from tsloop.intervals import to_mask
from tsloop.labels import builtin_label_set
from tsloop.series.types import Series

LABELS = builtin_label_set()
A, B, C = make_series("a"), make_series("b"), make_series("c")


def build(tmp_path: Path, store, records, iteration="it001", parent=None):
    journal = tmp_path / f"{iteration}.jsonl"
    write_journal(journal, records)
    out = tmp_path / "snapshots" / iteration
    parent_dir = None if parent is None else tmp_path / "snapshots" / parent
    return build_snapshot(out, [(iteration, journal)], store, LABELS, parent_dir)


def places(found: dict, check: str) -> list[tuple]:
    """Series and rows of the findings of one check."""
    return [
        (f["series_id"], f["start"], f["end"]) for f in found["findings"] if f["check"] == check
    ]


def quality(tmp_path: Path, iteration="it001") -> dict:
    return json.loads((tmp_path / "snapshots" / iteration / "quality.json").read_text("utf-8"))


def test_labels_add_up_over_iterations(tmp_path, make_store) -> None:
    store = make_store([A, B, C])
    build(tmp_path, store, [record_of(A, (5, 9, "step_up")), record_of(B)])
    second = build(
        tmp_path,
        store,
        [record_of(B, (1, 1, "dropout"), revision=2), record_of(C)],
        "it002",
        parent="it001",
    )
    assert second.origin == {"a": "it001", "b": "it002", "c": "it002"}
    assert second.records["b"].revision == 2
    assert read_snapshot(tmp_path / "snapshots" / "it002") == second
    summary = json.loads((tmp_path / "snapshots" / "it002" / "snapshot.json").read_text())
    assert summary["series_per_iteration"] == {"it001": 1, "it002": 2}
    assert summary["parent_sha256"] == read_snapshot(tmp_path / "snapshots" / "it001").sha256
    found = quality(tmp_path, "it002")
    assert found["against_parent"]["new_series"] == 1
    assert found["against_parent"]["corrected_series"] == ["b"]
    assert found["against_parent"]["distance"] == pytest.approx(0.5)
    assert found["labels"]["step_up"]["rows"] == 5
    assert (found["n_ok"], found["n_none"], found["n_intervals"]) == (2, 1, 2)


def test_equal_input_gives_equal_bytes(tmp_path, make_store) -> None:
    store = make_store([A, B])
    records = [record_of(B, (3, 4, "anomaly"), author="li"), record_of(A)]
    build(tmp_path, store, records)
    once = sha256_tree(tmp_path / "snapshots")
    build(tmp_path, store, records[::-1])
    assert sha256_tree(tmp_path / "snapshots") == once


def test_an_earlier_revision_is_reported_and_does_not_count(tmp_path, make_store) -> None:
    store = make_store([A])
    build(tmp_path, store, [record_of(A, revision=3)])
    later = build(
        tmp_path, store, [record_of(A, (1, 2, "anomaly"), revision=2)], "it002", parent="it001"
    )
    assert later.origin == {"a": "it001"}
    assert quality(tmp_path, "it002")["superseded"] == [
        {"series_id": "a", "revision": 2, "from": "it002"}
    ]


def test_one_revision_cannot_say_two_things(tmp_path, make_store) -> None:
    store = make_store([A])
    build(tmp_path, store, [record_of(A)])
    same = build(tmp_path, store, [record_of(A)], "it002", parent="it001")
    assert same.origin == {"a": "it001"}
    with pytest.raises(AnnotationError, match="revision 1: from it001 and from it002"):
        build(tmp_path, store, [record_of(A, (1, 2, "anomaly"))], "it002", parent="it001")


def test_a_journal_line_equal_to_its_fitted_form_is_no_conflict(tmp_path, make_store) -> None:
    store = make_store([A])
    doubled = record_of(A, (1, 4, "anomaly"), (3, 6, "anomaly"))
    build(tmp_path, store, [doubled])
    assert build(tmp_path, store, [doubled], "it002", parent="it001").origin == {"a": "it001"}


def test_faults_are_listed_together(tmp_path, make_store) -> None:
    store = make_store([A, B])
    records = [
        record_of(A, (1, 2, "glitch")),
        record_of(C),
        record_of(B, (1, 2, "anomaly"), label_set="tsloop@2"),
    ]
    with pytest.raises(LabelSetError) as caught:
        build(tmp_path, store, records)
    text = str(caught.value)
    assert "3 labels cannot enter the snapshot" in text
    assert "'glitch' is not in label set" in text
    assert "tsloop@2" in text
    assert "series store does not have it" in text
    assert not (tmp_path / "snapshots" / "it001").exists()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (record_of(A, n_rows=700), "counts 700 rows, but the series has 600"),
        (
            record_of(A, (1, 2, "anomaly")).replace(
                intervals=(record_of(B, (9, 9, "anomaly")).intervals[0].replace(start=1, end=2),)
            ),
            "timestamps of interval",
        ),
    ],
)
def test_a_record_that_contradicts_its_series(make_store, record, message) -> None:
    with pytest.raises(AnnotationError, match=message):
        fit_record(record, A, LABELS)


def shifted(series: Series, drop: int) -> Series:
    """The same measurements without the first rows."""
    return Series(series.id, series.timestamps[drop:], series.values[drop:] + 0.5)


@given(st.integers(0, 50), st.integers(50, 599), st.integers(0, 80))
def test_changed_content_is_found_by_time(drop: int, start: int, length: int) -> None:
    end = min(start + length, 599)
    record = record_of(A, (start, end, "anomaly"))
    fitted = fit_record(record, shifted(A, drop), LABELS)
    assert fitted.remapped
    (interval,) = fitted.record.intervals
    assert (interval.start, interval.end) == (start - drop, end - drop)
    assert interval.t_start == record.intervals[0].t_start
    assert fitted.record.series_sha256 == shifted(A, drop).sha256
    assert fit_record(fitted.record, shifted(A, drop), LABELS).record == fitted.record


def test_changed_content_that_cannot_be_mapped(tmp_path, make_store) -> None:
    new = shifted(A, 50)
    with pytest.raises(AnnotationError, match="a time that the series no longer has"):
        fit_record(record_of(A, (3, 70, "anomaly")), new, LABELS)
    bare = record_of(A, (70, 70, "anomaly"))
    bare = bare.replace(intervals=(bare.intervals[0].replace(t_start=None, t_end=None),))
    with pytest.raises(AnnotationError, match="has no timestamps"):
        fit_record(bare, new, LABELS)
    with pytest.raises(AnnotationError, match="changed since it was found to be without"):
        fit_record(record_of(A), new, LABELS)
    # The way out: look at it again, and the old record no longer counts.
    build(tmp_path, make_store([A]), [record_of(A)])
    store = make_store([new])
    later = build(tmp_path, store, [record_of(new, revision=2)], "it002", parent="it001")
    assert later.records["a"].series_sha256 == new.sha256
    build(tmp_path, make_store([A]), [record_of(A, (60, 70, "anomaly"))])
    build(tmp_path, make_store([new]), [], "it002", parent="it001")
    assert quality(tmp_path, "it002")["remapped"] == ["a"]


spans = st.lists(
    st.tuples(st.integers(0, 599), st.integers(0, 30), st.sampled_from(["anomaly", "dropout"])),
    min_size=1,
    max_size=12,
).map(lambda found: [(s, min(s + n, 599), label) for s, n, label in found])


@given(spans)
def test_merging_keeps_every_labelled_row_and_is_stable(found) -> None:
    record = record_of(A, *found)
    fitted = fit_record(record, A, LABELS)
    for label in ("anomaly", "dropout"):
        before = to_mask([i for i in record.intervals if i.label == label], 600)
        of_label = [i for i in fitted.record.intervals if i.label == label]
        assert (to_mask(of_label, 600) == before).all()
        assert sum(map(len, of_label)) == before.sum()
    assert sum(item["parts"] - 1 for item in fitted.merged) == len(found) - len(
        fitted.record.intervals
    )
    for interval in fitted.record.intervals:
        assert interval.t_start == A.timestamps[interval.start]
        assert interval.t_end == A.timestamps[interval.end]
    again = fit_record(fitted.record, A, LABELS)
    assert (again.record, again.merged) == (fitted.record, ())


def test_timestamps_are_filled_in() -> None:
    record = record_of(A, (7, 9, "anomaly"))
    bare = record.replace(intervals=(record.intervals[0].replace(t_start=None, t_end=None),))
    assert fit_record(bare, A, LABELS).record == record


def test_quality_findings(tmp_path, make_store) -> None:
    copy = Series("copy", A.timestamps, A.values)
    near = Series("near", A.timestamps + STEP_NS, A.values * 2 + 1e-6 * B.values)
    flat = make_series("flat", values=np.full(600, 5.0))
    gone = make_series("gone", values=np.full(600, np.nan))
    store = make_store([A, copy, near, flat, gone])
    build(
        tmp_path,
        store,
        [
            record_of(A, (5, 9, "step_up"), (6, 9, "step_down"), (50, 50, "oscillation")),
            record_of(copy, (5, 9, "step_up"), (8, 12, "step_up"), (90, 90, "dropout")),
            record_of(near, overall={"trend": "stable", "noise": "deafening", "hue": "red"}),
            record_of(flat),
            record_of(gone, (0, 599, "dropout")),
        ],
    )
    found = quality(tmp_path)
    assert found["merged_overlaps"] == [
        {"series_id": "copy", "label": "step_up", "start": 5, "end": 12, "parts": 2}
    ]
    assert places(found, "contradictions") == [("a", 6, 9)]
    assert places(found, "overlaps") == [("copy", 5, 12)]
    assert places(found, "one_row_intervals") == [("a", 50, 50)]
    assert places(found, "duplicates") == [("copy", None, None)]
    assert places(found, "near_duplicates") == [("near", None, None)] * 2
    assert places(found, "unknown_attributes") == [("near", None, None)] * 2
    assert found["checks"]["duplicates"] == {"action": "warn", "findings": 1}
    assert found["basis"] == {"unknown": 6}
    assert found["against_parent"] is None


def test_equal_labels_of_copies_agree(tmp_path, make_store) -> None:
    copy = Series("copy", A.timestamps, A.values)
    store = make_store([A, copy])
    span = (5, 9, "step_up")
    build(tmp_path, store, [record_of(A, span), record_of(copy, (6, 9, "step_up"))])
    assert places(quality(tmp_path), "duplicates") == []
    build(tmp_path, store, [record_of(A, span), record_of(copy, (60, 64, "step_up"))])
    assert places(quality(tmp_path), "duplicates") == [("copy", None, None)]


def test_a_check_that_stops_leaves_no_snapshot(tmp_path, make_store) -> None:
    records = [record_of(A, (50, 50, "oscillation"))]
    journal = tmp_path / "it001.jsonl"
    write_journal(journal, records)
    out = tmp_path / "snapshots" / "it001"
    checks = ChecksConfig(one_row_intervals="stop")
    with pytest.raises(AnnotationError, match=r"one_row_intervals: a \[50, 50\]") as caught:
        build_snapshot(out, [("it001", journal)], make_store([A]), LABELS, checks=checks)
    assert "tsloop labels check it001" in caught.value.hint
    assert not out.exists()


def test_a_check_that_is_off_finds_nothing(tmp_path, make_store) -> None:
    journal = tmp_path / "it001.jsonl"
    write_journal(journal, [record_of(A, (50, 50, "oscillation"))])
    out = tmp_path / "snapshots" / "it001"
    checks = ChecksConfig(one_row_intervals="off")
    build_snapshot(out, [("it001", journal)], make_store([A]), LABELS, checks=checks)
    assert "one_row_intervals" not in quality(tmp_path)["checks"]
    assert places(quality(tmp_path), "one_row_intervals") == []


def test_an_empty_journal_is_a_snapshot_without_labels(tmp_path, make_store) -> None:
    snapshot = build(tmp_path, make_store([A]), [])
    assert snapshot.records == {}
    assert read_snapshot(tmp_path / "snapshots" / "it001") == snapshot


def test_a_touched_snapshot_is_refused(tmp_path, make_store) -> None:
    build(tmp_path, make_store([A]), [record_of(A)])
    directory = tmp_path / "snapshots" / "it001"
    path = directory / "annotations.jsonl"
    write_text_atomic(path, path.read_text().replace('"none"', '"none" '))
    with pytest.raises(AnnotationError, match="was changed after it was made"):
        read_snapshot(directory)
    path.unlink()
    with pytest.raises(AnnotationError, match="was changed after it was made"):
        read_snapshot(directory)
    (directory / "snapshot.json").write_text("{}")
    with pytest.raises(AnnotationError, match="is not a snapshot"):
        read_snapshot(directory)
    (directory / "snapshot.json").unlink()
    with pytest.raises(TsloopError, match="does not exist"):
        read_snapshot(directory)
    with pytest.raises(AnnotationError, match="does not exist"):
        read_snapshot(tmp_path / "snapshots" / "it009")


def test_unknown_keys_travel_through_a_snapshot(tmp_path, make_store) -> None:
    store = make_store([A])
    record = record_of(A, extra={"tool": {"zoom": 2}, "origin_iteration": "it777"})
    snapshot = build(tmp_path, store, [record])
    assert snapshot.origin == {"a": "it001"}
    assert read_snapshot(tmp_path / "snapshots" / "it001").records["a"].extra == {
        "tool": {"zoom": 2}
    }
