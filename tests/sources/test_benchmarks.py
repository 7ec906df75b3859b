"""Readers of public benchmarks on small folders of the same shape, and what an import writes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsloop.annotations.journal import read_journal
from tsloop.errors import ConfigError, LabelSetError, SourceError
from tsloop.files import read_json, sha256_tree
from tsloop.intervals import Status
from tsloop.labels import builtin_label_set
from tsloop.loop.importing import Imported, import_benchmark
from tsloop.series.policies import PrepareConfig
from tsloop.series.prepare import prepare_store
from tsloop.series.raw import RawSeries
from tsloop.series.store import SeriesStore
from tsloop.series.types import Role
from tsloop.sources import acquire, build
from tsloop.sources.benchmarks import open_benchmark
from tsloop.sources.benchmarks.base import Benchmark, BenchmarkConfig

SAMPLES = os.environ.get("TSLOOP_TEST_SAMPLES", "")
MINUTES = [f"2014-02-14 {10 + i // 60:02}:{i % 60:02}:00" for i in range(60)]


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def rows(header: str, *columns: Any) -> str:
    lines = (",".join(map(str, row)) for row in zip(*columns, strict=True))
    return header + "\n" + "\n".join(lines) + "\n"


def opened(kind: str, path: Path, **settings: Any) -> Benchmark:
    return open_benchmark(kind, BenchmarkConfig(str(path), **settings))


def every(source: Benchmark) -> dict[str, RawSeries]:
    return {name: source.read(name) for name in source.list()}


def spans(raw: RawSeries) -> list[tuple[int, int]] | None:
    return None if raw.intervals is None else [(i.start, i.end) for i in raw.intervals]


@pytest.fixture
def nab(tmp_path: Path) -> Path:
    root = tmp_path / "NAB"
    for name in ("realA/a.csv", "realA/b.csv", "realB/c.csv"):
        put(root / "data" / name, rows("timestamp,value", MINUTES, range(60)))
    windows = [["2014-02-14 10:10:00.000000", "2014-02-14 10:20:00.000000"]]
    labels = {"realA/a.csv": windows, "realA/b.csv": [], "realZ/gone.csv": []}
    put(root / "labels" / "combined_windows.json", json.dumps(labels))
    points = {"realA/a.csv": ["2014-02-14 10:15:00"], "realA/b.csv": []}
    put(root / "labels" / "combined_labels.json", json.dumps(points))
    return root


def test_nab(nab: Path) -> None:
    source = opened("nab", nab)
    series = every(source)
    assert list(series) == ["nab/realA/a", "nab/realA/b", "nab/realB/c"]
    assert [spans(raw) for raw in series.values()] == [[(10, 20)], [], None]
    assert series["nab/realA/a"].meta["truth"] == "tolerance_window"
    assert list(source.skipped) == ["realZ/gone.csv"]
    points = every(opened("nab", nab, truth="points"))
    assert spans(points["nab/realA/a"]) == [(15, 15)]
    assert points["nab/realA/a"].meta["truth"] == "point"
    inner = every(opened("nab", nab / "data"))
    assert spans(inner["nab/realA/a"]) == [(10, 20)]
    assert len(opened("NAB", nab, limit=1).list()) == 1


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"realA/a.csv": [["2014-02-14 10:10:30", "2014-02-14 10:20:00"]]}, "is no row"),
        ([], "not a JSON object"),
    ],
)
def test_nab_labels_that_do_not_fit(nab: Path, labels: Any, words: str) -> None:
    put(nab / "labels" / "combined_windows.json", json.dumps(labels))
    with pytest.raises(SourceError, match=words):
        every(opened("nab", nab))


@pytest.mark.skipif(not SAMPLES, reason="TSLOOP_TEST_SAMPLES is not set")
def test_a_real_nab_file(tmp_path: Path) -> None:
    external = Path(SAMPLES) / "external"
    name = "realAWSCloudwatch/ec2_cpu_utilization_24ae8d.csv"
    put(tmp_path / "data" / name, (external / "nab_ec2_cpu_utilization_24ae8d.csv").read_text())
    windows = (external / "nab_combined_windows_slice.json").read_text()
    put(tmp_path / "combined_windows.json", windows)
    (raw,) = every(opened("nab", tmp_path)).values()
    assert len(raw) == 4032
    assert len(raw.intervals or ()) == 2
    stamps = [raw.timestamps[row].as_py() for row in spans(raw)[0]]  # type: ignore[index]
    assert stamps == [text[:19] for text in json.loads(windows)[name][0]]


def test_ucr(tmp_path: Path) -> None:
    values = np.arange(100.0)
    text = "\n".join(f"  {value:.7e}" for value in values)
    put(tmp_path / "x" / "001_UCR_Anomaly_DISTORTEDabc1_50_61_70.txt", text)
    put(tmp_path / "x" / "109_UCR_Anomaly_abc2_50_61_61.txt", "  ".join(map(str, values)))
    put(tmp_path / "readme.txt", "no series")
    source = opened("ucr", tmp_path, step_s=60)
    first, second = every(source).values()
    assert source.list() == ["ucr/001_DISTORTEDabc1", "ucr/109_abc2"]
    assert spans(first) == [(60, 69)]  # the name counts from one
    assert spans(second) == [(60, 60)]
    assert first.group == second.group == "ucr/abc"
    assert first.values.to_pylist() == values.tolist()
    times = first.timestamps.to_pylist()
    assert (times[1] - times[0]).total_seconds() == 60
    assert list(source.skipped) == ["readme.txt"]
    put(tmp_path / "002_UCR_Anomaly_z_5_9_70.txt", "1 2 3")
    with pytest.raises(SourceError, match="has 3 rows, but its name speaks of 9 to 70"):
        every(opened("ucr", tmp_path))


def test_tsb_ad(tmp_path: Path) -> None:
    marks = [int(i in (30, 31, 50)) for i in range(60)]
    put(
        tmp_path / "001_NAB_id_1_Facility_tr_20_1st_30.csv",
        rows("Data,Label", np.linspace(0, 1, 60), marks),
    )
    put(
        tmp_path / "002_SMD_id_7_Server_tr_20_1st_30.csv",
        rows("0,1,Label", range(60), range(60), marks),
    )
    put(tmp_path / "notes.csv", "a,b\n1,2\n")
    source = opened("tsb-ad", tmp_path)
    series = every(source)
    assert [name.partition("/")[2] for name in series] == [
        "001_NAB_id_1_Facility_tr_20_1st_30",
        "002_SMD_id_7_Server_tr_20_1st_30/0",
        "002_SMD_id_7_Server_tr_20_1st_30/1",
    ]
    assert {tuple(spans(raw) or ()) for raw in series.values()} == {((30, 31), (50, 50))}
    assert {raw.group for raw in series.values()} == {"tsb_ad/NAB_id_1", "tsb_ad/SMD_id_7"}
    assert list(source.skipped) == ["notes.csv"]
    put(tmp_path / "003_X_id_1_Y_tr_2_1st_30.csv", rows("Data,Label", range(9), [1] + [0] * 8))
    with pytest.raises(SourceError, match="first anomaly is in row 30"):
        every(opened("tsb_ad", tmp_path))


def test_kpi(tmp_path: Path) -> None:
    ids = ["k1", "k2"] * 40
    times = [1_500_000_000 + 60 * (i // 2) for i in range(80)]
    marks = [int(i in (20, 22)) for i in range(80)]
    put(tmp_path / "train.csv", rows("timestamp,value,label,KPI ID", times, range(80), marks, ids))
    put(tmp_path / "test.csv", rows("timestamp,value,KPI ID", times, range(80), ids))
    put(tmp_path / "truth.hdf", "x")
    source = opened("kpi", tmp_path)
    series = every(source)
    assert {name: spans(raw) for name, raw in series.items()} == {
        "kpi/test/k1": None,
        "kpi/test/k2": None,
        "kpi/train/k1": [(10, 11)],
        "kpi/train/k2": [],
    }
    assert series["kpi/test/k1"].group == series["kpi/train/k1"].group
    assert "HDF is not read" in source.skipped["truth.hdf"]
    assert [len(batch) for batch in source.batches(source.list())] == [2, 2]


def test_yahoo(tmp_path: Path) -> None:
    marks = [int(10 <= i < 13) for i in range(60)]
    put(
        tmp_path / "A1Benchmark" / "real_1.csv",
        rows("timestamp,value,is_anomaly", range(1, 61), range(60), marks),
    )
    header = "timestamps,value,anomaly,changepoint,trend,noise"
    epochs = [1_416_726_000 + 3600 * i for i in range(60)]
    zeros = [0] * 60
    put(
        tmp_path / "A3Benchmark" / "TS1.csv",
        rows(header, epochs, range(60), marks, zeros, zeros, zeros),
    )
    put(tmp_path / "A3Benchmark" / "all.csv", "name,n\na,1\n")
    source = opened("yahoo", tmp_path)
    real, synthetic = every(source).values()
    assert source.list() == ["yahoo/A1Benchmark/real_1", "yahoo/A3Benchmark/TS1"]
    assert spans(real) == spans(synthetic) == [(10, 12)]
    assert real.meta["times"] == "numbered"
    assert synthetic.timestamps.to_pylist() == [str(epoch) for epoch in epochs]
    assert source.skipped == {"A3Benchmark/all": "no column for the time"}


def test_what_is_no_benchmark(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'nope' is not known"):
        opened("nope", tmp_path)
    with pytest.raises(SourceError, match="does not exist"):
        opened("ucr", tmp_path / "none")
    with pytest.raises(SourceError, match="holds no series of ucr"):
        opened("ucr", tmp_path).list()
    with pytest.raises(SourceError, match=r"no combined_windows\.json"):
        opened("nab", tmp_path).list()
    with pytest.raises(ConfigError, match="truth"):
        opened("nab", tmp_path, truth="spans")


def imported(source: Benchmark, out: Path, **settings: Any) -> Imported:
    config = PrepareConfig(zone="UTC", duplicates="first", unsorted="sort")
    return import_benchmark(source, out, config, builtin_label_set(), **settings)


def test_an_import_is_a_folder_whose_gold_fits(nab: Path, tmp_path: Path) -> None:
    done = imported(opened("nab", nab), tmp_path / "in", gold_share=1.0)
    assert (done.n_series, done.n_gold, done.n_pool, done.n_unlabelled) == (3, 2, 1, 1)
    acquire(build("folder", {"path": str(tmp_path / "in")}), tmp_path / "raw")
    prepare_store(tmp_path / "raw", tmp_path / "series", tmp_path / "truth", PrepareConfig())
    store = SeriesStore.open(tmp_path / "series")
    records = read_journal(tmp_path / "in" / "gold.jsonl")
    assert [record.series_id for record in records] == store.ids(Role.GOLD)
    for record in records:
        assert record.series_sha256 == store.entry(record.series_id).sha256
    assert [record.result for record in records] == [Status.OK, Status.NONE]
    (event,) = records[0].intervals
    assert store["nab/realA/a"].timestamps[event.start] == event.t_start
    imported(opened("nab", nab), tmp_path / "again", gold_share=1.0)
    assert sha256_tree(tmp_path / "in") == sha256_tree(tmp_path / "again")


def test_an_import_repairs_what_is_declared_and_tells_what_it_leaves_out(
    nab: Path, tmp_path: Path
) -> None:
    stamps = [*MINUTES[:59], MINUTES[0]]
    put(nab / "data" / "realA" / "b.csv", rows("timestamp,value", stamps, range(60)))
    put(nab / "data" / "realB" / "c.csv", rows("timestamp,value", MINUTES, ["x"] * 60))
    done = imported(opened("nab", nab), tmp_path / "in")
    assert done.n_series == 2
    assert {repair["kind"] for repair in done.repairs} == {"unsorted", "duplicates"}
    assert "'x'" in done.refused["nab/realB/c"]
    report = read_json(tmp_path / "in" / "import.json")
    assert report["refused"] == done.refused
    assert report["skipped"] == done.skipped


def test_an_import_that_cannot_be_leaves_nothing(nab: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelSetError):
        imported(opened("nab", nab), tmp_path / "in", label="nothing")
    with pytest.raises(ConfigError, match="gold-share"):
        imported(opened("nab", nab), tmp_path / "in", gold_share=2.0)
    for name in ("realA/a", "realA/b", "realB/c"):
        put(nab / "data" / f"{name}.csv", "timestamp,value\n2014-02-14 10:10:00,1\n")
    with pytest.raises(SourceError, match="None of 3 series can be read"):
        imported(opened("nab", nab), tmp_path / "in")
    assert not (tmp_path / "in").exists()


def test_gold_and_pool_are_drawn_by_group(tmp_path: Path) -> None:
    for number in range(40):
        text = "\n".join(str(value) for value in range(50))
        name = f"{'NOISE' if number % 2 else ''}sig{chr(97 + number // 2)}"
        put(tmp_path / "ucr" / f"{number:03}_UCR_Anomaly_{name}_9_21_22.txt", text)
    done = imported(opened("ucr", tmp_path / "ucr"), tmp_path / "in")
    assert done.n_gold + done.n_pool == 40
    assert 8 <= done.n_gold <= 32
    roles: dict[str, set[str]] = {}
    for entry in read_json(tmp_path / "in" / "manifest.json").values():
        roles.setdefault(entry["group"], set()).add(entry["role"])
    assert len(roles) == 20
    assert all(len(role) == 1 for role in roles.values())
