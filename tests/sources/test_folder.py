"""The folder source: malformed files, encodings, manifests, and acquiring twice."""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsloop.errors import ConfigError, SeriesValidationError, SourceError
from tsloop.files import sha256_tree
from tsloop.intervals import Basis
from tsloop.series.prepare import PrepareConfig, prepare_store
from tsloop.series.raw import RawSeries, RawStore
from tsloop.series.store import SeriesStore
from tsloop.series.types import Role
from tsloop.series.validate import validate
from tsloop.sources import acquire, build
from tsloop.sources.folder import FolderConfig, FolderSource

T0 = 1_700_000_000
PLAIN = "timestamp,value\n" + "".join(f"{T0 + 60 * i},{i}.5\n" for i in range(20))


def source(root: Path, **config: Any) -> FolderSource:
    return FolderSource(FolderConfig(path=str(root), **config))


def put(root: Path, name: str, content: str | bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def only(root: Path, **config: Any) -> RawSeries:
    found = source(root, **config)
    (name,) = found.list()
    return found.read(name)


def numbers(raw: RawSeries, **config: Any) -> list[float]:
    return validate(raw, PrepareConfig(min_rows=1, **config)).series.values.tolist()


# --- files without a manifest --------------------------------------------------------------------


def test_every_file_is_a_pool_series(tmp_path: Path) -> None:
    put(tmp_path, "b.csv", PLAIN)
    put(tmp_path, "温度/a.csv.gz", gzip.compress(PLAIN.encode()))
    put(tmp_path, "c.tsv", PLAIN.replace(",", "\t"))
    table = pa.table({"time": pa.array([T0, T0 + 1]), "x": [1.0, None]})
    pq.write_table(table, tmp_path / "d.parquet")
    for name in (".hidden.csv", ".git/x.csv", "notes.txt"):
        put(tmp_path, name, "not a series")
    found = source(tmp_path)
    assert found.list() == ["b", "c", "d", "温度/a"]
    for name in ("b", "c", "温度/a"):
        raw = found.read(name)
        assert (raw.group, raw.role, raw.intervals) == (name, Role.POOL, None)
        assert numbers(raw) == [i + 0.5 for i in range(20)]
    parquet = found.read("d")
    assert parquet.values.to_pylist() == [1.0, None]
    assert (parquet.timestamp_column, parquet.value_column) == ("time", "x")
    assert parquet.meta == {"file": "d.parquet"}


def test_many_value_columns_give_many_series(tmp_path: Path) -> None:
    put(tmp_path, "p/x.csv", "Time,FI_1.PV,TI_2.PV,quality\n2024-01-01 00:00:00Z,1,2,good\n")
    found = source(tmp_path, ignore_columns=["quality"])
    assert found.list() == ["p/x/FI_1.PV", "p/x/TI_2.PV"]
    assert [found.read(name).group for name in found.list()] == ["p/x", "p/x"]
    assert numbers(found.read("p/x/TI_2.PV")) == [2.0]
    by_folder = source(tmp_path, ignore_columns=["quality"], group_by="folder")
    assert by_folder.read("p/x/FI_1.PV").group == "p"
    one = source(tmp_path, value_column="TI_2.PV")
    assert one.list() == ["p/x"]


def test_an_index_column_without_a_name_is_ignored(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", f",date,category,value\n0,{T0},x,1.5\n")
    assert numbers(only(tmp_path, epoch_unit="s")) == [1.5]


def test_the_cells_are_kept_as_found(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", f"timestamp,value\n{T0},\n{T0 + 1},1e400\n{T0 + 2},NA\n")
    assert only(tmp_path).values.to_pylist() == ["", "1e400", "NA"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_and_blank_lines(tmp_path: Path, newline: str) -> None:
    text = newline.join(["", "timestamp,value", f"{T0},1", "", f"{T0 + 1},2", ""])
    put(tmp_path, "a.csv", text)
    assert numbers(only(tmp_path)) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (b"", "utf-8"),
    ],
)
def test_marked_encodings_are_found(tmp_path: Path, bom: bytes, encoding: str) -> None:
    put(tmp_path, "a.csv", bom + PLAIN.replace("value", "流量").encode(encoding))
    raw = only(tmp_path)
    assert raw.value_column == "流量"
    assert len(numbers(raw)) == 20


def test_other_encodings_must_be_declared(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", PLAIN.replace("timestamp", "时间").encode("gb18030"))
    with pytest.raises(SourceError, match=r"a.csv, line 1: the bytes are not UTF-8 .*gb18030"):
        source(tmp_path).list()
    assert only(tmp_path, encoding="gb18030").timestamp_column == "时间"
    with pytest.raises(SourceError, match="bytes are not ascii"):
        source(tmp_path, encoding="ascii").list()
    with pytest.raises(SourceError, match="'klingon' is not an encoding"):
        source(tmp_path, encoding="klingon").list()


def test_utf16_without_a_mark_is_no_text(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", PLAIN.encode("utf-16-le"))
    with pytest.raises(SourceError, match=r"NUL characters.*utf-16-le"):
        source(tmp_path).list()
    # A declared encoding goes only where UTF-8 fails, so that one folder may hold both.
    put(tmp_path, "a.csv", codecs.BOM_UTF16_LE + b"\x00")
    with pytest.raises(SourceError, match="not utf-16-le"):
        source(tmp_path).read("a")


def test_a_character_across_the_end_of_the_head(tmp_path: Path) -> None:
    lines = "".join(f"{T0 + i},{i}\n" for i in range(30_000))
    put(tmp_path, "a.csv", "时间,温度\n" + lines + f"{T0 + 30_000},度\n")
    with pytest.raises(SeriesValidationError, match=r"row 30000.*'度' is not a number"):
        numbers(only(tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n\n", "no first line"),
        ("value\n1\n", "has one column"),
        ("1700000000,1.5\n1700000060,2.5\n", r"has no header.*has_header=false"),
        ("2024-01-01 00:00:00,1.5\n", "has no header"),
        ("timestamp,value,value\n1,2,3\n", r"columns of one name: \['value'\]"),
        ("a,b\n1,2\n", "no column that looks like the time"),
        ("time,date,value\n1,2,3\n", "2 columns that look like the time"),
        ("time,\n1,2\n", "no value column"),
    ],
)
def test_headers_that_say_nothing_are_refused(tmp_path: Path, content: str, words: str) -> None:
    put(tmp_path, "a.csv", content)
    with pytest.raises(SourceError, match=words):
        source(tmp_path).list()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("timestamp,value\n1,2\n3\n", "row 1: 1 cells where the first line has 2"),
        ("timestamp,value\n1,2\n\n3,4,5\n", "row 1: 3 cells where the first line has 2"),
        ('timestamp,value\n1,"2\n3,4\n5,6\n', r"row 0, column 'value': a quoted cell runs"),
        ('timestamp,value\n1,2\n"3\n",4\n', "row 1, column 'timestamp': a quoted cell"),
    ],
)
def test_ragged_rows_and_quoted_newlines_are_refused(
    tmp_path: Path, content: str, words: str
) -> None:
    put(tmp_path, "a.csv", content)
    with pytest.raises(SourceError, match=words):
        only(tmp_path)


def test_quotes_are_fine_where_they_enclose_a_cell(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", f'timestamp,"va""lue"\n"{T0}","1,234"\n')
    raw = only(tmp_path, thousands=",")
    assert raw.value_column == 'va"lue'
    assert numbers(raw) == [1234.0]
    with pytest.raises(SeriesValidationError, match="ambiguous"):
        numbers(only(tmp_path))


def test_a_header_only_file_is_too_short(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "timestamp,value\n")
    with pytest.raises(SeriesValidationError, match="0 rows"):
        numbers(only(tmp_path))


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", f"time;value\n{T0};1,5\n{T0 + 1};-2,25\n")
    assert numbers(only(tmp_path, decimal=",")) == [1.5, -2.25]
    with pytest.raises(SeriesValidationError, match=r"row 0.*decimal comma.*source.decimal"):
        numbers(only(tmp_path))


def test_a_declared_file_without_header(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", f"{T0}|1\n{T0 + 1}|x\n")
    config = {"delimiter": "|", "has_header": False, "timestamp_column": "0"}
    raw = only(tmp_path, **config)
    assert raw.value_column == "1"
    with pytest.raises(SeriesValidationError, match=r"row 1, column '1': 'x'"):
        numbers(raw)
    put(tmp_path, "a.csv", f"{T0}|1\n{T0 + 1}\n")
    with pytest.raises(SourceError, match="row 1: 1 cells"):
        only(tmp_path, **config)


def test_files_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(b"timestamp,value\n" + b"1" * 5_000_000)
    put(tmp_path, "a.csv.gz", bomb)
    with pytest.raises(SourceError, match=r"than 1,000,000 bytes \(source.max_bytes=1000000\)"):
        only(tmp_path, max_bytes=1_000_000)


def test_files_that_are_not_what_they_say(tmp_path: Path) -> None:
    put(tmp_path, "a.csv.gz", b"not gzip")
    with pytest.raises(SourceError, match=r"a\.csv\.gz cannot be read"):
        source(tmp_path).list()
    (tmp_path / "a.csv.gz").unlink()
    put(tmp_path, "a.csv.gz", gzip.compress(PLAIN.encode())[:-12])
    with pytest.raises(SourceError, match="cannot be read"):
        only(tmp_path)
    (tmp_path / "a.csv.gz").unlink()
    put(tmp_path, "b.parquet", b"PAR1")
    with pytest.raises(SourceError, match="not a readable parquet file"):
        source(tmp_path).list()


def test_two_files_of_one_name(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", PLAIN)
    put(tmp_path, "a.csv.gz", gzip.compress(PLAIN.encode()))
    with pytest.raises(SourceError, match="both give a series 'a'"):
        source(tmp_path).list()
    assert source(tmp_path, pattern="*.csv").list() == ["a"]


def test_links_out_of_the_folder_are_refused_unless_declared(tmp_path: Path) -> None:
    put(tmp_path, "outside/a.csv", PLAIN)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").symlink_to(tmp_path / "outside" / "a.csv")
    with pytest.raises(SourceError, match="leads out of"):
        source(tmp_path / "in").list()
    assert source(tmp_path / "in", follow_links=True).list() == ["a"]
    (tmp_path / "linked").symlink_to(tmp_path / "outside")
    assert source(tmp_path / "linked").list() == ["a"]


def test_file_names_that_are_no_text(tmp_path: Path) -> None:
    try:
        put(tmp_path, "\udcff.csv", PLAIN)
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(SourceError, match="not valid text"):
        source(tmp_path).list()


def test_wrong_places_and_settings(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a directory"):
        source(tmp_path / "no").list()
    with pytest.raises(SourceError, match="unresolved variable"):
        source(Path("${oc.env:X}")).list()
    put(tmp_path, "a.csv", PLAIN)
    with pytest.raises(SourceError, match=r"no manifest\.json"):
        source(tmp_path, datasets=["wsd"]).list()
    with pytest.raises(SourceError, match="no column 'speed'"):
        source(tmp_path, value_column="speed").list()
    with pytest.raises(SourceError, match="no series 'b'"):
        source(tmp_path).read("b")
    for config in (
        {"group_by": "colour"},
        {"epoch_unit": "min"},
        {"roles": ["test"]},
        {"delimiter": ", "},
        {"limit": -1},
        {"max_bytes": 2**31},
    ):
        with pytest.raises(ConfigError, match=next(iter(config))):
            FolderConfig(**config)  # type: ignore[arg-type]


# --- manifests -----------------------------------------------------------------------------------


def manifest(root: Path, entries: Any) -> None:
    put(root, "a.csv", PLAIN)
    put(root, "manifest.json", json.dumps(entries, ensure_ascii=False))


def entry(**fields: Any) -> dict[str, Any]:
    return {"file": "a.csv", **fields}


def test_a_manifest_describes_every_series(tmp_path: Path) -> None:
    manifest(
        tmp_path,
        {
            "p": entry(dataset="x", group="g", intervals=[[5, 6], [2, 3, "step_up"]], n=20),
            "e": entry(dataset="x", role="eval", intervals=[], unit="kPa", step_s=60),
            "g": entry(dataset="y", role="gold", zone="Asia/Shanghai", licence="MIT"),
            "s": entry(dataset="y", role="spare", epoch_unit="s", value_column="value"),
        },
    )
    found = source(tmp_path)
    assert found.list() == ["e", "g", "p", "s"]
    pool, gold, zoned, spare = (found.read(name) for name in "pegs")
    assert pool.intervals is not None
    assert [(i.start, i.end, i.label, i.basis) for i in pool.intervals] == [
        (2, 3, "step_up", Basis.IMPORTED),
        (5, 6, "anomaly", Basis.IMPORTED),
    ]
    assert (pool.role, pool.group) == (Role.POOL, "g")
    assert (gold.role, gold.group, gold.unit, gold.step_s) == (Role.GOLD, "e", "kPa", 60)
    assert gold.intervals == ()
    assert (zoned.role, zoned.intervals) == (Role.GOLD, None)
    assert zoned.zone == "Asia/Shanghai"
    assert zoned.meta == {"dataset": "y", "file": "a.csv", "licence": "MIT"}
    assert (spare.role, spare.epoch_unit) == (Role.SPARE, "s")


def test_the_configuration_fills_what_the_manifest_leaves_out(tmp_path: Path) -> None:
    manifest(tmp_path, {"a": entry(), "b": entry(zone="UTC")})
    found = source(tmp_path, zone="Asia/Shanghai", epoch_unit="s", decimal=".")
    assert [found.read(name).zone for name in "ab"] == ["Asia/Shanghai", "UTC"]
    assert found.read("a").epoch_unit == "s"


def test_filters(tmp_path: Path) -> None:
    manifest(
        tmp_path,
        {
            "a1": entry(dataset="x", role_same="eval"),
            "a2": entry(dataset="x"),
            "b1": entry(dataset="y", role="eval", role_same="pool"),
            "b2": entry(dataset="y", role="eval"),
            "c1": entry(dataset="y", role="spare"),
        },
    )
    assert source(tmp_path, datasets=["x"]).list() == ["a1", "a2"]
    assert source(tmp_path, datasets=["x", "y"]).list() == ["a1", "a2", "b1", "b2", "c1"]
    assert source(tmp_path, roles=["pool", "gold"]).list() == ["a1", "a2", "b1", "b2"]
    assert source(tmp_path, limit=1).list() == ["a1", "b1", "c1"]
    same = source(tmp_path, protocol="role_same")
    assert {name: same.read(name).role for name in same.list()} == {
        "a1": Role.GOLD,
        "b1": Role.POOL,
    }
    with pytest.raises(SourceError, match=r"no \['z'\].*It has \['x', 'y'\]"):
        source(tmp_path, datasets=["x", "z"]).list()


def test_the_first_rows_only(tmp_path: Path) -> None:
    manifest(tmp_path, {"a": entry(intervals=[[1, 2], [8, 12], [15, 16]], n=20), "b": entry()})
    found = source(tmp_path, max_rows=10)
    raw = found.read("a")
    assert len(raw) == 10
    assert raw.intervals is not None
    assert [(i.start, i.end) for i in raw.intervals] == [(1, 2), (8, 9)]
    assert raw.meta["cut_from_rows"] == 20
    assert found.read("b").intervals is None
    assert len(source(tmp_path, max_rows=20).read("a")) == 20


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], "not a JSON object"),
        ({"a": 5}, "'a': '5' is not an object"),
        ({"a": {}}, "'a': no file"),
        ({"a": {"file": 3}}, "'a': no file"),
        ({"a": entry(role="train")}, "role 'train' is not known"),
        ({"a": entry(group=3)}, "group 3 is not a text"),
        ({"a": entry(n="many")}, "n 'many' is not a whole number"),
        ({"a": entry(step_s=True)}, "step_s True is not a positive number"),
        ({"a": entry(role=["pool"])}, r"role \['pool'\] is not known"),
        ({"a": entry(n=10.5)}, "n 10.5 is not a whole number"),
        ({"a": entry(n=float("nan"))}, "n nan is not a whole number"),
        ({"a": entry(n=float("inf"))}, "n inf is not a whole number"),
        ({"a": entry(step_s=0)}, "step_s 0 is not a positive number"),
        ({"a": entry(intervals=5)}, "intervals 5 is not a list"),
        ({"a": entry(intervals=[[5, 2]])}, r"interval \[5, 2\] is not valid"),
        ({"a": entry(intervals=[[-1, 2]])}, r"interval \[-1, 2\] is not valid"),
        ({"a": entry(intervals=[5])}, "interval 5 has not the form of one"),
        ({"a": entry(intervals=[[1, 2, "x", 3]])}, "has not the form of one"),
        ({"a": entry(intervals=["ab"])}, "interval 'ab' has not the form of one"),
        ({"a": entry(intervals=[["x", 2]])}, "the row 'x' is not a whole number"),
        ({"a": entry(intervals=[[12.7, 30.9]])}, "the row 12.7 is not a whole number"),
        ({"a": entry(intervals=[[True, 3]])}, r"\[True, 3\], the row True is not a whole number"),
        ({"a": entry(intervals=[[1, 3, 7]])}, "the label is no text"),
        ({"a": entry(zome="UTC")}, r"key 'zome' is not known. Did you mean \"zone\"\? .*metadata"),
        ({"a": entry(Interval=[])}, r"key 'Interval' is not known. Did you mean \"intervals\""),
        ({"a": entry(metadata="x")}, "metadata 'x' is not an object"),
    ],
)
def test_broken_manifests_are_named(tmp_path: Path, entries: Any, words: str) -> None:
    manifest(tmp_path, entries)
    with pytest.raises(SourceError, match=words) as refused:
        source(tmp_path).list()
    assert str(tmp_path / "manifest.json") in str(refused.value)


def test_whole_numbers_may_be_written_as_floats_and_notes_have_a_place(tmp_path: Path) -> None:
    notes = {"zome": "a note", "units": 3}
    manifest(tmp_path, {"a": entry(n=20.0, intervals=[[1.0, 2]], metadata=notes, licence="MIT")})
    raw = only(tmp_path)
    assert [(i.start, i.end) for i in raw.intervals or ()] == [(1, 2)]
    assert raw.meta == {"zome": "a note", "units": 3, "licence": "MIT", "file": "a.csv"}


def test_a_manifest_that_is_no_json(tmp_path: Path) -> None:
    put(tmp_path, "manifest.json", "{")
    with pytest.raises(SourceError, match="not valid JSON"):
        source(tmp_path).list()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"file": "b.csv"}, "'b.csv' does not exist"),
        ({"file": "../a.csv"}, "leads out of"),
        ({"file": "/etc/passwd"}, "leads out of"),
        ({"file": "..\\a.csv"}, "leads out of"),
        ({"file": "a\0.csv"}, "leads out of"),
        ({"file": "x" * 5000}, "cannot be opened"),
        ({"n": 19}, "has 20 rows, its manifest says 19"),
        ({"value_column": "speed"}, "no column 'speed'"),
        ({"file": "wide.csv"}, r"several value columns \['x', 'y'\]"),
    ],
)
def test_series_that_do_not_fit_their_manifest(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    put(tmp_path, "wide.csv", "time,x,y\n1,2,3\n")
    manifest(tmp_path, {"a": entry(**fields)})
    with pytest.raises(SourceError, match=words):
        source(tmp_path).read("a")


# --- acquire -------------------------------------------------------------------------------------


def test_acquiring_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    manifest(
        tmp_path / "in",
        {"a": entry(intervals=[[1, 2]]), "数据集/🔥": entry(role="eval", intervals=[])},
    )
    seen: list[tuple[int, int, str]] = []
    config = {"path": str(tmp_path / "in")}
    for name in ("one", "two"):
        figures = acquire(build("folder", config), tmp_path / name, lambda *step: seen.append(step))
    assert figures == {"n_series": 2, "n_rows": 40, "n_with_truth": 2, "n_events": 1}
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    assert seen[:3] == [(0, 2, "a"), (1, 2, "数据集/🔥"), (2, 2, "done")]
    assert str(tmp_path) not in (tmp_path / "one" / "manifest.json").read_text("utf-8")
    assert RawStore.open(tmp_path / "one")["a"].intervals
    prepare_store(tmp_path / "one", tmp_path / "s", tmp_path / "t", PrepareConfig())
    assert SeriesStore.open(tmp_path / "s").ids(Role.GOLD) == ["数据集/🔥"]


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(SourceError, match="has no series"):
        acquire(source(tmp_path / "in"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_building_by_name(tmp_path: Path) -> None:
    assert isinstance(build("folder", FolderConfig(path=str(tmp_path))), FolderSource)
    assert build("folder").kind == "folder"
    with pytest.raises(ConfigError, match=r"'kafka' is not known.*folder"):
        build("kafka")
    with pytest.raises(ConfigError, match=r"no keys \['pathh'\]"):
        build("folder", {"pathh": "x"})


def test_numbers_in_a_float_parquet_column_are_kept_exactly(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=50)
    table = pa.table({"timestamp": T0 + np.arange(50), "value": values})
    pq.write_table(table, tmp_path / "a.parquet")
    assert numbers(only(tmp_path)) == values.tolist()
