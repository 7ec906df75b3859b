"""Whoever changes a project waits for a plain `dvc`, and the other way round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from project_tools import dvc, hashes
from tsloop.errors import ProjectError
from tsloop.execution import dvc_lock
from tsloop.execution.dvc_lock import DvcCommand, dvc_commands, exclusive_project
from tsloop.loop.manager import IterationManager
from tsloop.project import Project

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def write_rwlock(root: Path, pid: int, command: str, *paths: str) -> None:
    entry = {"pid": pid, "cmd": command}
    data = {"write": {f"{root}/{p}": entry for p in paths}, "read": {f"{root}/data": [entry]}}
    (root / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(data), encoding="utf-8")


def test_a_living_dvc_keeps_others_out(repository: Path, sleeper: subprocess.Popen[bytes]) -> None:
    write_rwlock(repository, sleeper.pid, "/opt/env/bin/dvc repro", "models/it001/knn")
    (found,) = dvc_commands(repository)
    writes = frozenset({repository / "models/it001/knn"})
    assert found == DvcCommand(sleeper.pid, "dvc repro", writes)
    with (
        pytest.raises(ProjectError, match=rf"process {sleeper.pid} runs `dvc repro`"),
        exclusive_project(repository, "a test"),
    ):
        pytest.fail("entered")
    sleeper.kill()
    sleeper.wait()
    with exclusive_project(repository, "a test"):
        pass


def test_a_dead_pid_and_a_pid_given_away_again_are_ignored(
    repository: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    write_rwlock(repository, sleeper.pid, "/opt/dvc/__main__.py repro", "models/it001/knn")
    assert [found.command for found in dvc_commands(repository)] == ["dvc repro"]
    before = time.time() - 3600
    os.utime(repository / ".dvc" / "tmp" / "rwlock", (before, before))
    assert dvc_commands(repository) == [], "the process is younger than the entry"
    write_rwlock(repository, 2**22 + 7, "dvc repro", "models/it001/knn")
    assert dvc_commands(repository) == []
    with exclusive_project(repository, "a test"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"write": {"a": 1}}'])
def test_a_half_written_rwlock_names_nobody(repository: Path, text: str) -> None:
    (repository / ".dvc" / "tmp" / "rwlock").write_text(text, encoding="utf-8")
    assert dvc_commands(repository) == []


def test_whoever_started_this_process_does_not_keep_it_out(repository: Path) -> None:
    write_rwlock(repository, os.getppid(), "dvc repro", "models/it001/knn")
    with exclusive_project(repository, "a test"):
        pass


def test_dvc_between_two_stages_is_waited_for(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There its `lock` is held and its `rwlock` is empty."""
    monkeypatch.setattr(dvc_lock, "WAIT_S", 0.3)
    zc = pytest.importorskip("zc.lockfile")
    held = zc.LockFile(str(repository / ".dvc" / "tmp" / "lock"))
    with (
        pytest.raises(ProjectError, match=rf"DVC is at work.*process {os.getpid()}"),
        exclusive_project(repository, "a test"),
    ):
        pytest.fail("entered")
    monkeypatch.setattr(dvc_lock, "WAIT_S", 10.0)
    threading.Timer(0.3, held.close).start()
    with (
        exclusive_project(repository, "a test"),
        pytest.raises(zc.LockError),
    ):
        zc.LockFile(str(repository / ".dvc" / "tmp" / "lock"))
    zc.LockFile(str(repository / ".dvc" / "tmp" / "lock")).close()


def test_without_dvc_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    assert dvc_commands(tmp_path) == []
    with exclusive_project(tmp_path, "a test"):
        pass


def test_a_lock_made_of_links_is_left_alone(repository: Path) -> None:
    """Its existence is the lock: making the file would lock DVC out for ever."""
    (repository / ".dvc" / "config").write_text("[core]\n    hardlink_lock = true\n")
    with exclusive_project(repository, "a test"):
        assert not (repository / ".dvc" / "tmp" / "lock").exists()


@pytest.mark.slow
def test_nothing_changes_under_a_plain_repro(fresh: Project) -> None:
    (fresh.root / "dvc.yaml").write_text(
        "stages:\n  long:\n    cmd: sleep 60\n    outs: [long.txt]\n", encoding="utf-8"
    )
    before = hashes(fresh.root, "params.yaml", "conf/**/*")
    command = [sys.executable, "-m", "dvc", "repro"]
    with subprocess.Popen(command, cwd=fresh.root, start_new_session=True) as repro:
        try:
            deadline = time.monotonic() + 60
            while not dvc_commands(fresh.root):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            steward = IterationManager(fresh)
            for change in (steward.create_iteration, lambda: steward.delete("it002")):
                with pytest.raises(ProjectError, match=rf"process {repro.pid} runs `dvc repro`"):
                    change()
        finally:
            os.killpg(repro.pid, 9)
    assert hashes(fresh.root, *before) == before
    with exclusive_project(fresh.root, "a test"):
        said = dvc(fresh.root, "repro", check=False)
    assert "Unable to acquire lock" in said.stderr
