"""Point lists of the predecessor, and the spelling of paths."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.errors import ConfigError, SourceError
from tsloop.sources._iotdb_config import IotdbConfig
from tsloop.sources._iotdb_paths import join_path, parse_path, quote, unquote
from tsloop.sources._iotdb_points import requests
from tsloop.sources._iotdb_times import from_unit, parse_instant, to_unit
from tsloop.testing._iotdb_data import nodes_of, spelled

SAMPLES = os.environ.get("TSLOOP_TEST_SAMPLES", "")
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_path_survives_quoting(names: list[str]) -> None:
    text = join_path(("root", *map(quote, names)))
    assert [unquote(node) for node in parse_path(text)] == ["root", *names]
    assert nodes_of(text) == ("root", *names)  # as the server's own grammar reads it


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_path_of_the_server_is_read(names: list[str]) -> None:
    nodes = parse_path(spelled(("root", *names)))
    assert [unquote(node) for node in nodes] == ["root", *names]


@given(st.integers(0, 4 * 10**18), st.sampled_from(["ms", "us", "ns", "s"]))
def test_bounds_in_the_servers_unit_neither_lose_nor_add_a_row(instant: int, unit: str) -> None:
    factor = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    up, down = to_unit(instant, unit, up=True), to_unit(instant, unit, up=False)
    assert (up - 1) * factor < instant <= up * factor
    assert down * factor <= instant < (down + 1) * factor


def test_instants() -> None:
    assert parse_instant("", "", "k") is None
    assert parse_instant("1970-01-01T08:00:00+08:00", "", "k") == 0
    assert parse_instant("1970-01-01 08:00:01.5", "Asia/Shanghai", "k") == 1_500_000_000
    assert from_unit(1500, "ms") == "1970-01-01 00:00:01.5 UTC"
    assert from_unit(10**18, "s") == f"{10**18} s"


def write(path: Path, content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return str(path)


def entry(*columns: str, **times: str) -> dict[str, Any]:
    return {"columns": list(columns), "st": "2023-07-18 12:00:00", "et": "", **times}


def test_a_list_of_the_predecessor(tmp_path: Path) -> None:
    content = {"root.a.b": entry("FI_1.PV", "FI_1.PV", "数 据"), "root.c": entry()}
    path = write(tmp_path / "points.json", content)
    (found,) = requests(IotdbConfig(points_file=path, zone="Asia/Shanghai"))
    assert (found.device, found.columns) == ("root.a.b", ("FI_1.PV", "数 据"))
    assert found.start == parse_instant("2023-07-18T12:00:00+08:00", "", "")
    assert found.end is None
    (other,) = requests(IotdbConfig(points_file=path, start="2024-01-01T00:00:00Z", zone="UTC"))
    assert other.start == parse_instant("2024-01-01T00:00:00Z", "", "")


def test_a_list_of_names(tmp_path: Path) -> None:
    path = write(tmp_path / "points.txt", "\ufeffFI_1.PV\n\n# old ones\r\nTI_1.PV\nFI_1.PV\n")
    (found,) = requests(IotdbConfig(points_file=path, devices=["root.a.b"]))
    assert found.columns == ("FI_1.PV", "TI_1.PV")
    with pytest.raises(SourceError, match=r"asks for no point.*needs source.devices"):
        requests(IotdbConfig(points_file=path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ({"root.a": []}, "not an object"),
        ({"root.a": {"columns": "x"}}, "not a list of names"),
        ({"root.a": {"columns": [1]}}, "not a list of names"),
        ({"root.a": {"colums": []}}, "unknown keys"),
        ({"root.a": {"columns": ["x"], "st": 5}}, "not a text"),
        ({"root.a": entry("x", et="2001-01-01")}, "ends before it begins"),
        ({"root.a": entry()}, "asks for no point"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, content: Any, words: str) -> None:
    path = write(tmp_path / "p.json", content)
    with pytest.raises(SourceError, match=words):
        requests(IotdbConfig(points_file=path, zone="UTC"))


def test_a_list_needs_a_zone_and_no_second_choice(tmp_path: Path) -> None:
    path = write(tmp_path / "p.json", {"root.a": entry("x")})
    with pytest.raises(ConfigError, match="no time zone"):
        requests(IotdbConfig(points_file=path))
    with pytest.raises(ConfigError, match="Leave one of them out"):
        requests(IotdbConfig(points_file=path, devices=["root.b"], zone="UTC"))
    with pytest.raises(SourceError, match="cannot be read"):
        requests(IotdbConfig(points_file=str(tmp_path / "none"), zone="UTC"))


@pytest.mark.skipif(not SAMPLES, reason="TSLOOP_TEST_SAMPLES is not set")
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("test_points_config.json", [443]),
        ("test_points_config_gold.json", [100]),
        ("local_points_config.json", [7]),
        ("uncertain_points_config.json", [75]),
        ("train_points.txt", [337]),
    ],
)
def test_the_real_lists(name: str, counts: list[int]) -> None:
    path = str(Path(SAMPLES) / "points" / name)
    devices = ["root.x"] if name.endswith(".txt") else []
    found = requests(IotdbConfig(points_file=path, devices=devices, zone="Asia/Shanghai"))
    assert sum(len(request.columns) for request in found) == sum(counts)
