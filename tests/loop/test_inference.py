"""New data: exactly what was named is read, and every fault is one message that says what to do."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from project_tools import make_project
from tsloop.cli.reading import with_option
from tsloop.config.params import configure
from tsloop.errors import ConfigError, SourceError
from tsloop.loop.inference import LENIENT, NewData, NewSeries, reading
from tsloop.series.prepare import prepare_store
from tsloop.series.raw import RawWriter
from tsloop.series.store import SeriesStore
from tsloop.series.types import Role
from tsloop.sources.folder import FolderConfig, FolderSource
from tsloop.template import template_root

VALUES = [f"{math.sin((i + 1) / 9):.3f}" for i in range(100)]
"""None of them is zero."""
STAMPS = [f"2024-03-01 {i // 60:02d}:{i % 60:02d}:00" for i in range(100)]


def table(
    values: Sequence[str] = VALUES,
    stamps: Sequence[str] = STAMPS,
    header: str = "timestamp,value",
    sign: str = ",",
) -> str:
    rows = zip(stamps, values, strict=False)
    return header + "\n" + "".join(f"{stamp}{sign}{value}\n" for stamp, value in rows)


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, *settings: str, zone: str = "") -> dict[str, NewSeries]:
    data = NewData(path, reading(zone=zone, settings=settings))
    return {name: data.read(name) for name in data.names}


def read_one(path: Path, *settings: str) -> NewSeries:
    (found,) = read(path, *settings).values()
    return found


# --- what is read --------------------------------------------------------------------------------


def test_a_file_is_read_though_a_manifest_names_another(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", table())
    put(tmp_path / "b.csv", table())
    put(tmp_path / "manifest.json", '{"b": {"file": "b.csv"}}')
    assert list(read(tmp_path / "a.csv")) == ["a"]
    assert list(read(tmp_path)) == ["b"]
    put(tmp_path / "manifest.json", "{")
    assert list(read(tmp_path / "a.csv")) == ["a"]
    with pytest.raises(SourceError, match="not valid JSON"):
        read(tmp_path)


@pytest.mark.parametrize(
    "name", ["data[1].csv", "a*.csv", "?.csv", "**.csv", ".hidden.csv", "温.CSV"]
)
def test_a_file_name_is_no_pattern(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, table())
    put(tmp_path / "ab.csv", table())
    put(tmp_path / "data1.csv", table())
    found = read_one(tmp_path / name)
    assert (found.id, found.error) == (name[:-4], None)


def test_a_link_to_a_file_elsewhere_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "there" / "x.csv", table())
    (tmp_path / "link.csv").symlink_to(tmp_path / "there" / "x.csv")
    assert read_one(tmp_path / "link.csv").series is not None


def test_what_is_no_series_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        read(tmp_path / "none.csv")
    put(tmp_path / "x.docx", "PK")
    with pytest.raises(SourceError, match=r"x\.docx is neither CSV, parquet nor Excel .*\.csv"):
        read(tmp_path / "x.docx")
    with pytest.raises(SourceError, match="holds no series"):
        read(tmp_path)


def test_bad_files_and_bad_cells_leave_the_others_alone(tmp_path: Path) -> None:
    put(tmp_path / "good.csv", table())
    put(tmp_path / "cell.csv", table(["?"] * 100))
    put(tmp_path / "file.csv", "x")
    put(tmp_path / "good.csv.gz", b"not gzip")
    found = read(tmp_path)
    assert [name for name, new in found.items() if new.series is not None] == ["good"]
    assert {name: str(new.error)[:40] for name, new in found.items() if new.error} == {
        "cell": "Series 'cell' (cell.csv), row 0, column ",
        "file.csv": "file.csv has one column ('x'); a series ",
        "good.csv.gz": "good.csv.gz cannot be read: Not a gzippe",
    }


def test_a_manifest_series_that_cannot_be_read_leaves_the_others_alone(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", table())
    entries = {
        "a": {"file": "a.csv", "n": 100},
        "b": {"file": "b.csv"},
        "c": {"file": "a.csv", "n": 9},
    }
    put(tmp_path / "manifest.json", json.dumps(entries))
    found = read(tmp_path)
    assert [name for name, new in found.items() if new.series is not None] == ["a"]
    assert "does not exist" in str(found["b"].error)
    assert "its manifest says 9" in str(found["c"].error)


def test_two_series_of_one_short_name_stay_two(tmp_path: Path) -> None:
    put(tmp_path / "north" / "pump.csv", table())
    put(tmp_path / "south" / "pump.csv", table(VALUES[::-1]))
    found = read(tmp_path)
    assert list(found) == ["north/pump", "south/pump"]
    firsts = [new.series.values[0] for new in found.values() if new.series is not None]
    assert firsts == [float(VALUES[0]), float(VALUES[-1])]
    source = FolderSource(FolderConfig(path=str(tmp_path)))
    with RawWriter(tmp_path / "raw") as writer:
        for name in source.list():
            writer.add(source.read(name))
    prepare_store(tmp_path / "raw", tmp_path / "series", tmp_path / "truth", reading().prepare)
    store = SeriesStore.open(tmp_path / "series")
    pictures = {store.thumbnail(name) for name in store.ids()}
    assert len({path.read_bytes() for path in pictures}) == 2


# --- how it is read ------------------------------------------------------------------------------


def test_outside_a_project_the_lenient_preset_counts() -> None:
    shipped = yaml.safe_load((template_root() / "conf/prepare/lenient.yaml").read_text("utf-8"))
    strict = yaml.safe_load((template_root() / "conf/prepare/strict.yaml").read_text("utf-8"))
    differs = {key: value for key, value in shipped.items() if strict[key] != value}
    assert differs == {**LENIENT, "invalid": "exclude"}
    how = reading()
    assert (how.prepare.zone, how.prepare.duplicates, how.prepare.sample_step_s) == (
        "UTC",
        "first",
        1,
    )
    assert reading(settings=["prepare=strict"]).prepare.duplicates == "error"


def test_settings_are_those_of_configure() -> None:
    how = reading(
        zone="Asia/Shanghai",
        settings=[
            "source.decimal=','",
            "source.thousands= ",
            "source.ignore_columns=a, b",
            "source.has_header=false",
            "prepare.missing_tokens=[nan, 9999]",
            "prepare.min_rows=1",
        ],
    )
    assert (how.source.decimal, how.source.thousands, how.source.has_header) == (",", "", False)
    assert how.source.ignore_columns == ["a", "b"]
    assert how.prepare.missing_tokens == ["nan", "9999"]
    assert (how.prepare.min_rows, how.source.zone) == (1, "Asia/Shanghai")
    for text, words in (
        ("zone=UTC", "'zone=UTC' is not a setting"),
        ("prepare", "not a setting"),
        ("prepare=nice", "not a setting"),
        ("source.zome=UTC", r"source\.zome.*Did you mean source\.zone"),
        ("source.path=x", "file or folder itself"),
        ("prepare.min_rows=few", "must be int"),
        ("prepare.duplicates=drop", "not known"),
    ):
        with pytest.raises(ConfigError, match=words):
            reading(settings=[text])


def test_inside_a_project_new_data_is_read_as_the_projects_own(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", iterations=0)
    assert reading(project).prepare.duplicates == "error"
    put(tmp_path / "in" / "a.csv", table(header="时间,温度"))
    configure(
        project,
        [
            "source=folder",
            f"source.path={tmp_path / 'in'}",
            "source.zone=Asia/Shanghai",
            "source.limit=1",
            "prepare.duplicates=last",
            "prepare.gold_share=0.9",
        ],
    )
    how = reading(project)
    assert (how.source.zone, how.source.limit, how.prepare.duplicates) == (
        "Asia/Shanghai",
        0,
        "last",
    )
    assert reading(project, zone="UTC").source.zone == "UTC"
    assert reading(project, settings=["prepare=lenient"]).prepare.duplicates == "first"
    data = NewData(tmp_path / "in", how)
    series = data.read("a").series
    assert series is not None
    assert series.role is Role.POOL
    assert np.datetime64(int(series.timestamps[0]), "ns") == np.datetime64("2024-02-29T16:00")


# --- bad files -----------------------------------------------------------------------------------

EPOCH_MS = [str(1_709_251_200_000 + 60_000 * i) for i in range(100)]
COMMAS = [value.replace(".", ",") for value in VALUES]


@pytest.mark.parametrize(
    ("content", "settings", "repairs"),
    [
        (b"\xef\xbb\xbf" + table().encode(), [], []),
        (table().encode("utf-16"), [], []),
        (table(stamps=EPOCH_MS), [], []),
        (table(header="时间,温度"), [], []),
        (table(header="时间,温度").encode("gbk"), ["source.encoding=gb18030"], []),
        (table(["5.0"] * 100), [], []),
        (table(["nan"] * 100), [], ["missing_token"]),
        (table(["", *VALUES[1:]]), [], []),
        (table(["Bad", *VALUES[1:]]), [], ["text"]),
        (table(["inf", *VALUES[1:]]), [], ["infinite"]),
        (table(COMMAS, header="time;value", sign=";"), ["source.decimal=','"], ["number_format"]),
        (table(stamps=[STAMPS[1], STAMPS[0], *STAMPS[2:]]), [], ["unsorted"]),
        (table(stamps=[STAMPS[0], STAMPS[0], *STAMPS[2:]]), [], ["duplicates"]),
        (table(stamps=[str(i) for i in range(100)]), [], ["synthetic_time_base"]),
        (table(VALUES[:1]), ["prepare.min_rows=1"], []),
    ],
)
def test_common_faults_are_mended_and_said(
    tmp_path: Path, content: str | bytes, settings: list[str], repairs: list[str]
) -> None:
    found = read_one(put(tmp_path / "x.csv", content), *settings)
    assert found.error is None
    assert [repair.kind for repair in found.repairs] == repairs
    assert found.series is not None
    assert not (found.series.values == 0.0).any()


@pytest.mark.parametrize(
    ("content", "settings", "words", "option"),
    [
        ("", [], "x.csv is empty", ""),
        ("timestamp,value\n", [], "0 rows are fewer than 16", "prepare.min_rows=…"),
        (table(VALUES[:1]), [], "1 rows are fewer than 16", "prepare.min_rows=…"),
        ("value\n1\n2\n", [], "x.csv has one column ('value')", "source.delimiter=…"),
        (table().split("\n", 1)[1], [], "x.csv has no header", "source.has_header=false"),
        (table(header="采集时间,温度"), [], "['采集时间', '温度']", "source.timestamp_column=…"),
        (
            table(header="时间,温度").encode("gbk"),
            [],
            "line 1: the bytes",
            "source.encoding=gb18030",
        ),
        (
            table(COMMAS),
            [],
            "row 0: 3 cells where the first line has 2: '2024-03-01 00:00:00,0,",
            "",
        ),
        (
            table(COMMAS, header="time;value", sign=";"),
            [],
            "row 0, column 'value': '0,111' looks like a number with a decimal comma",
            "source.decimal=','",
        ),
        (
            table(["good"] * 100),
            [],
            "row 0, column 'value': 'good' is not a number",
            "source.ignore_columns='value'",
        ),
        (
            table(["", *VALUES[1:]]),
            ["source.decimal=','"],
            "row 1, column 'value': '0.220' is not a number",
            "source.ignore_columns='value'",
        ),
        (
            table(["Bad", *VALUES[1:]]),
            ["prepare=strict"],
            "'Bad' is not a number",
            "prepare.text=gap",
        ),
        (
            table(stamps=[STAMPS[0], STAMPS[0], *STAMPS[2:]]),
            ["prepare=strict"],
            "row 1, column 'timestamp': '2024-03-01 00:00:00' was there before",
            "prepare.duplicates=first",
        ),
        (
            table(stamps=[STAMPS[1], STAMPS[0], *STAMPS[2:]]),
            ["prepare=strict"],
            "row 1, column 'timestamp': '2024-03-01 00:00:00' is earlier",
            "prepare.unsorted=sort",
        ),
        (table(stamps=["", *STAMPS[1:]]), [], "row 0, column 'timestamp': no timestamp", ""),
        (
            table(stamps=[f"01.03.2024 {stamp[11:]}" for stamp in STAMPS]),
            [],
            "'01.03.2024 00:00:00' is no time",
            "prepare.timestamp_format='%d.%m.%Y %H:%M:%S'",
        ),
        (
            table(stamps=["".join(filter(str.isdigit, stamp)) for stamp in STAMPS]),
            [],
            "20240301000000 is no time between",
            "prepare.timestamp_format='%Y%m%d%H%M%S'",
        ),
        (bytes(range(256)) * 20, [], "the bytes are not UTF-8", "source.encoding=gb18030"),
    ],
)
def test_every_fault_is_named_with_its_place_and_an_option_that_exists(
    tmp_path: Path, content: str | bytes, settings: list[str], words: str, option: str
) -> None:
    found = read_one(put(tmp_path / "x.csv", content), *settings)
    assert found.series is None
    message = with_option(str(found.error))
    assert words in message
    assert (
        message.endswith(f"In this command: --set {option}") if option else "--set" not in message
    )
    if option and "…" not in option:
        reading(settings=[option])


def test_the_option_of_a_message_mends_the_fault(tmp_path: Path) -> None:
    """What a message proposes is typed as it stands, quotes and all."""
    stamps = [f"01.03.2024 {stamp[11:]}" for stamp in STAMPS]
    path = put(tmp_path / "x.csv", table(COMMAS, stamps, "时间;温度", ";").encode("gbk"))
    settings: list[str] = []
    for _ in range(5):
        found = read_one(path, *settings)
        if found.series is not None:
            break
        settings.append(with_option(str(found.error)).rpartition("--set ")[2])
    assert [setting.split("=")[0] for setting in settings] == [
        "source.encoding",
        "prepare.timestamp_format",
        "source.decimal",
    ]
    assert found.series is not None
    assert found.series.values.tolist() == [float(value) for value in VALUES]
    shutil.rmtree(tmp_path)
