"""`tsloop detect`: new data, at once."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from project_tools import tsloop
from tsloop.cli import main
from tsloop.project import Project


def write_series(path: Path, spike: int | None, n_rows: int = 400) -> None:
    """A daily wave with a little noise and, at ``spike``, a few rows far off."""
    noise = np.random.default_rng(0).normal(0, 0.05, n_rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["timestamp", "value"])
        for row in range(n_rows):
            value = math.sin(2 * math.pi * row / 96) + noise[row]
            if spike is not None and 0 <= row - spike < 4:
                value += 6.0
            minutes = 15 * row
            stamp = (
                f"2024-03-{1 + minutes // 1440:02d}T{minutes // 60 % 24:02d}:{minutes % 60:02d}:00Z"
            )
            writer.writerow([stamp, f"{value:.4f}"])


def detect(place: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["tsloop", "detect", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


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


def test_a_bad_cell_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text(
        "timestamp,value\n"
        + "".join(f"2024-03-01T00:{i:02d}:00Z,{i}\n" for i in range(40))
        + "2024-03-01T00:40:00Z,high\n"
    )
    assert detect(tmp_path, monkeypatch, "bad.csv") == 1
    said = capsys.readouterr().err
    assert "'high'" in said
    assert "row" in said
    assert len(said.strip().splitlines()) == 1
