"""``tsloop tracking ui``: MLflow's own server for as long as the command runs, and no longer."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import FrameType

import psutil
import typer

from tsloop.config.params import read_params
from tsloop.config.schema import section
from tsloop.errors import TrackingError
from tsloop.project import Project
from tsloop.tracking.config import TrackingConfig, store_uri
from tsloop.tracking.store import experiment_name

__all__ = ["links", "serve"]

HOST = "127.0.0.1"
_PATIENCE_S = 10.0


def serve(project: Project, port: int) -> int:
    """Serve the project's store until MLflow ends, Ctrl-C or SIGTERM; returns the exit code.

    Whatever ends this process that it can notice, the server and its workers go with it.
    """
    params = read_params(project)
    config: TrackingConfig = section(params, "tracking")
    uri = store_uri(project.root, config)
    _check_free(port)
    typer.echo(f"http://{HOST}:{port}  (Ctrl-C ends it; store {uri})")
    for line in links(f"http://{HOST}:{port}", config, params["project"]["name"], uri):
        typer.echo(line)
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    process = subprocess.Popen(
        [*command, "--workers", "1", "--backend-store-uri", uri], env=environment
    )
    try:
        code = process.wait()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    finally:
        _end_family(process.pid)
    return code if code >= 0 else 128 - code


def links(address: str, config: TrackingConfig, project_name: str, uri: str) -> list[str]:
    """Where in MLflow to look: the runs of the project and its registered model."""
    found = []
    experiment = _experiment_id(uri, experiment_name(config, project_name))
    if experiment:
        found.append(f"  {address}/#/experiments/{experiment}/runs   runs, side by side")
    return [*found, f"  {address}/#/models/{config.registered_model}   the model and its champion"]


def _experiment_id(uri: str, name: str) -> str:
    """Straight from SQLite, for MLflow takes seconds to import; empty where it is not there."""
    found = re.match(r"sqlite(?:\+\w+)?:///(.+)", uri)
    path = Path(found.group(1)) if found else None
    if path is None or not path.is_file():
        return ""
    query = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database,
    ):
        row = database.execute(query, (name,)).fetchone()
        return str(row[0]) if row else ""
    return ""


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise TrackingError(
                f"Port {port} of {HOST} cannot be used: {error}.",
                hint="Choose another one: tsloop tracking ui --port 5001",
            ) from error


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _end_family(pid: int) -> None:
    """End a process and all that it started: first by asking, then by force."""
    try:
        head = psutil.Process(pid)
        family = [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    for member in psutil.wait_procs(family, timeout=_PATIENCE_S)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
