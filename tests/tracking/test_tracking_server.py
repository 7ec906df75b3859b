"""The MLflow server that `tsloop tracking ui` starts: new enough, and for this machine only."""

from __future__ import annotations

import contextlib
import http.client
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from project_tools import tsloop as command
from tsloop.cli.mlflow_ui import links
from tsloop.errors import TrackingError
from tsloop.template import create_project
from tsloop.tracking.config import TrackingConfig
from tsloop.tracking.environment import FLOOR, check_floor, import_mlflow

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_floor_is_the_one_that_an_install_asks_for() -> None:
    wanted = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["dependencies"]
    (mlflow,) = [line for line in wanted if line.startswith("mlflow")]
    assert mlflow.startswith(f"mlflow>={FLOOR},")
    check_floor(import_mlflow().__version__)


@pytest.mark.parametrize("version", ["2.9.2", "3.4.0", "3.17.1", "3.9.9.dev0"])
def test_an_older_mlflow_is_refused(version: str) -> None:
    with pytest.raises(TrackingError, match=rf"MLflow {version} .*mlflow>={FLOOR}"):
        check_floor(version)


@pytest.mark.parametrize("version", [FLOOR, "3.17.10", "3.18.0rc1", "4.0"])
def test_a_newer_mlflow_is_taken(version: str) -> None:
    check_floor(version)


@pytest.fixture
def server(project_env: None, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A real server of an empty project: its port, and the process that `tsloop` is."""
    create_project(tmp_path / "project")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = (tmp_path / "server.log").open("w", encoding="utf-8")
    command = [sys.executable, "-m", "tsloop.cli", "tracking", "ui", "--port", str(port)]
    with (
        log,
        subprocess.Popen(
            command, cwd=tmp_path / "project", stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 180
            while not answers(port):
                assert process.poll() is None, (tmp_path / "server.log").read_text("utf-8")
                assert time.monotonic() < deadline
                time.sleep(0.3)
            yield port, process.pid
        finally:
            if process.poll() is None:
                for member in psutil.Process(process.pid).children(recursive=True):
                    member.kill()
                process.kill()


def answers(port: int) -> bool:
    try:
        return ask(port, "/health", f"127.0.0.1:{port}") == 200
    except OSError:
        return False


def ask(port: int, path: str, host: str, method: str = "GET", **headers: str) -> int:
    """The status that a request with this ``Host`` gets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_port_in_use_is_one_message_and_an_error(project_env: None, tmp_path: Path) -> None:
    create_project(tmp_path / "project")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = command(tmp_path / "project", "tracking", "ui", "--port", str(port), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"tsloop: Port {port} of 127.0.0.1 cannot be used")
    assert "tsloop tracking ui --port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_links_lead_to_the_runs_and_to_the_model(tmp_path: Path) -> None:
    config, path = TrackingConfig(), tmp_path / "mlflow.db"
    (model,) = links("http://x", config, "demo", f"sqlite:///{path}")
    assert model.split()[0] == "http://x/#/models/tsloop"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE experiments (experiment_id, name, lifecycle_stage)")
        database.execute("INSERT INTO experiments VALUES (7, 'tsloop/demo', 'active')")
        database.commit()
    runs = links("http://x", config, "demo", f"sqlite:///{path}")[0]
    assert runs.split()[0] == "http://x/#/experiments/7/runs"


@pytest.mark.slow
def test_no_server_outlives_the_command(server: tuple[int, int]) -> None:
    port, pid = server
    family = psutil.Process(pid).children(recursive=True)
    assert family
    psutil.Process(pid).terminate()
    psutil.wait_procs([psutil.Process(pid), *family], timeout=60)
    assert [member.pid for member in family if member.is_running()] == []
    assert not answers(port)


@pytest.mark.slow
def test_a_wrong_host_is_refused_and_nothing_listens_outside(server: tuple[int, int]) -> None:
    port, pid = server
    search = "/api/2.0/mlflow/experiments/search?max_results=1"
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert ask(port, search, host) == 200
    for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
        assert ask(port, search, host) == 403
    create = "/api/2.0/mlflow/experiments/create"
    foreign = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
    assert ask(port, create, f"127.0.0.1:{port}", "POST", **foreign) == 403
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    listening = [
        connection.laddr
        for member in family
        for connection in member.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {(place.ip, place.port) for place in listening} == {("127.0.0.1", port)}
