"""The IoTDB source against a real server, where TSLOOP_TEST_IOTDB names one (host:port).

`docker compose -f docker/iotdb.yaml up -d` starts one; TSLOOP_IOTDB_PASSWORD is its password.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tsloop.errors import SourceError
from tsloop.files import sha256_tree
from tsloop.series.raw import RawStore
from tsloop.sources import acquire, build
from tsloop.sources.iotdb import PASSWORD

SERVER = os.environ.get("TSLOOP_TEST_IOTDB", "")
pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not SERVER, reason="TSLOOP_TEST_IOTDB is not set"),
]
DATABASE = f"root.tsloop_test_{os.getpid()}"
T0 = 1_700_000_000_000

FILL = """
import sys
from iotdb.Session import Session
from iotdb.utils.IoTDBConstants import TSDataType
host, port, password, database, t0 = sys.argv[1:]
session = Session(host, int(port), "root", password, zone_id="UTC")
session.open(False)
session.execute_non_query_statement(f"create database {database}")
names, kinds = ["`FI_1.PV`", "on"], [TSDataType.FLOAT, TSDataType.BOOLEAN]
times = [int(t0) + 1000 * i for i in range(3000) if i % 10]
session.insert_records_of_one_device(
    f"{database}.unit1", times, [names] * len(times), [kinds] * len(times),
    [[i / 8, i % 2 == 0] for i in range(len(times))])
session.close()
"""
DROP = """
import sys
from iotdb.Session import Session
session = Session(sys.argv[1], int(sys.argv[2]), "root", sys.argv[3], zone_id="UTC")
session.open(False)
session.execute_non_query_statement(f"delete database {sys.argv[4]}")
session.close()
"""


@pytest.fixture(scope="module")
def filled() -> Iterator[dict[str, object]]:
    """Settings for a database of our own on the real server; it is dropped at the end."""
    host, _, port = SERVER.partition(":")
    port = port or "6667"
    arguments = [host, port, os.environ.get(PASSWORD, "root"), DATABASE, str(T0)]
    subprocess.run([sys.executable, "-c", FILL, *arguments], check=True)
    yield {"host": host, "port": int(port), "devices": [f"{DATABASE}.**"]}
    subprocess.run([sys.executable, "-c", DROP, *arguments], check=True)


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, os.environ.get(PASSWORD, "root"))


def test_a_real_server_gives_what_was_put_there(filled: dict[str, object], tmp_path: Path) -> None:
    for name, cut in (("one", {}), ("two", {"fetch_rows": 100, "page_rows": 700, "jobs": 2})):
        acquire(build("iotdb", {**filled, **cut}), tmp_path / name)
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    store = RawStore.open(tmp_path / "one")
    flow, switch = (store[f"{DATABASE.removeprefix('root.')}.unit1/{n}"] for n in ("FI_1.PV", "on"))
    times = [T0 + 1000 * i for i in range(3000) if i % 10]
    assert flow.timestamps.to_pylist() == times
    assert flow.values.to_pylist() == [i / 8 for i in range(len(times))]
    assert switch.values.to_pylist() == [int(i % 2 == 0) for i in range(len(times))]


def test_a_real_server_refuses(filled: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="does not have"):
        build("iotdb", {**filled, "columns": ["FI_9.PV"]}).list()
    window = {"start": "2001-01-01", "end": "2002-01-01", "zone": "UTC", "columns": ["on"]}
    built = build("iotdb", {**filled, **window})
    with pytest.raises(SourceError, match=r"no row from 2001.*it has rows from 2023-11-14"):
        built.read(built.list()[0])
    monkeypatch.setenv(PASSWORD, "certainly wrong")
    with pytest.raises(SourceError, match="refuses user"):
        build("iotdb", filled).list()
