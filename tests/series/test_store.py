"""Raw store, series store and the prepare stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.errors import SeriesError, SeriesNotFoundError, SeriesValidationError
from tsloop.files import read_json, read_jsonl, sha256_tree, write_json
from tsloop.intervals import Basis, Interval
from tsloop.series.prepare import PrepareConfig, prepare_store
from tsloop.series.raw import RawSeries, RawStore, RawWriter, as_column
from tsloop.series.store import SeriesEntry, SeriesStore, SeriesWriter
from tsloop.series.tables import file_stem, read_table, write_table
from tsloop.series.types import Role, Series

T0 = 1_700_000_000
HOSTILE_IDS = [
    "plain",
    "zhlh_4c_1216/FI_10401C.PV",
    "数据集/温度",
    "🔥😀",
    "../../etc/passwd",
    "a\\b:c*?<>|",
    "nul\0byte",
    "Case",
    "case",
    "x" * 5000,
    " ",
    ".",
    "<img onerror=alert(1)>",
]


def raw(series_id: str = "a", n: int = 20, **fields: Any) -> RawSeries:
    values = np.random.default_rng(n).normal(size=n)
    values[3] = np.nan
    return RawSeries(series_id, T0 + 60 * np.arange(n), values, **fields)


def write_raw(directory: Path, *items: RawSeries) -> Path:
    with RawWriter(directory) as writer:
        for item in items:
            writer.add(item)
    return directory


def prepare(tmp_path: Path, *items: RawSeries, **config: Any) -> dict[str, int]:
    write_raw(tmp_path / "raw", *items)
    return prepare_store(
        tmp_path / "raw", tmp_path / "series", tmp_path / "truth", PrepareConfig(**config)
    )


# --- names and columns ---------------------------------------------------------------------------


def test_file_names_are_safe_and_never_shared() -> None:
    stems = [file_stem(series_id) for series_id in HOSTILE_IDS]
    assert len({stem.lower() for stem in stems}) == len(stems)
    for stem in stems:
        assert len(stem) <= 64
        assert stem.isascii()
        assert not set(stem) & set('/\\:*?"<>|\0 ')
        assert not stem.startswith(".")


@given(st.text(min_size=1, max_size=200))
def test_every_id_has_a_file_name(series_id: str) -> None:
    stem = file_stem(series_id)
    assert stem.isascii()
    assert Path(stem).name == stem


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ([1, 2], pa.int64()),
        (np.array([1, 2], dtype=np.uint8), pa.int64()),
        (np.array([2**63 + 1], dtype=np.uint64), pa.string()),
        (np.array([1.5], dtype=np.float32), pa.float64()),
        ([1.5, None], pa.float64()),
        ([None, None], pa.float64()),
        (["1", None], pa.string()),
        ([True, False], pa.string()),
        ([1.5, "Bad"], pa.string()),
        (pa.array(["a", "b"]).dictionary_encode(), pa.string()),
        (pa.chunked_array([[1], [2]]), pa.int64()),
        (pa.array(["1"], pa.large_string()), pa.string()),
        (pd.Series([1.0, np.nan]), pa.float64()),
        (pd.Series([1, 2], dtype="int64[pyarrow]"), pa.int64()),
        (pd.to_datetime(pd.Series(["2024-01-01"])), pa.timestamp("ns")),
        (pd.to_datetime(pd.Series(["2024-01-01T00:00Z"])), pa.timestamp("ns", "UTC")),
        (pa.array([10**12], pa.timestamp("s")), pa.string()),
        (pa.array([19_000], pa.date32()), pa.timestamp("ns")),
    ],
)
def test_columns_become_one_of_four_types(data: Any, kind: Any) -> None:
    column = as_column(data)
    assert column.type == kind
    assert len(column) == len(data)


def test_columns_that_are_no_columns_are_refused() -> None:
    with pytest.raises(SeriesError, match="neither time nor number"):
        as_column([[1], [2]])
    with pytest.raises(SeriesError, match="2 timestamps but 1 values"):
        RawSeries("a", [1, 2], [1.0])
    with pytest.raises(SeriesError, match="non-empty id"):
        RawSeries("", [1], [1.0])


# --- raw store -----------------------------------------------------------------------------------


def test_raw_series_come_back_as_found(tmp_path: Path) -> None:
    found = raw(
        "温度/1",
        group="g",
        role=Role.GOLD,
        unit="°C",
        zone="Asia/Shanghai",
        epoch_unit="s",
        decimal=",",
        thousands=".",
        step_s=60.0,
        intervals=(Interval(1, 2, "step_up", basis=Basis.IMPORTED),),
        timestamp_column="时间",
        value_column="值",
        meta={"source": "x", "n": 3},
    )
    text = RawSeries("text", ["2024-01-01", "b"], ["1,5", None])
    store = RawStore.open(write_raw(tmp_path / "raw", found, text))
    assert store.ids() == ["text", "温度/1"]
    assert "text" in store
    assert len(store) == len(list(store)) == 2
    again = store["温度/1"]
    for key in RawSeries.__dataclass_fields__:
        if key in ("timestamps", "values"):
            assert getattr(again, key).to_pylist() == pytest.approx(
                getattr(found, key).to_pylist(), nan_ok=True
            )
        else:
            assert getattr(again, key) == getattr(found, key), key
    assert store["text"].timestamps.to_pylist() == ["2024-01-01", "b"]
    assert store["text"].values.to_pylist() == ["1,5", None]
    assert store["text"].intervals is None


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    items = [raw(series_id, 30) for series_id in HOSTILE_IDS]
    one = write_raw(tmp_path / "one", *items)
    two = write_raw(tmp_path / "two", *reversed(items))
    assert sha256_tree(one) == sha256_tree(two)
    assert sorted(RawStore.open(one).ids()) == sorted(HOSTILE_IDS)
    assert not list(tmp_path.rglob("*passwd"))


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = write_raw(tmp_path / "raw", raw("old"))
    with pytest.raises(SeriesError, match="comes twice"):
        write_raw(target, raw("new"), raw("new"))
    assert RawStore.open(target).ids() == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_foreign_raw_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="acquire"):
        RawStore.open(tmp_path)
    write_json(tmp_path / "manifest.json", {"schema": "other"})
    with pytest.raises(SeriesError, match=r"not of schema tsloop.raw/1"):
        RawStore.open(tmp_path)
    store = RawStore.open(write_raw(tmp_path / "raw", raw()))
    with pytest.raises(SeriesNotFoundError):
        store["b"]


@pytest.mark.parametrize("name", ["../x.parquet", "/etc/passwd", "a\\b", "", "a\0b"])
def test_manifest_names_cannot_leave_the_directory(tmp_path: Path, name: str) -> None:
    directory = write_raw(tmp_path / "raw", raw())
    manifest = read_json(directory / "manifest.json")
    manifest["series"]["a"]["file"] = name
    write_json(directory / "manifest.json", manifest)
    with pytest.raises(SeriesError, match="leaves the directory"):
        RawStore.open(directory)["a"]


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(SeriesError, match="does not exist"):
        read_table(path, ["value"])
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(SeriesError, match="cannot be read"):
        read_table(path, ["value"])
    write_table(path, pa.table({"timestamp": [1]}))
    with pytest.raises(SeriesError, match=r"no \['value'\]"):
        read_table(path, ["timestamp", "value"])


# --- series store --------------------------------------------------------------------------------


def series(series_id: str = "a", n: int = 50, **fields: Any) -> Series:
    values = np.random.default_rng(n).normal(size=n)
    values[5:8] = np.nan
    return Series(series_id, (T0 + 60 * np.arange(n)) * 10**9, values, **fields)


def write_series(directory: Path, *items: Series, **settings: Any) -> SeriesStore:
    with SeriesWriter(directory, **settings) as writer:
        for item in items:
            writer.add(item)
    return SeriesStore.open(directory)


def test_series_come_back_bit_for_bit(tmp_path: Path) -> None:
    items = [series(series_id, 40 + i) for i, series_id in enumerate(HOSTILE_IDS)]
    store = write_series(tmp_path / "series", *items)
    for item in items:
        assert store[item.id].sha256 == item.sha256
        assert store.thumbnail(item.id).read_bytes().startswith(b"\x89PNG")
    assert list(store.entries) == sorted(HOSTILE_IDS)
    assert [item.id for item in store] == sorted(HOSTILE_IDS)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=30))
def test_every_value_comes_back(tmp_path_factory: pytest.TempPathFactory, xs: list[float]) -> None:
    item = Series("a", np.arange(len(xs)) * 7, np.array(xs))
    store = write_series(tmp_path_factory.mktemp("store") / "s", item, thumbnail_width=0)
    assert store["a"].sha256 == item.sha256
    assert store["a"].values.tobytes() == np.where(np.isnan(xs), np.nan, xs).tobytes()


def test_the_entry_describes_the_series(tmp_path: Path) -> None:
    item = series("a", group="g", role=Role.GOLD, unit="kPa", zone="Asia/Shanghai", meta={"x": 1})
    store = write_series(tmp_path / "series", item)
    entry = store.entry("a")
    assert entry == SeriesEntry(
        id="a",
        file=f"series/{file_stem('a')}.parquet",
        sha256=item.sha256,
        n_rows=50,
        group="g",
        role=Role.GOLD,
        unit="kPa",
        zone="Asia/Shanghai",
        step_ns=60 * 10**9,
        t_start=T0 * 10**9,
        t_end=(T0 + 49 * 60) * 10**9,
        n_missing=3,
        meta={"x": 1},
    )
    back = store["a"]
    assert (back.group, back.role, back.unit, back.zone) == ("g", Role.GOLD, "kPa", "Asia/Shanghai")
    assert back.meta == {"x": 1}
    assert store.ids(Role.GOLD) == ["a"]
    assert store.ids(Role.POOL) == []
    assert "a" in store
    assert "b" not in store
    assert len(store) == 1


def test_unknown_ids_name_their_neighbours(tmp_path: Path) -> None:
    store = write_series(tmp_path / "series", series("FI_10101A.PV"), series("TI_20202B.PV"))
    with pytest.raises(SeriesNotFoundError, match=r"FI_10101A\.PV"):
        store["FI_10101.PV"]
    with pytest.raises(SeriesNotFoundError, match="among the 2"):
        store.view("zzzz")


def test_views_are_stored_for_long_series_only(tmp_path: Path) -> None:
    store = write_series(
        tmp_path / "series", series("long", 5000), series("short", 30), view_points=400
    )
    assert len(list((tmp_path / "series" / "views").iterdir())) == 1
    for series_id in ("long", "short"):
        view, item = store.view(series_id), store[series_id]
        assert (np.diff(view.positions) > 0).all()
        assert (view.timestamps == item.timestamps[view.positions]).all()
        np.testing.assert_array_equal(view.values, item.values[view.positions])
    assert store.view("short").positions.tolist() == list(range(30))


def test_the_order_of_writing_does_not_change_the_bytes(tmp_path: Path) -> None:
    items = [series("a", 5000), series("b", 60)]
    write_series(tmp_path / "one", *items)
    write_series(tmp_path / "two", *reversed(items))
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")


def test_changed_content_is_noticed(tmp_path: Path) -> None:
    store = write_series(tmp_path / "series", series("a"))
    write_series(tmp_path / "other", series("a", 51))
    (tmp_path / "series" / store.entry("a").file).write_bytes(
        (tmp_path / "other" / store.entry("a").file).read_bytes()
    )
    with pytest.raises(SeriesError, match="does not hold what"):
        store["a"]


def test_a_series_store_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with SeriesWriter(tmp_path / "series", thumbnail_width=0) as writer:
        writer.add(series("a"))
        with pytest.raises(SeriesError, match="comes twice"):
            writer.add(series("a"))
        with pytest.raises(SeriesError, match="no rows"):
            writer.add(Series("empty", np.array([]), np.array([])))
    store = SeriesStore.open(tmp_path / "series")
    with pytest.raises(SeriesError, match="thumbnail_width"):
        store.thumbnail("a")
    with pytest.raises(SeriesError, match="prepare"):
        SeriesStore.open(tmp_path)
    write_json(tmp_path / "manifest.json", {"schema": "tsloop.raw/1"})
    with pytest.raises(SeriesError, match=r"tsloop\.series/1"):
        SeriesStore.open(tmp_path)


# --- prepare -------------------------------------------------------------------------------------


def test_prepare_writes_series_truth_and_figures(tmp_path: Path) -> None:
    told = (Interval(2, 4, "flatline", basis=Basis.SIMULATED),)
    figures = prepare(
        tmp_path,
        raw("b", intervals=told, role=Role.GOLD),
        raw("a", 30, intervals=()),
        raw("c", 25, role=Role.SPARE),
    )
    assert figures == {
        "n_series": 3,
        "n_pool": 1,
        "n_gold": 1,
        "n_spare": 1,
        "n_rows": 75,
        "n_missing": 3,
        "n_constant": 0,
        "n_refused": 0,
        "n_repairs": 0,
        "n_with_truth": 2,
        "n_events": 1,
    }
    store = SeriesStore.open(tmp_path / "series")
    rows = read_jsonl(tmp_path / "truth" / "intervals.jsonl")
    assert [row["series_id"] for row in rows] == ["a", "b"]
    assert rows[0]["intervals"] == []
    assert rows[1]["series_sha256"] == store["b"].sha256
    assert rows[1]["n_rows"] == 20
    assert rows[1]["intervals"] == [
        {
            "start": 2,
            "end": 4,
            "label": "flatline",
            "basis": "simulated",
            "t_start": (T0 + 120) * 10**9,
            "t_end": (T0 + 240) * 10**9,
        }
    ]
    assert read_jsonl(tmp_path / "series" / "repairs.jsonl") == []


def test_prepare_is_deterministic_and_reports_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    write_raw(tmp_path / "raw", raw("a"), raw("b"))
    for name in ("one", "two"):
        prepare_store(
            tmp_path / "raw",
            tmp_path / name / "series",
            tmp_path / name / "truth",
            PrepareConfig(),
            lambda *step: seen.append(step),
        )
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    assert seen[:3] == [(0, 2, "a"), (1, 2, "b"), (2, 2, "done")]


def test_declared_repairs_are_recorded(tmp_path: Path) -> None:
    stamps = T0 + 60 * np.arange(20)
    stamps[4] = stamps[3]
    values = [f"{i},5" for i in range(20)]
    bad = RawSeries("a", stamps, values, decimal=",")
    figures = prepare(tmp_path, bad, duplicates="last")
    assert figures["n_repairs"] == 2
    assert read_jsonl(tmp_path / "series" / "repairs.jsonl") == [
        {
            "series_id": "a",
            "kind": "number_format",
            "count": 20,
            "first_row": 0,
            "detail": "decimal sign ',', thousands sign ''",
        },
        {
            "series_id": "a",
            "kind": "duplicates",
            "count": 1,
            "first_row": 4,
            "detail": "kept the last of each timestamp",
        },
    ]


def broken(series_id: str) -> RawSeries:
    return RawSeries(series_id, T0 + np.arange(20), ["x"] * 20)


def test_one_bad_series_is_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(SeriesValidationError, match="Series 'bad', row 0") as caught:
        prepare(tmp_path, raw("a"), broken("bad"))
    assert caught.value.row == 0
    assert not (tmp_path / "series").exists()
    assert not (tmp_path / "truth").exists()


def test_all_bad_series_are_shown_at_once(tmp_path: Path) -> None:
    with pytest.raises(SeriesValidationError) as caught:
        prepare(tmp_path, raw("a"), raw("z"), *(broken(f"bad{i}") for i in range(7)))
    text = str(caught.value)
    assert "7 series are refused" in text
    assert "\n  7 series (bad0, bad1, bad2, …): 'x' is not a number" in text
    assert "(row 0, column 'value' of the first). Set prepare.text=gap" in text
    assert text.count("is not a number") == 1, "a reason is said once"
    assert "prepare.invalid=exclude" in text


def test_different_reasons_are_told_apart(tmp_path: Path) -> None:
    naive = [f"2026-01-01 00:{row:02d}:00" for row in range(20)]
    bare = [RawSeries(f"bare{i}", naive[i:], [1.0] * (20 - i)) for i in range(2)]
    with pytest.raises(SeriesValidationError) as caught:
        prepare(tmp_path, *(broken(f"bad{i}") for i in range(3)), *bare, raw("short", n=5))
    lines = str(caught.value).splitlines()
    assert lines[0] == "6 series are refused:"
    assert lines[1].startswith("  3 series (bad0, bad1, bad2): 'x' is not a number")
    assert lines[2].startswith("  2 series (bare0, bare1): '2026-01-01 00:00:00' has no time zone")
    assert lines[3].startswith("  Series 'short': 5 rows are fewer than 16")


def test_looking_for_bad_series_ends_somewhere(tmp_path: Path) -> None:
    with pytest.raises(SeriesValidationError, match=r"20\+ series"):
        prepare(tmp_path, *(broken(f"bad{i:03}") for i in range(40)))


def test_bad_series_can_be_left_out_with_a_record(tmp_path: Path) -> None:
    figures = prepare(tmp_path, raw("a"), broken("bad"), invalid="exclude")
    assert (figures["n_series"], figures["n_refused"], figures["n_repairs"]) == (1, 1, 0)
    assert SeriesStore.open(tmp_path / "series").ids() == ["a"]
    (row,) = read_jsonl(tmp_path / "series" / "repairs.jsonl")
    assert (row["series_id"], row["kind"]) == ("bad", "excluded")
    assert "is not a number" in row["detail"]
    with pytest.raises(SeriesValidationError, match="1 series is refused"):
        prepare(tmp_path, broken("bad"), invalid="exclude")


def test_groups_become_gold_by_list_and_by_hash(tmp_path: Path) -> None:
    items = [raw(f"s{i}", group=f"g{i}") for i in range(24)]
    prepare(tmp_path, *items, raw("spare", role=Role.SPARE, group="g1"), gold_groups=["g1"])
    store = SeriesStore.open(tmp_path / "series")
    assert store.ids(Role.GOLD) == ["s1"]
    prepare(tmp_path, *items, gold_share=0.3)
    drawn = SeriesStore.open(tmp_path / "series").ids(Role.GOLD)
    assert 2 <= len(drawn) <= 14
    prepare(tmp_path, *items[:12], gold_share=0.3)
    again = SeriesStore.open(tmp_path / "series").ids(Role.GOLD)
    assert again == [i for i in drawn if i in {item.id for item in items[:12]}]


def test_manifests_are_plain_json(tmp_path: Path) -> None:
    prepare(
        tmp_path,
        raw("a", intervals=(Interval(0, 1),)),
        RawSeries("c", T0 + np.arange(20), [1.0] * 20),
    )
    for path in tmp_path.rglob("manifest.json"):
        text = path.read_text(encoding="utf-8")
        assert "NaN" not in text
        assert str(tmp_path) not in text
        assert json.loads(text)["series"]
    assert SeriesStore.open(tmp_path / "series").entry("c").meta["constant"] is True
