"""`tsloop import`, `tsloop source list` and `tsloop series export` as a user calls them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detect_tools import call, read_table
from PIL import Image

from project_tools import run_stages
from tsloop.config.params import configure
from tsloop.errors import ConfigError
from tsloop.files import read_jsonl
from tsloop.loop.source_news import source_news
from tsloop.project import Project
from tsloop.report.series_files import SeriesFiles, series_csv, series_jpeg
from tsloop.series.store import SeriesEntry, SeriesStore
from tsloop.series.types import Role, Series
from tsloop.sources import build
from tsloop.sources.iotdb import PASSWORD
from tsloop.testing.iotdb_server import IotdbServer

T0 = 1_700_000_000_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[IotdbServer]:
    monkeypatch.setenv(PASSWORD, "s3cret")
    with IotdbServer(password="s3cret") as running:
        times = T0 + 1000 * np.arange(6000)
        running.add("root.plant.unit_1.`FI_1.PV`", times, np.sin(times / 1e5))
        yield running


def test_an_import_becomes_gold_of_a_project(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nab = fresh.root.parent / "NAB"
    windows: dict[str, Any] = {}
    (nab / "data" / "real").mkdir(parents=True)
    for number in range(6):
        lines = [f"2014-02-14 {i // 60:02}:{i % 60:02}:00,{i * number % 7}" for i in range(200)]
        text = "timestamp,value\n" + "\n".join(lines) + "\n"
        (nab / "data" / "real" / f"{number}.csv").write_text(text)
        windows[f"real/{number}.csv"] = [["2014-02-14 01:00:00.000000", "2014-02-14 01:10:00"]]
    (nab / "labels").mkdir()
    (nab / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    assert call(fresh.root, monkeypatch, "import", "nab", str(nab)) == 0
    said = capsys.readouterr().out
    assert "6 series, 1,200 rows, 6 labelled events" in said
    configure(fresh, ["source=folder", "source.path=imported/nab", "annotator=human"])
    assert "  tsloop configure source=folder source.path=imported/nab\n" in said
    run_stages(fresh, "acquire", "prepare")
    assert call(fresh.root, monkeypatch, *said.splitlines()[-1].split()[1:]) == 0
    gold = {row["series_id"] for row in read_jsonl(fresh.labels("gold"))}
    assert gold == set(SeriesStore.open(fresh.series).ids(Role.GOLD))
    assert 0 < len(gold) < 6
    # Again: the folder is ours, so it is replaced; a foreign one is not.
    assert call(fresh.root, monkeypatch, "import", "nab", str(nab)) == 0
    assert call(fresh.root, monkeypatch, "import", "nab", str(nab), "--out", "conf") == 1
    assert "conf is there and was not imported" in capsys.readouterr().err


def test_an_import_that_leaves_something_out_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "y").mkdir()
    good = "timestamp,value,is_anomaly\n" + "".join(f"{i},{i},0\n" for i in range(30))
    (tmp_path / "y" / "good.csv").write_text(good)
    (tmp_path / "y" / "short.csv").write_text("timestamp,value,is_anomaly\n1,1,0\n")
    (tmp_path / "y" / "other.csv").write_text("a,b\n1,1\n")
    assert call(tmp_path, monkeypatch, "import", "yahoo", "y") == 1
    said = capsys.readouterr()
    assert "1 series, 30 rows, 0 labelled events" in said.out
    assert "1 could not be read" in said.err
    assert "yahoo/short: " in said.err
    assert "1 skipped" in said.err


def test_a_server_is_looked_at_read_and_exported(
    fresh: Project,
    server: IotdbServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = ["source=iotdb", f"source.port={server.port}", "source.devices=[root.**]"]
    assert call(fresh.root, monkeypatch, "source", "list", *settings) == 0
    assert capsys.readouterr().out == "plant.unit_1/FI_1.PV\n"
    configure(fresh, [*settings, "source.zone=Asia/Shanghai", "annotator=human"])
    run_stages(fresh, "acquire", "prepare")
    for text in (fresh.params.read_text(), (fresh.root / "dvc.lock").read_text()):
        assert "s3cret" not in text
    arguments = ["series", "export", "out", "--pictures", "--points", "400"]
    assert call(fresh.root, monkeypatch, *arguments) == 0
    rows = read_table(fresh.root / "out" / "unit_1_FI_1.PV.csv")
    assert list(rows[0]) == ["date", "value"]
    assert rows[0]["date"] == "2023-11-15 06:13:20"
    assert 200 <= len(rows) <= 400
    with Image.open(fresh.root / "out" / "unit_1_FI_1.PV.jpg") as picture:
        width, height = picture.size
    assert abs(width - 4000) < 800
    assert abs(height - 800) < 200


def test_an_edited_point_list_is_told(fresh: Project, server: IotdbServer) -> None:
    (fresh.root / "points.txt").write_text("FI_1.PV\n")
    settings = ["source=iotdb", f"source.port={server.port}", "source.devices=[root.plant.unit_1]"]
    configure(fresh, [*settings, "source.points_file=points.txt", "annotator=human"])
    run_stages(fresh, "acquire")
    assert source_news(fresh) == ""
    (fresh.root / "points.txt").write_text("FI_1.PV\nTI_1.PV\n")
    assert "1 changed (first: points.txt)" in source_news(fresh)


def test_the_source_needs_points(fresh: Project) -> None:
    with pytest.raises(ConfigError, match=r"source.devices=\[root.plant"):
        configure(fresh, ["source=iotdb"])


def entry(name: str, **meta: str) -> SeriesEntry:
    return SeriesEntry(name, "f", "0", 1, "g", Role.POOL, "", "UTC", 1, 0, 0, meta=meta)


def test_gaps_and_fractions_survive_an_export(tmp_path: Path) -> None:
    times = np.array([0, 1, 2, 4]) * 10**9 + T0 * 10**6
    series = Series("a/b:c", times, np.array([0.1, np.nan, 1e300, -0.0]), zone="Asia/Shanghai")
    for layout, header in (("legacy", "date,value"), ("rows", "row_idx,timestamp,value")):
        text = series_csv(series, np.arange(4), layout)
        assert text.startswith(header + "\n")
        (tmp_path / layout).mkdir()
        SeriesFiles(tmp_path / layout, 0, layout, False, [entry("a/b:c")]).write(series)
        path = tmp_path / layout
        source = build("folder", {"path": str(path), "zone": "Asia/Shanghai"})
        assert source.list() == ["a_b_c"]
        values = [float(v) if v else None for v in source.read("a_b_c").values.to_pylist()]
        assert values == [0.1, None, 1e300, -0.0]
    fine = Series("x", np.array([1, 1_000_000_001, 2_500_000_000]), np.zeros(3))
    assert ",1970-01-01T00:00:00.000000001Z,0.0\n" in series_csv(fine, np.arange(3), "rows")
    assert "1970-01-01 00:00:02.500000000,0.0\n" in series_csv(fine, np.arange(3))


def test_no_two_series_share_a_file(tmp_path: Path) -> None:
    entries = [
        entry("a/b"),
        entry("A_B"),
        entry("c"),
        entry("x", device="root.p.u", measurement="c"),
    ]
    files = SeriesFiles(tmp_path, 0, "rows", False, entries)
    series = (Series(e.id, np.arange(3), np.zeros(3)) for e in entries)
    names = [files.write(one).name for one in series]
    assert len({name.lower() for name in names}) == 4
    assert names[2:] == ["c.csv", "u_c.csv"]
    with pytest.raises(ConfigError, match="--layout"):
        SeriesFiles(tmp_path, 0, "x", False, [])
    with pytest.raises(ConfigError, match="multiple of 4"):
        SeriesFiles(tmp_path, 5, "rows", False, [])


def test_the_picture_of_nothing_is_a_picture() -> None:
    for values in (np.full(5, np.nan), np.array([1.0]), np.arange(5000.0)):
        with Image.open(io.BytesIO(series_jpeg(values))) as picture:
            assert picture.format == "JPEG"
