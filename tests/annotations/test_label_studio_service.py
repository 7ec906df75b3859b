"""A round trip through a real Label Studio, which is started from an environment of its own::

python -m venv ls && ls/bin/pip install label-studio==1.23.0
TSLOOP_TEST_LABEL_STUDIO=ls/bin/label-studio pytest -m services tests/annotations
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance_tools import LABELS, MemoryStore, make_series, without_origin

from tsloop.annotations.formats.base import ReadOptions, WriteContext
from tsloop.annotations.formats.binding import Binder
from tsloop.annotations.formats.exporting import export_records
from tsloop.annotations.formats.losses import held_part
from tsloop.annotations.formats.registry import detect_format, get_format
from tsloop.annotations.formats.source import Source
from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Basis, Interval, Status

COMMAND = os.environ.get("TSLOOP_TEST_LABEL_STUDIO", "")
TOKEN = "0123456789abcdef0123456789abcdef01234567"
PATIENCE_S = 300

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not COMMAND, reason="TSLOOP_TEST_LABEL_STUDIO names no label-studio"),
]


class Server:
    """The API of a running Label Studio."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        head = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, head, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("label-studio")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(COMMAND, "start", "--no-browser", "--port", str(port), "--internal-host", "127.0.0.1"),
        *("--data-dir", str(directory), "--username", "li@example.com", "--password", "secret12"),
        *("--user-token", TOKEN, "--enable-legacy-api-token", "--log-level", "WARNING"),
    ]
    quiet = {"COLLECT_ANALYTICS": "0", "LATEST_VERSION_CHECK": "0", "SENTRY_DSN": ""}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | quiet
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log)
        try:
            server = Server(f"http://127.0.0.1:{port}")
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    server.call("GET", "/api/projects/")
                    break
                except (urllib.error.URLError, OSError):
                    if process.poll() is not None or time.monotonic() > deadline:
                        pytest.fail((directory / "log").read_text("utf-8", "replace")[-2000:])
                    time.sleep(1)
            yield server
        finally:
            process.terminate()
            process.wait(60)


SERIES = [make_series(f"plant/FI_{n}.PV", 300, seed=n) for n in range(4)]
STORE = MemoryStore(*SERIES)


def record(number: int, *spans: tuple[int, int, str], basis: Basis) -> AnnotationRecord:
    series = SERIES[number]
    intervals = tuple(
        Interval(
            *span,
            score=0.75 if basis is Basis.MODEL else None,
            reason="原因",
            basis=basis,
            t_start=int(series.timestamps[span[0]]),
            t_end=int(series.timestamps[span[1]]),
        )
        for span in spans
    )
    overall = {"trend": "increase", "noise": "none"} if basis is Basis.HUMAN else {}
    return AnnotationRecord(
        series.id,
        series.sha256,
        len(series),
        Status.OK if spans else Status.NONE,
        LABELS.ref,
        intervals,
        overall=overall,
    )


def exported(server: Server, project: int, tmp_path: Path) -> Source:
    path = tmp_path / "project.json"
    url = f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true"
    path.write_text(json.dumps(server.call("GET", url)), "utf-8")
    return Source.open(path)


def test_tasks_open_and_what_people_submit_comes_back(server: Server, tmp_path: Path) -> None:
    records = [
        record(
            0, (3, 3, "upward_spike"), (7, 90, "step_up"), (80, 95, "flatline"), basis=Basis.HUMAN
        ),
        record(1, basis=Basis.HUMAN),
        record(2, (0, 0, "dropout"), (299, 299, "clipping"), basis=Basis.MODEL),
    ]
    target = get_format("label_studio")
    files = dict(export_records(target, records, WriteContext(STORE, LABELS)).files)
    config = files["label_config.xml"].decode()
    project = server.call("POST", "/api/projects/", {"title": "tsloop", "label_config": config})[
        "id"
    ]
    tasks = json.loads(files["tasks.json"])
    counted = server.call("POST", f"/api/projects/{project}/import", tasks)
    assert (counted["task_count"], counted["annotation_count"]) == (3, 2)
    assert counted["prediction_count"] == 1

    source = exported(server, project, tmp_path)
    assert detect_format(source) is target
    reading = target.read(source, ReadOptions())
    assert reading.failures == ()
    assert [skip.reason for skip in reading.skipped] == ["nobody annotated it"]  # predicted alone
    bound = [Binder(STORE, LABELS).bind(item) for item in reading.records]
    found = {item.record.series_id: item for item in bound}
    for one in records[:2]:
        held = held_part(one, target.holds, LABELS)
        again = without_origin(found[one.series_id].record).replace(author="", time="")
        assert again == held
        assert found[one.series_id].record.time  # when it was submitted, in UTC

    # Somebody takes the prediction over, corrected, as the browser does.
    (task,) = [
        t
        for t in server.call("GET", f"/api/tasks?project={project}&fields=all")["tasks"]
        if t["data"]["series_id"] == SERIES[2].id
    ]
    regions = task["predictions"][0]["result"] if task.get("predictions") else []
    assert [r["value"]["timeserieslabels"] for r in regions] == [["掉零"], ["削顶饱和"]]
    server.call("POST", f"/api/tasks/{task['id']}/annotations/", {"result": regions[:1]})
    reading = target.read(exported(server, project, tmp_path), ReadOptions())
    (judged,) = [
        Binder(STORE, LABELS).bind(item) for item in reading.records if item.name == SERIES[2].id
    ]
    assert judged.proposed is False
    assert [(i.start, i.end, i.label, i.basis) for i in judged.record.intervals] == [
        (0, 0, "dropout", Basis.IMPORTED)
    ]
