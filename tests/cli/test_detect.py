"""`tsloop detect`: new data, at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from detect_tools import call, detect, read_table, write_series

from project_tools import tsloop
from tsloop.project import Project


def test_a_spike_in_a_csv_is_found_without_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path / "pump.csv", spike=250)
    assert detect(tmp_path, monkeypatch, "pump.csv", "--out", "found") == 0
    said = capsys.readouterr().out
    assert "embedded base" in said
    rows = [row for row in read_table(tmp_path / "found" / "detections.csv") if row["start"]]
    assert any(int(row["start"]) <= 253 and int(row["end"]) >= 250 for row in rows)
    pictures = list((tmp_path / "found").glob("*.png"))
    assert [picture.read_bytes()[:4] for picture in pictures] == [b"\x89PNG"]


def test_the_champion_is_used_where_there_is_one(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tsloop(finished.root, "promote", "it002/knn", "--force", "--reason", "a test")
    folder = finished.root / "new"
    folder.mkdir()
    write_series(folder / "one.csv", spike=250)
    write_series(folder / "two.csv", spike=None)
    assert detect(finished.root, monkeypatch, "new", "--no-pictures") == 0
    assert "Model: it002/knn" in capsys.readouterr().out
    rows = read_table(finished.root / "detections" / "detections.csv")
    assert {row["series_id"].split("/")[0].split(":")[0] for row in rows} == {"one", "two"}
    assert all(row["status"] in ("ok", "none") for row in rows)
    assert not list((finished.root / "detections").glob("*.png"))


def test_an_iteration_stands_for_its_primary_variant(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_series(finished.root / "calm.csv", spike=None)
    for model, key in (("it002", "it002/knn"), ("base", "base/knn"), ("it001/knn", "it001/knn")):
        assert detect(finished.root, monkeypatch, "calm.csv", "--model", model) == 0
        said = capsys.readouterr().out
        assert f"Model: {key}" in said
    (row,) = read_table(finished.root / "detections" / "detections.csv")
    assert row["status"] == "none"
    assert re.fullmatch(r"highest score 0\.\d\d, level 0\.\d\d", row["reason"])
    assert f"calm: none {row['reason']}" in said
    assert call(finished.root, monkeypatch, "detect", "calm.csv", "--model", "knn") == 1
    assert "Give ITERATION/VARIANT: it001/knn, it002/knn." in capsys.readouterr().err


def bad_cell() -> str:
    rows = "".join(f"2024-03-01T00:{i:02d}:00Z,{i}\n" for i in range(40))
    return "timestamp,value\n" + rows + "2024-03-01T00:40:00Z,high\n"


def test_a_bad_cell_is_named_with_the_option_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text(bad_cell())
    assert detect(tmp_path, monkeypatch, "bad.csv", "--set", "prepare=strict") == 1
    said = capsys.readouterr().err
    assert "1 of 1 series could not be scored" in said
    assert "row 40, column 'value': 'high' is not a number" in said
    assert "In this command: --set prepare.text=gap" in said
    (row,) = read_table(tmp_path / "detections" / "detections.csv")
    assert (row["series_id"], row["status"]) == ("bad", "failed")
    assert "'high'" in row["reason"]
    assert not list((tmp_path / "detections").glob("*.png"))


def test_a_repair_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text(bad_cell())
    assert detect(tmp_path, monkeypatch, "bad.csv", "--no-pictures") == 0
    assert "bad: text in 1 row, the first is row 40: read as a gap" in capsys.readouterr().err


def test_one_bad_file_of_a_folder_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_series(folder / "good.csv", spike=250)
    (folder / "bad.csv").write_text("")
    assert detect(tmp_path, monkeypatch, "in", "--no-pictures") == 1
    said = capsys.readouterr()
    assert "good: " in said.out
    assert "1 of 2 series could not be scored:\n  bad.csv: bad.csv is empty." in said.err
    assert "[detect] " in said.err
    rows = read_table(tmp_path / "detections" / "detections.csv")
    assert {(row["series_id"], row["status"]) for row in rows} == {
        ("good", "ok"),
        ("bad.csv", "failed"),
    }


def test_the_named_file_is_read_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    write_series(folder / "a[1].csv", spike=None)
    write_series(folder / "b.csv", spike=250)
    (folder / "manifest.json").write_text('{"b": {"file": "b.csv"}}')
    assert detect(tmp_path, monkeypatch, "one/a[1].csv", "--no-pictures") == 0
    rows = read_table(tmp_path / "detections" / "detections.csv")
    assert {row["series_id"] for row in rows} == {"a[1]"}


def test_no_picture_overwrites_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    names = ["a/b", "a_b", "A_b", "north/pump", "south/pump", "温度"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_series(folder / f"{name}.csv", spike=None, n_rows=100)
    assert detect(tmp_path, monkeypatch, "in") == 0
    pictures = {path.name for path in (tmp_path / "detections").glob("*.png")}
    assert len({name.casefold() for name in pictures}) == len(names)
    assert {"north_pump.png", "south_pump.png", "温度.png"} < pictures
    rows = read_table(tmp_path / "detections" / "detections.csv")
    assert {row["series_id"] for row in rows} == set(names)


def test_infer_reads_with_the_same_options(
    finished: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    naive = bad_cell().replace("Z,", ",").replace("high", "41")
    (tmp_path / "naive.csv").write_text(naive.replace("00:05:00,", "00:04:00,"))
    arguments = ("iteration", "infer", "it002", str(tmp_path / "naive.csv"))
    assert call(finished.root, monkeypatch, *arguments) == 1
    said = capsys.readouterr().err
    assert "row 5, column 'timestamp': '2024-03-01T00:04:00' was there before" in said
    option = said.strip().rpartition("In this command: ")[2].split()
    assert option == ["--set", "prepare.duplicates=first"]
    assert call(finished.root, monkeypatch, *arguments, *option, "--zone", "Asia/Shanghai") == 0
    said = capsys.readouterr()
    assert said.out.startswith("naive: ")
    assert "naive: duplicates in 1 row" in said.err


def test_contrast_is_a_column_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path / "pump.csv", spike=250)
    arguments = ("pump.csv", "--no-pictures", "--out", "found", "--contrast")
    assert detect(tmp_path, monkeypatch, *arguments) == 0
    rows = read_table(tmp_path / "found" / "detections.csv")
    spike = next(row for row in rows if row["start"] and int(row["start"]) <= 253)
    assert 40.0 < float(spike["contrast"]) < 75.0, "a spike never gets more"
