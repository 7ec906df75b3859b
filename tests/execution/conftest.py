"""Helpers for tests with real processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tsloop.execution.base import ExecutorConfig
from tsloop.execution.jobs import kill_leftovers
from tsloop.execution.local import LocalExecutor


@pytest.fixture(autouse=True)
def _started_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may themselves run inside a job or a DVC stage."""
    for name in ("DVC_STAGE", "DVC_ROOT", "TSLOOP_JOB_DIR", "TSLOOP_RUNNER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until a condition holds; an assertion fails after 20 s."""

    def wait(condition: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.03)

    return wait


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    """A local executor with one slot and a short grace time, cleaned up afterwards."""
    local = LocalExecutor(tmp_path, ExecutorConfig(slots=1, grace_s=1.0))
    yield local
    for job in local.list():
        local.cancel(job.id)
        kill_leftovers(local.jobs_dir / job.id)


@pytest.fixture
def py() -> Callable[[str], list[str]]:
    """The command that runs a piece of Python."""
    return lambda code: [sys.executable, "-S", "-c", code]
