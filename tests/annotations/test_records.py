"""Records, journals and the gold file."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.annotations.gold import append_gold, check_append_only, read_gold
from tsloop.annotations.journal import latest, read_journal, write_journal
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.files import dump_json
from tsloop.intervals import Basis, Interval, Status

SHA = hashlib.sha256(b"x").hexdigest()
TIME = "2024-05-01T08:30:00Z"

texts = st.text(max_size=12)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def intervals(draw: st.DrawFn, n_rows: int) -> Interval:
    start = draw(st.integers(0, n_rows - 1))
    end = draw(st.integers(start, n_rows - 1))
    return Interval(
        start,
        end,
        draw(st.sampled_from(["anomaly", "step_up", "dropout"])),
        draw(st.none() | st.floats(0, 1)),
        draw(texts),
        draw(st.none() | st.sampled_from(list(Basis))),
        draw(texts),
        draw(st.sampled_from(["", TIME])),
        draw(st.none() | st.integers(-(2**62), 2**62)),
        draw(st.none() | st.integers(-(2**62), 2**62)),
    )


@st.composite
def records(draw: st.DrawFn) -> AnnotationRecord:
    n_rows = draw(st.integers(1, 300))
    found = draw(st.lists(intervals(n_rows), max_size=4))
    return AnnotationRecord(
        series_id=draw(st.text(min_size=1, max_size=8)),
        series_sha256=hashlib.sha256(draw(st.binary(max_size=3))).hexdigest(),
        n_rows=n_rows,
        result=Status.OK if found else Status.NONE,
        label_set="tsloop@1",
        intervals=tuple(found),
        overall=draw(st.dictionaries(texts, texts, max_size=2)),
        revision=draw(st.integers(1, 4)),
        author=draw(texts),
        time=draw(st.sampled_from(["", TIME, "2024-05-01T08:30:00.25+00:00"])),
        comment=draw(texts),
        queue=draw(st.none() | st.dictionaries(texts, json_values, max_size=3)),
        extra=draw(st.dictionaries(texts.map(lambda k: "x-" + k), json_values, max_size=3)),
    )


def record(series_id: str = "a", *found: Interval, **changes: object) -> AnnotationRecord:
    base = AnnotationRecord(
        series_id, SHA, 100, Status.OK if found else Status.NONE, "tsloop@1", found
    )
    return base.replace(**changes)


@given(records())
def test_a_record_survives_json(given_record: AnnotationRecord) -> None:
    text = dump_json(given_record.to_dict())
    back = AnnotationRecord.from_dict(json.loads(text))
    assert back == given_record
    assert dump_json(back.to_dict()) == text


@settings(max_examples=25, deadline=None)
@given(st.lists(records(), max_size=6, unique_by=lambda r: (r.series_id, r.revision)))
def test_a_journal_survives_the_disk(tmp_path_factory, found) -> None:
    path = tmp_path_factory.mktemp("journal") / "it001.jsonl"
    write_journal(path, found)
    once = path.read_bytes()
    assert read_journal(path) == sorted(found, key=lambda r: (r.series_id, r.revision))
    write_journal(path, reversed(found))
    assert path.read_bytes() == once
    winners = latest(found)
    assert list(winners) == sorted(winners)
    assert all(r.revision <= winners[r.series_id].revision for r in found)


def test_unknown_keys_come_back() -> None:
    data = {**record().to_dict(), "tool": {"name": "pen"}, "extra": 3}
    back = AnnotationRecord.from_dict(data)
    assert back.extra == {"tool": {"name": "pen"}, "extra": 3}
    assert back.to_dict() == data


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "tsloop.annotation/9"}, "Schema is 'tsloop.annotation/9'"),
        ({"series_id": ""}, "non-empty series_id"),
        ({"series_id": 5}, "Key series_id must be str, but is 5"),
        ({"series_sha256": "abc"}, "not 64 hex digits"),
        ({"n_rows": True}, "Key n_rows must be int, but is True"),
        ({"n_rows": 9}, r"interval \[3, 9\] lies outside the 9 rows"),
        ({"n_rows": -1}, "n_rows is -1"),
        ({"revision": 0}, "revision 0"),
        ({"result": "failed"}, "result is 'failed'"),
        ({"result": "none"}, "'none' does not go with 1 intervals"),
        ({"intervals": []}, "'ok' does not go with 0 intervals"),
        ({"label_set": "tsloop"}, "not of the form name@version"),
        ({"time": "yesterday"}, "'yesterday' is not ISO 8601 in UTC"),
        ({"time": "2024-05-01T08:30:00"}, "not ISO 8601 in UTC"),
        ({"time": "2024-05-01T08:30:00+08:00"}, "not ISO 8601 in UTC"),
        ({"intervals": [5]}, "must be an object, but is 5"),
        ({"intervals": [{"start": 1, "end": 2}]}, r"lacks the keys \['label'\]"),
        ({"intervals": [{"start": 5, "end": 2, "label": "a"}]}, "0 <= start <= end"),
        ({"intervals": [{"start": "1", "end": 2, "label": "a"}]}, "interval start must be int"),
        ({"intervals": [{"start": 1, "end": 2, "label": ""}]}, "has an empty label"),
        ({"intervals": [{"start": 1, "end": 2, "label": "a", "score": 1.5}]}, r"not in \[0, 1\]"),
        ({"intervals": [{"start": 1, "end": 2, "label": "a", "basis": "dream"}]}, "'dream'"),
        ({"intervals": [{"start": 1, "end": 2, "label": "a", "hue": 1}]}, "Unknown interval keys"),
        ({"note": [float("nan")]}, "the number nan"),
        ({"note": {"a": "\ud800"}}, "broken text"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, changes: dict, message: str) -> None:
    data = {**record("a", Interval(3, 9)).to_dict(), **changes}
    path = tmp_path / "it001.jsonl"
    path.write_text(dump_json(record("b").to_dict()) + "\n\n" + json.dumps(data) + "\n")
    with pytest.raises(AnnotationError, match=message) as caught:
        read_journal(path)
    assert f"{path}, line 3" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must be a JSON object"),
        ("<<<<<<< HEAD", "merge conflict"),
        ("[" * 100_000, "not valid JSON"),
        ('{"schema": "tsloop.annotation/1"}', "lacks the keys"),
    ],
)
def test_a_line_that_is_no_record(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "it001.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(AnnotationError, match=message) as caught:
        read_journal(path)
    assert "line 1" in str(caught.value)


def test_a_missing_or_foreign_journal(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="does not exist"):
        read_journal(tmp_path / "it009.jsonl")
    (tmp_path / "gbk.jsonl").write_bytes("异常".encode("gbk"))
    with pytest.raises(AnnotationError, match="not UTF-8"):
        read_journal(tmp_path / "gbk.jsonl")


def test_two_judgements_of_one_revision_conflict(tmp_path: Path) -> None:
    path = tmp_path / "it001.jsonl"
    rows = [record("a"), record("b"), record("a", Interval(1, 2))]
    path.write_text("".join(dump_json(row.to_dict()) + "\n" for row in rows))
    with pytest.raises(AnnotationError, match=r"line 3: .*'a' already .* revision 1 \(line 1\)"):
        read_journal(path)
    with pytest.raises(AnnotationError, match="already has another record"):
        write_journal(path, rows)
    path.write_text("".join(dump_json(row.to_dict()) + "\n" for row in [rows[0], rows[0]]))
    assert read_journal(path) == [rows[0]]


def test_extra_cannot_hide_a_key() -> None:
    with pytest.raises(AnnotationError, match=r"extra holds \['author'\]"):
        record(extra={"author": "x"})


def test_gold_grows_and_never_changes(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text("")
    assert read_gold(path).version == 0
    first = append_gold(path, [record("b", Interval(1, 2)), record("a")])
    before = path.read_text()
    assert (first.version, list(first.records)) == (2, ["a", "b"])
    assert first.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    other = hashlib.sha256(b"y").hexdigest()
    second = append_gold(path, [record("b", revision=2, series_sha256=other)])
    assert path.read_text().startswith(before)
    assert second.version == 3
    assert second.records["b"].revision == 2
    assert second.content_hashes == {SHA, other}
    with pytest.raises(AnnotationError, match="already has another record"):
        append_gold(path, [record("c"), record("a", Interval(5, 5))])
    assert read_gold(path) == second


def test_gold_without_a_final_newline_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(dump_json(record("a").to_dict()))
    assert append_gold(path, [record("b")]).version == 2


def test_gold_edits_are_named() -> None:
    check_append_only("x\ny\n", "x\ny\nz\n")
    check_append_only("", "x\n")
    check_append_only("x\ny\n", "x\nw\ny\n")  # two branches added lines
    with pytest.raises(AnnotationError, match=r"line 2 was changed or taken out: y…"):
        check_append_only("x\ny\n", "x\nY\n")
    with pytest.raises(AnnotationError, match="line 1 was changed or taken out"):
        check_append_only("x\ny\n", "y\n")


def test_gold_is_labelled_blind(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    with pytest.raises(AnnotationError, match="must be labelled blind"):
        append_gold(path, [record("a", queue={"proposal": {"status": "none"}})])
    with pytest.raises(AnnotationError, match="must be labelled blind"):
        append_gold(path, [record("a", Interval(1, 2, basis=Basis.ACCEPTED))])
    assert append_gold(path, [record("a", queue={"proposal": None})]).version == 1
