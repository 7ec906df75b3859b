"""Other kinds of files in a folder: TRAINSET, Excel, long parquet; and many files at once."""

from __future__ import annotations

import datetime as dt
import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.errors import ConfigError, MissingExtraError, SourceError
from tsloop.files import sha256_tree
from tsloop.series.raw import RawSeries, RawStore
from tsloop.series.tables import ROW_GROUP
from tsloop.sources import acquire, build
from tsloop.sources._labelled_rows import intervals_of_rows, text_labels

SAMPLES = os.environ.get("TSLOOP_TEST_SAMPLES", "")
STAMP = "2019-01-14T16:26:{:02d}.000Z"


def found(path: Path, **settings: Any) -> dict[str, RawSeries]:
    source = build("folder", {"path": str(path), **settings})
    return {name: source.read(name) for name in source.list()}


def trainset(path: Path, rows: list[tuple[str, float, str]]) -> None:
    lines = [f"{s},{STAMP.format(i)},{v},{label}" for i, (s, v, label) in enumerate(rows)]
    path.write_text("series,timestamp,value,label\n" + "\n".join(lines) + "\n", encoding="utf-8")


def spans(raw: RawSeries) -> list[tuple[int, int, str]] | None:
    kept = raw.intervals
    return None if kept is None else [(i.start, i.end, i.label) for i in kept]


def test_a_trainset_file_gives_a_series_for_each_name(tmp_path: Path) -> None:
    rows = [("b", 1.0, "dip"), ("a", 2.0, ""), ("b", 3.0, "dip"), ("a", 4.0, ""), ("b", 5.0, "up")]
    trainset(tmp_path / "t.csv", rows)
    series = found(tmp_path)
    assert list(series) == ["t/a", "t/b"]
    assert series["t/b"].values.to_pylist() == ["1.0", "3.0", "5.0"]
    assert spans(series["t/b"]) == [(0, 1, "dip"), (2, 2, "up")]
    assert spans(series["t/a"]) is None  # not labelled is not "no anomaly"
    assert {raw.group for raw in series.values()} == {"t"}


@pytest.mark.skipif(not SAMPLES, reason="TSLOOP_TEST_SAMPLES is not set")
def test_the_real_trainset_file() -> None:
    series = found(Path(SAMPLES) / "trainset")
    assert {len(raw) for raw in series.values()} == {1995}
    labelled = {"foo": 0, "biz": 0, "bar": 0}
    for raw in series.values():
        for interval in raw.intervals or ():
            labelled[interval.label] += len(interval)
    assert labelled == {"foo": 113, "biz": 99, "bar": 96}


@pytest.mark.skipif(not SAMPLES, reason="TSLOOP_TEST_SAMPLES is not set")
def test_the_generations_of_the_predecessor() -> None:
    series = found(Path(SAMPLES) / "acquisition", pattern="**/*.csv", zone="Asia/Shanghai")
    assert [len(raw) for raw in series.values()] == [5000, 5000]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (",date,category,value", "0,2026-01-23 10:58:28,x,1.5"),
        ("date,value", "2026-01-23 10:58:28,1.5"),
        ("date,FI_10401C.PV", "2026-01-23 10:58:28,1.5"),
        ("row_idx,timestamp,value", "7,2026-01-23T10:58:28Z,1.5"),
        ("row_idx,timestamp,FI_1.PV", "7,2026-01-23T10:58:28Z,1.5"),
    ],
)
def test_every_generation_is_one_series(tmp_path: Path, header: str, row: str) -> None:
    (tmp_path / "数据集_a.csv").write_text(f"{header}\n{row}\n", encoding="utf-8")
    (raw,) = found(tmp_path).values()
    assert raw.values.to_pylist() == ["1.5"]


def test_a_label_column_that_is_named_is_truth(tmp_path: Path) -> None:
    text = "timestamp,value,is_anomaly\n" + "".join(
        f"{i},{i},{int(i in (2, 3))}\n" for i in range(6)
    )
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    (raw,) = found(tmp_path, label_column="is_anomaly").values()
    assert spans(raw) == [(2, 3, "anomaly")]
    (plain,) = found(tmp_path).values()
    assert plain.intervals is None
    with pytest.raises(SourceError, match=r"no column 'x'.*source.label_column"):
        found(tmp_path, label_column="x")


LABELS = st.sampled_from(["", "0", "1", "spike", "漂移"])


@given(st.lists(LABELS, min_size=1, max_size=30))
def test_runs_come_back_as_the_labels_that_they_were(labels: list[str]) -> None:
    meant = text_labels(pa.array(labels))
    intervals = intervals_of_rows(meant)
    if not any(labels):
        assert intervals is None
        return
    back = ["" for _ in labels]
    for interval in intervals or ():
        back[interval.start : interval.end + 1] = [interval.label] * len(interval)
    assert back == [label or "" for label in meant]
    assert back == [{"0": "", "1": "anomaly"}.get(label, label) for label in labels]


def workbook(path: Path, rows: list[list[Any]], sheet: str = "data") -> None:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.title = "notes"
    for row in rows:
        book[sheet].append(row) if sheet in book.sheetnames else book.create_sheet(sheet).append(
            row
        )
    book.save(path)


def test_a_workbook(tmp_path: Path) -> None:
    start = dt.datetime(2024, 1, 1)
    rows: list[list[Any]] = [["time", "FI", "TI"]]
    rows += [[start + dt.timedelta(seconds=i), i, None if i == 1 else i / 2] for i in range(4)]
    workbook(tmp_path / "a.xlsx", [*rows, [None, None, None]])
    series = found(tmp_path, sheet="data", zone="UTC")
    assert series["a/FI"].values.to_pylist() == [0, 1, 2, 3]
    assert series["a/TI"].values.to_pylist() == [0.0, None, 1.0, 1.5]
    assert series["a/TI"].timestamps.to_pylist()[3] == start + dt.timedelta(seconds=3)
    acquire(build("folder", {"path": str(tmp_path), "sheet": "data"}), tmp_path / "raw")
    with pytest.raises(SourceError, match=r"a.xlsx is empty|no column names"):
        found(tmp_path, sheet="notes", pattern="*.xlsx")
    with pytest.raises(SourceError, match=r"no sheet 'x'; it has \['notes', 'data'\]"):
        found(tmp_path, sheet="x", pattern="*.xlsx")
    with pytest.raises(SourceError, match=r"more than 10 bytes"):
        found(tmp_path, max_bytes=10, pattern="*.xlsx")


def test_workbooks_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK no")
    with pytest.raises(SourceError, match="not a readable workbook"):
        found(tmp_path)
    workbook(tmp_path / "a.xlsx", [["t", "t"], [1, 2]])
    with pytest.raises(SourceError, match="columns of one name"):
        found(tmp_path, sheet="data")
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"tsloop\[excel\]"):
        found(tmp_path)


def test_a_long_parquet_file_comes_in_pieces_with_the_same_bytes(tmp_path: Path) -> None:
    n = ROW_GROUP + 5000
    values = np.random.default_rng(0).integers(0, 9, n).astype(float)
    table = pa.table({"time": 1_700_000_000 + np.arange(n), "a": values, "b": values + 1})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "x.parquet", row_group_size=100_000)
    source = build("folder", {"path": str(tmp_path / "in")})
    assert len(list(source.parts("x/a"))) > 1
    acquire(source, tmp_path / "pieces")
    source.parts = lambda name: iter([source.read(name)])  # type: ignore[method-assign]
    acquire(source, tmp_path / "whole")
    assert sha256_tree(tmp_path / "pieces") == sha256_tree(tmp_path / "whole")
    assert RawStore.open(tmp_path / "pieces")["x/b"].values.to_pylist() == (values + 1).tolist()


def test_many_files_at_once_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(100):
        text = "timestamp,a,b\n" + "".join(f"{1_700_000_000 + i},{i},{number}\n" for i in range(20))
        with gzip.open(tmp_path / "in" / f"f{number:03}.csv.gz", "wt", encoding="utf-8") as stream:
            stream.write(text)
    for jobs in (1, 8):
        figures = acquire(
            build("folder", {"path": str(tmp_path / "in"), "jobs": jobs}), tmp_path / str(jobs)
        )
        assert figures["n_series"] == 200
    assert sha256_tree(tmp_path / "1") == sha256_tree(tmp_path / "8")


def test_one_bad_file_among_many_stops_all_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(40):
        ragged = "1,2,3\n" if number == 17 else ""
        (tmp_path / "in" / f"{number}.csv").write_text(f"timestamp,value\n1,1\n{ragged}")
    with pytest.raises(SourceError, match=r"17.csv, row 1: 3 cells"):
        acquire(build("folder", {"path": str(tmp_path / "in"), "jobs": 4}), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    with pytest.raises(ConfigError, match=r"source.jobs=0"):
        build("folder", {"jobs": 0})
