"""No orphan goes on writing, and one at a time holds the project. With real processes."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tsloop.errors import ProjectError
from tsloop.execution.guard import (
    ParentWatch,
    Responsible,
    die_with_parent,
    find_dvc,
    lock_owner,
    project_lock,
)
from tsloop.execution.processes import ProcessRef, ancestors, reference, this_process

Eventually = Callable[..., None]

STAGE = """
import os, sys, time
from pathlib import Path
from tsloop.execution.guard import die_with_parent
out = Path(sys.argv[1])
try:
    watch = die_with_parent()
except Exception as error:
    (out / "refused").write_text(str(error))
    sys.exit(3)
import subprocess
helper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(100)"])
(out / "helper").write_text(str(helper.pid))
(out / "watched").write_text(str(watch is not None))
(out / "stage.tmp").write_text(str(os.getpid()))
(out / "stage.tmp").rename(out / "stage")
while True:
    with (out / "alive").open("a") as stream:
        stream.write("x")
    time.sleep(0.01)
"""

RUN = """
import subprocess, sys
subprocess.run(sys.argv[1:])
"""


@dataclass
class Theatre:
    """A fake dvc, a shell and a stage, in a directory of their own."""

    path: Path
    eventually: Eventually

    def start(
        self, runner: str, *, shell: str = "{stage}; true", stage_name: str = ""
    ) -> subprocess.Popen[bytes]:
        """``runner SHELL -c STAGE``, in a session of its own; returns once the stage works."""
        (self.path / "stage.py").write_text(STAGE)
        (self.path / runner).write_text(RUN)
        stage = f"{sys.executable} {self.path / 'stage.py'} {self.path}"
        env = {**os.environ, **({"DVC_STAGE": stage_name} if stage_name else {})}
        inner = ["/bin/sh", "-c", shell.format(stage=stage)]
        if stage_name:  # as DVC does: the stage knows, the runner does not
            inner = ["/usr/bin/env", f"DVC_STAGE={stage_name}", *inner]
            env.pop("DVC_STAGE")
        process = subprocess.Popen(
            [sys.executable, str(self.path / runner), *inner], env=env, start_new_session=True
        )
        self.eventually((self.path / "stage").exists, 60)
        self.eventually((self.path / "alive").exists)
        return process

    def pid(self, name: str) -> int:
        return int((self.path / name).read_text())

    def grows(self, seconds: float = 0.3) -> bool:
        size = (self.path / "alive").stat().st_size
        time.sleep(seconds)
        return (self.path / "alive").stat().st_size > size


@pytest.fixture
def theatre(tmp_path: Path, eventually: Eventually) -> Iterator[Theatre]:
    yield Theatre(tmp_path, eventually)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(tmp_path) in process.cmdline():
                process.kill()
    for name in ("stage", "helper"):
        if (tmp_path / name).exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((tmp_path / name).read_text()), signal.SIGKILL)


def gone(pid: int) -> bool:
    return reference(pid) is None


@pytest.mark.parametrize("shell", ["{stage}; true", "exec {stage}"])
def test_kill_of_dvc_ends_the_stage(theatre: Theatre, shell: str) -> None:
    dvc = theatre.start("dvc", shell=shell)
    stage = psutil.Process(theatre.pid("stage"))
    above = [p for p in stage.parents() if p.pid != dvc.pid and p.cmdline()[:1] == ["/bin/sh"]]
    assert (theatre.path / "watched").read_text() == "True"
    dvc.kill()  # this one only; it stays a zombie until it is waited for
    theatre.eventually(lambda: gone(stage.pid), 3)
    assert not theatre.grows()
    assert all(gone(shell.pid) for shell in above)
    if shell == "{stage}; true":
        assert gone(theatre.pid("helper"))
    dvc.wait()


def test_kill_of_the_shell_ends_the_stage(theatre: Theatre) -> None:
    dvc = theatre.start("dvc")
    stage = theatre.pid("stage")
    parent = psutil.Process(stage).parent()
    assert parent is not None
    assert parent.pid != dvc.pid
    parent.kill()
    theatre.eventually(lambda: gone(stage), 3)
    dvc.wait()


def test_dvc_used_as_a_library_is_found_by_its_stage(theatre: Theatre) -> None:
    program = theatre.start("program.py", stage_name="fit@it001")
    stage = theatre.pid("stage")
    program.kill()
    theatre.eventually(lambda: gone(stage), 3)
    program.wait()


def test_a_stage_started_by_hand_is_left_alone(theatre: Theatre) -> None:
    terminal = theatre.start("terminal.py")
    assert (theatre.path / "watched").read_text() == "False"
    shell = psutil.Process(theatre.pid("stage")).parent()
    assert shell is not None
    terminal.kill()
    terminal.wait()
    shell.kill()
    time.sleep(1.5)
    assert theatre.grows()


def test_a_stage_whose_dvc_died_before_it_looked(theatre: Theatre) -> None:
    (theatre.path / "stage.py").write_text(STAGE)
    # The shell in the middle ends at once, so the stage is nobody's child when it looks.
    code = f"sleep 0.2; {sys.executable} {theatre.path / 'stage.py'} {theatre.path}"
    env = {**os.environ, "DVC_STAGE": "fit@it001"}
    middle = ["/bin/sh", "-c", f"({code}) </dev/null >/dev/null 2>&1 &"]
    subprocess.run(middle, env=env, check=True, start_new_session=True)
    refused = theatre.path / "refused"
    theatre.eventually(lambda: refused.exists() and refused.read_text(), 60)
    assert "fit@it001" in refused.read_text()
    assert not (theatre.path / "alive").exists()


def test_nobody_is_responsible_for_these_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    assert die_with_parent() is None
    monkeypatch.setenv("TSLOOP_RUNNER", ProcessRef(1, "never", this_process().host).to_text())
    with pytest.raises(ProjectError, match="supervisor"):
        die_with_parent()
    monkeypatch.setenv("TSLOOP_RUNNER", ProcessRef(1, "never", "elsewhere").to_text())
    assert die_with_parent() is None


def test_a_python_program_above_counts_as_dvc_only_with_its_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_dvc(ancestors()) is None
    monkeypatch.setenv("DVC_STAGE", "fit@it001")
    assert find_dvc([]) is None
    found = find_dvc([psutil.Process()])  # this very program: Python, started without the variable
    assert found is not None
    assert found.process == this_process()
    assert find_dvc([psutil.Process()], runner=this_process()) is None  # adopts, never runs DVC


def test_a_watch_can_be_stopped() -> None:
    watch = ParentWatch([Responsible(this_process())], interval_s=0.01)
    watch.start()
    time.sleep(0.05)
    watch.stop()
    watch.join(5)
    assert not watch.is_alive()


def hold(project: Path, code: str) -> subprocess.Popen[str]:
    """A process that takes the lock, says so, and runs some code."""
    program = (
        "import os, subprocess, sys, time; from pathlib import Path\n"
        "from tsloop.execution.guard import project_lock\n"
        "project = Path(sys.argv[1])\n"
        f"with project_lock(project, 'dvc repro'):\n    print('held', flush=True)\n    {code}"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(project)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_holds_the_project(tmp_path: Path) -> None:
    other = hold(tmp_path, "sys.stdin.readline()")
    with (
        pytest.raises(ProjectError, match=rf"process {other.pid}, dvc repro, since"),
        project_lock(tmp_path, "tsloop gc"),
    ):
        pass
    owner = lock_owner(tmp_path)
    assert owner is not None
    assert owner.process.pid == other.pid
    said: list[str] = []
    threading.Timer(0.3, lambda: other.communicate("\n")).start()
    with project_lock(tmp_path, "tsloop gc", wait_s=math.inf, on_wait=said.append, poll_s=0.02):
        held = lock_owner(tmp_path)
        assert held is not None
        assert held.what == "tsloop gc"
    assert len(said) == 1
    assert "dvc repro" in said[0]
    assert lock_owner(tmp_path) is None
    assert other.wait(20) == 0


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    other = hold(tmp_path, "sys.stdin.readline()")
    other.kill()
    other.communicate()
    assert (tmp_path / ".tsloop" / "run.lock").exists()
    assert lock_owner(tmp_path) is None
    with project_lock(tmp_path, "again"):
        pass


def test_what_the_owner_started_may_enter(tmp_path: Path) -> None:
    inner = (
        "subprocess.run([sys.executable, '-c', 'import sys, pathlib; "
        "from tsloop.execution.guard import *; "
        'cm = project_lock(pathlib.Path(sys.argv[1]), "inner"); cm.__enter__(); '
        "print(lock_owner(pathlib.Path(sys.argv[1])).what); cm.__exit__(None, None, None)', "
        "sys.argv[1]], check=True); print((project / '.tsloop/run.lock').exists())"
    )
    process = hold(tmp_path, inner)
    assert process.communicate()[0] == "dvc repro\nTrue\n"
    assert process.returncode == 0


def test_the_same_process_does_not_enter_twice(tmp_path: Path) -> None:
    with (
        project_lock(tmp_path, "outer"),
        pytest.raises(ProjectError, match="outer"),
        project_lock(tmp_path, "inner"),
    ):
        pass
    with project_lock(tmp_path, "free again"):
        pass


def test_other_machines_count_as_alive_and_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / ".tsloop" / "run.lock"
    path.parent.mkdir()
    far = {"pid": 1, "started": "x", "host": "elsewhere"}
    path.write_text(json.dumps({"process": far, "what": "fit", "since": "yesterday"}))
    with (
        pytest.raises(ProjectError, match=r"on elsewhere.*delete"),
        project_lock(tmp_path, "mine"),
    ):
        pass
    path.write_text("{}")
    with pytest.raises(ProjectError, match="not a lock file"):
        lock_owner(tmp_path)


def test_only_one_of_many_threads_gets_the_lock(tmp_path: Path) -> None:
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        with project_lock(tmp_path, "thread", wait_s=math.inf, poll_s=0.005):
            inside += 1
            most = max(most, inside)
            time.sleep(0.005)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, inside) == (1, 0)
