"""The IoTDB source against a server that speaks the protocol: what it reads, and how it fails."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tsloop.errors import ConfigError, MissingExtraError, SourceError
from tsloop.files import sha256_tree
from tsloop.series.prepare import PrepareConfig, prepare_store
from tsloop.series.raw import RawStore
from tsloop.series.store import SeriesStore
from tsloop.sources import acquire, build
from tsloop.sources._iotdb_wire import _column
from tsloop.sources.iotdb import PASSWORD, IotdbSource
from tsloop.testing._iotdb_data import Column, SqlError
from tsloop.testing.iotdb_server import IotdbServer

T0 = 1_700_000_000_000
UNIT = "root.plant.unit1"
FI = "plant.unit1/FI_1.PV"


_OPEN: list[IotdbSource] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def source(server: IotdbServer, **settings: Any) -> IotdbSource:
    settings = {"devices": ["root.plant.**"], "retry_wait_s": 0.0, **settings}
    built = build("iotdb", {"port": server.port, **settings})
    assert isinstance(built, IotdbSource)
    _OPEN.append(built)
    return built


def test_a_wildcard_lists_every_number(server: IotdbServer) -> None:
    assert source(server).list() == ["plant.`unit 2`/on", FI, "plant.unit1/TI_1.PV"]
    assert source(server, devices=["root.plant.*"], columns=["*I_1*"]).list() == [
        FI,
        "plant.unit1/TI_1.PV",
    ]
    assert source(server, limit=1).list() == ["plant.`unit 2`/on"]


def test_times_are_the_servers_and_gaps_stay_gaps(server: IotdbServer, tmp_path: Path) -> None:
    acquire(source(server, devices=[UNIT], zone="Asia/Shanghai"), tmp_path / "raw")
    prepare_store(tmp_path / "raw", tmp_path / "series", tmp_path / "truth", PrepareConfig())
    store = SeriesStore.open(tmp_path / "series")
    found = store["plant.unit1/TI_1.PV"]
    expected = T0 + 1000 * np.r_[0:400, 700:1000]
    assert found.timestamps.tolist() == (expected * 1_000_000).tolist()
    assert found.values.tolist() == (np.r_[0:400, 700:1000] % 7 / 8).tolist()
    assert found.zone == "Asia/Shanghai"


@pytest.mark.parametrize("precision", ["ms", "us", "ns"])
@pytest.mark.parametrize("announce", [True, False])
def test_the_precision_is_the_servers(
    precision: str, announce: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(PASSWORD, "root")
    factor = {"ms": 1, "us": 1000, "ns": 1_000_000}[precision]
    with IotdbServer(precision=precision, announce=announce) as server:
        server.add(f"{UNIT}.a", (T0 + np.arange(10)) * factor, np.arange(10))
        window = {"start": "2023-11-14 22:13:20.002", "end": "2023-11-14 22:13:20.006"}
        acquire(source(server, zone="UTC", **window), tmp_path / "raw")
    config = PrepareConfig(min_rows=1)
    prepare_store(tmp_path / "raw", tmp_path / "series", tmp_path / "truth", config)
    (series,) = (SeriesStore.open(tmp_path / "series")[i] for i in ["plant.unit1/a"])
    assert series.timestamps.tolist() == [(T0 + i) * 1_000_000 for i in range(2, 7)]
    assert series.values.tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]


def test_both_ends_of_the_range_belong_to_it_and_the_zone_counts(server: IotdbServer) -> None:
    window = {"start": "2023-11-15 06:13:20", "end": "2023-11-15 06:13:29"}
    raw = source(server, devices=[UNIT], zone="Asia/Shanghai", **window).read(FI)
    assert raw.timestamps.to_pylist() == [T0 + 1000 * i for i in range(10)]
    assert f"time >= {T0} and time <= {T0 + 9000}" in server.statements[-1]


def test_types_keep_their_values(server: IotdbServer) -> None:
    built = source(server)
    assert built.read("plant.`unit 2`/on").values.to_pylist() == [0, 1, 1, 0, 1]
    assert str(built.read("plant.unit1/TI_1.PV").values.type) == "double"
    with pytest.raises(SourceError, match="TEXT, which holds no numbers"):
        source(server, devices=[UNIT], columns=["state"]).read("plant.unit1/state")


@pytest.mark.parametrize(
    "name", ["a.b", "a`b", "*", "**", "with space", "1", "数据", "time", "x/y", "a,b", "`", "it's"]
)
def test_any_name_is_quoted_so_that_the_server_finds_it(server: IotdbServer, name: str) -> None:
    quoted = "`" + name.replace("`", "``") + "`"
    server.add(f"root.odd.{quoted}.{quoted}", [T0, T0 + 1], [1.5, 2.5])
    built = source(server, devices=[f"root.odd.{quoted}"], columns=[quoted])
    (only,) = built.list()
    assert only.endswith(f"/{name}")
    assert built.read(only).values.to_pylist() == [1.5, 2.5]


def test_acquiring_twice_gives_the_same_bytes_however_it_is_cut(
    server: IotdbServer, tmp_path: Path
) -> None:
    for number, cut in enumerate(
        [{"jobs": 1}, {"jobs": 3, "fetch_rows": 7, "page_rows": 50}, {"page_rows": 100}]
    ):
        acquire(source(server, **cut), tmp_path / str(number))
    assert len({sha256_tree(tmp_path / str(number)) for number in range(3)}) == 1


@pytest.mark.parametrize("answers", [1, 2, 4, 7])
def test_a_broken_connection_goes_on_where_it_broke(
    server: IotdbServer, tmp_path: Path, answers: int
) -> None:
    cut = {"fetch_rows": 100, "page_rows": 300, "jobs": 1}
    acquire(source(server, **cut), tmp_path / "whole")
    server.break_after(answers, times=3)
    acquire(source(server, **cut), tmp_path / "broken")
    assert sha256_tree(tmp_path / "whole") == sha256_tree(tmp_path / "broken")


def test_rows_are_limited_also_over_pages_and_breaks(server: IotdbServer) -> None:
    built = source(server, max_rows=250, page_rows=100, fetch_rows=50)
    assert len(built.read(FI)) == 250
    server.break_after(2, times=2)
    assert built.read(FI).values.to_pylist() == list(range(250))


def test_a_server_that_goes_midway_leaves_nothing(server: IotdbServer, tmp_path: Path) -> None:
    built = source(server, retries=2, page_rows=100, fetch_rows=100)

    def goes_away(done: int, total: int, what: str) -> None:
        if "300 rows" in what:
            server.stop()

    with pytest.raises(SourceError, match=r"(?s)Reading .* failed 3 times: .*nothing was written"):
        acquire(built, tmp_path / "raw", goes_away)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_comes_back_is_found_again(server: IotdbServer) -> None:
    built = source(server, retries=40, retry_wait_s=0.05)
    built.list()
    server.stop()
    timer = threading.Timer(0.2, server.start)
    timer.start()
    assert len(built.read(FI)) == 1000
    timer.join()


def test_a_session_that_the_server_forgot_is_opened_again(server: IotdbServer) -> None:
    built = source(server)
    built.list()
    server.service._sessions.clear()
    assert len(built.read(FI)) == 1000


@pytest.mark.parametrize("code", [602, 717, 720, 802])
def test_a_server_that_cannot_answer_now_is_asked_again(
    server: IotdbServer, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    built = source(server, retries=3)
    built.list()
    answer, refusals = server.service._query, [code] * 3

    def busy(sql: str) -> Any:
        if refusals:
            raise SqlError(refusals.pop(), "not now")
        return answer(sql)

    monkeypatch.setattr(server.service, "_query", busy)
    assert len(built.read(FI)) == 1000
    refusals.extend([code] * 99)
    with pytest.raises(SourceError, match=rf"failed 4 times: .*cannot answer now \({code}: not"):
        built.read(FI)
    refusals[:] = [701]
    with pytest.raises(SourceError, match=r"refuses a query \(701: not now\): select `FI_1.PV`"):
        built.read(FI)


@pytest.mark.parametrize("password", ["wrong", "", "root"])
def test_a_wrong_password(
    server: IotdbServer, monkeypatch: pytest.MonkeyPatch, password: str, tmp_path: Path
) -> None:
    monkeypatch.setenv(PASSWORD, password)
    with pytest.raises(SourceError, match=r"refuses user 'root' \(801: Authent.*PASSWORD") as told:
        acquire(source(server), tmp_path / "raw")
    assert not password or f"{password}'" not in str(told.value).replace("'root'", "")
    assert list(tmp_path.iterdir()) == []


def test_no_password_and_no_server(server: IotdbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD)
    with pytest.raises(SourceError, match=f"not set. Set it .* export {PASSWORD}="):
        source(server).list()
    server.stop()
    with pytest.raises(SourceError, match=r"127.0.0.1:\d+ cannot be reached.*source.host"):
        source(server, retries=99, retry_wait_s=60.0).list()


def test_unknown_paths_are_told_all_at_once(server: IotdbServer) -> None:
    with pytest.raises(SourceError, match=r"root.nowhere \(no such device") as told:
        source(server, devices=[UNIT, "root.nowhere"], columns=["FI_1.PW", "TI_1.PV"]).list()
    assert "`FI_1.PW` (did you mean FI_1.PV?)" in str(told.value)
    with pytest.raises(SourceError, match="no series 'x'"):
        source(server).read("x")


def test_an_empty_range_says_where_the_rows_are(server: IotdbServer, tmp_path: Path) -> None:
    window = {"start": "2020-01-01", "end": "2021-01-01", "zone": "UTC"}
    words = r"no row from 2020-01-01 00:00:00 UTC .* rows from 2023-11-14 22:13:20 UTC to"
    with pytest.raises(SourceError, match=words):
        acquire(source(server, **window), tmp_path / "raw")
    with pytest.raises(SourceError, match="None of the 3 series"):
        acquire(source(server, empty="skip", **window), tmp_path / "raw")
    assert list(tmp_path.iterdir()) == []
    server.add(f"{UNIT}.late", [T0 + 10**9], [1.0])
    window = {"start": "2023-11-20", "zone": "UTC", "empty": "skip"}
    figures = acquire(source(server, **window), tmp_path / "raw")
    assert figures["n_series"] == 1
    assert figures["n_empty"] == 3
    assert RawStore.open(tmp_path / "raw").ids() == ["plant.unit1/late"]


def test_something_else_than_iotdb(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv(PASSWORD, "x")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"\0\0\0\x08HTTP/1.1")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SourceError, match=r"source.host"):
            build("iotdb", {"port": port, "devices": [UNIT], "timeout_s": 5.0}).list()
        thread.join()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"devices": ["plant.unit1"]}, "does not begin with root"),
        ({"devices": ["root..x"]}, "not a path"),
        ({"devices": ["root.a b"]}, "not a path"),
        ({"port": 0}, "1 … 65535"),
        ({"jobs": 0}, "not positive"),
        ({"retries": -1}, "negative"),
        ({"start": "yesterday", "zone": "UTC"}, "not a time"),
        ({"start": "2023-01-01"}, "no time zone"),
        ({"start": "2023-10-29 02:30:00", "zone": "Europe/Berlin"}, "twice or never"),
        ({"start": "2023-03-26 02:30:00", "zone": "Europe/Berlin"}, "twice or never"),
        ({"start": "2024-01-02", "end": "2024-01-01", "zone": "UTC"}, "is after"),
        ({"zone": "Beijing"}, "Asia/Shanghai"),
        ({"empty": "ignore"}, "not known"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build("iotdb", settings)


def test_the_official_client_reads_the_same_from_the_small_server(server: IotdbServer) -> None:
    """The small server is worth something only if it is not made for our reader alone."""
    code = f"""
from iotdb.Session import Session
session = Session("127.0.0.1", {server.port}, "root", "s3cret", zone_id="UTC", fetch_size=150)
session.open(False)
found = session.execute_query_statement(
    "select `TI_1.PV` from {UNIT} where time >= {T0 + 5000} limit 500").todf()
print(found.shape, found.iloc[0, 0], found.iloc[-1, 0], found.iloc[:, 1].sum())
names = session.execute_query_statement("show timeseries root.**").todf()
print(sorted(names["Timeseries"]))
session.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept = np.r_[0:400, 700:1000][5:505]
    expected = f"(500, 2) {T0 + 5000} {T0 + 1000 * kept[-1]} {(kept % 7 / 8).sum()}"
    listed = [
        "root.plant.`unit 2`.on",
        f"{UNIT}.`FI_1.PV`",
        f"{UNIT}.`TI_1.PV`",
        f"{UNIT}.state",
    ]
    assert done.stdout.splitlines() == [expected, str(listed)]


def test_nulls_that_the_server_sends_are_gaps(server: IotdbServer) -> None:
    values = np.array([1.5, None, 3.5], object)
    server.database.columns["root", "odd", "a"] = Column(np.array([1, 2, 3]), values, "DOUBLE")
    raw = source(server, devices=["root.odd"]).read("odd/a")
    assert raw.values.to_pylist() == [1.5, None, 3.5]


@pytest.mark.parametrize(("kind", "wire"), [(4, ">f8"), (2, ">i8"), (3, ">f4"), (1, ">i4")])
def test_a_column_of_one_repeated_value(kind: int, wire: str) -> None:
    """The client leaves such a column as bytes."""
    packed = np.full(3, 7, wire).tobytes()
    values, missing = _column(packed, None, kind, 3)
    assert values.tolist() == [7, 7, 7]
    assert not missing.any()
    values, missing = _column(b"", np.ones(2, bool), kind, 2)
    assert missing.all()
    assert len(values) == 2


def test_rows_out_of_order_are_refused(server: IotdbServer) -> None:
    column = Column(np.array([T0, T0 + 5, T0 + 5]), np.zeros(3), "DOUBLE")
    server.database.columns["root", "odd", "a"] = column
    with pytest.raises(SourceError, match=r"2023-11-14 22:13:20.005 UTC out of order"):
        source(server, devices=["root.odd"]).read("odd/a")


def test_a_point_without_any_row(server: IotdbServer) -> None:
    server.add("root.odd.a", [], [])
    with pytest.raises(SourceError, match=r"from its beginning to its end; it has none at all"):
        source(server, devices=["root.odd"]).read("odd/a")


def test_a_unit_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "root")
    with IotdbServer(precision="week") as server, pytest.raises(SourceError, match="'week'"):
        source(server).list()


def test_one_point_asked_for_twice_with_two_times(server: IotdbServer, tmp_path: Path) -> None:
    both = {
        UNIT: {"columns": ["FI_1.PV"]},
        "root.plant.**": {"columns": ["FI_*"], "st": "2001-01-01"},
    }
    path = tmp_path / "points.json"
    path.write_text(json.dumps(both), encoding="utf-8")
    built = source(server, devices=[], points_file=str(path), zone="UTC")
    with pytest.raises(SourceError, match="asked for twice, with different times"):
        built.list()
    assert list(built.inputs()) == [str(path)]
    assert source(server).inputs() == {}


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "iotdb.thrift.rpc", None)
    with pytest.raises(MissingExtraError, match=r"tsloop\[iotdb\]"):
        build("iotdb", {"devices": [UNIT]}).list()


def test_an_encrypted_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "root")
    certificate, key = certificate_of("127.0.0.1", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with IotdbServer(tls=context) as server:
        server.add(f"{UNIT}.a", [T0, T0 + 1], [1.0, 2.0])
        trusting = source(server, ssl=True, ca_certs=str(certificate))
        assert trusting.read("plant.unit1/a").values.to_pylist() == [1.0, 2.0]
        with pytest.raises(SourceError, match="certificate verify failed"):
            source(server, ssl=True).list()  # nobody vouches for it
        with pytest.raises(SourceError, match="no-such-file"):
            source(server, ssl=True, ca_certs="no-such-file").list()


def certificate_of(host: str, place: Path) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address(host))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (place / "cert.pem").write_bytes(signed.public_bytes(pem))
    (place / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, plain))
    return place / "cert.pem", place / "key.pem"
