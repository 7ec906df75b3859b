"""What only the local executor has: supervisors, their death, GPU slots."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tsloop.errors import JobError, TsloopError
from tsloop.execution import ExecutorConfig, JobState, Resources
from tsloop.execution.jobs import JobRecord, Slots, seen_state
from tsloop.execution.local import LocalExecutor
from tsloop.execution.processes import (
    ProcessRef,
    hostname,
    is_alive,
    is_zombie,
    kill_processes,
    reference,
    this_process,
)
from tsloop.execution.supervisor import Supervisor, describe_exit, main

Py = Callable[[str], list[str]]
Eventually = Callable[..., None]

WAIT = 60.0


def running(executor: LocalExecutor, command: list[str], eventually: Eventually) -> JobRecord:
    job = executor.submit(command, name="victim")
    eventually(lambda: executor.status(job).pid is not None)
    return JobRecord.read(executor.jobs_dir / job)


def test_kill_of_the_supervisor_makes_the_job_lost(
    executor: LocalExecutor, py: Py, tmp_path: Path, eventually: Eventually
) -> None:
    record = running(executor, py("import time; time.sleep(60)"), eventually)
    assert record.supervisor is not None
    assert record.process is not None
    os.kill(record.supervisor.pid, signal.SIGKILL)
    eventually(lambda: executor.status(record.id).state is JobState.LOST)
    assert "supervisor" in executor.status(record.id).reason
    eventually(lambda: not is_alive(record.process))  # type: ignore[arg-type]
    # The slot is free again, and the next submission writes down what was found.
    assert executor.wait(executor.submit(py(""), name="next"), WAIT).state is JobState.SUCCEEDED
    written = json.loads((executor.jobs_dir / record.id / "job.json").read_text())
    assert written["state"] == "lost"
    assert executor.status(record.id).finished


def test_what_a_lost_job_left_behind_is_ended(
    executor: LocalExecutor, tmp_path: Path, eventually: Eventually
) -> None:
    tick = "import time\nwhile True: open('alive', 'a').write('x'); time.sleep(0.01)"
    command = ["/bin/sh", "-c", f'setsid {sys.executable} -S -c "{tick}" & wait']
    record = running(executor, command, eventually)
    eventually((tmp_path / "alive").exists)
    assert record.supervisor is not None
    os.kill(record.supervisor.pid, signal.SIGKILL)
    eventually(lambda: executor.status(record.id).state is JobState.LOST)
    executor.cancel(record.id)
    size = (tmp_path / "alive").stat().st_size
    time.sleep(0.2)
    assert (tmp_path / "alive").stat().st_size == size
    assert executor.status(record.id).state is JobState.LOST


def test_a_supervisor_that_does_not_answer(
    executor: LocalExecutor, py: Py, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = running(executor, py("import time; time.sleep(60)"), eventually)
    assert record.supervisor is not None
    os.kill(record.supervisor.pid, signal.SIGSTOP)
    assert executor.status(record.id).state is JobState.RUNNING
    monkeypatch.setattr("tsloop.execution.local.ANSWER_S", 0.0)
    info = executor.cancel(record.id)
    assert (info.state, "by force" in info.reason) == (JobState.CANCELLED, True)
    assert not psutil.pid_exists(record.supervisor.pid) or not is_alive(record.supervisor)


def test_ending_the_supervisor_politely_cancels_the_job(
    executor: LocalExecutor, py: Py, eventually: Eventually
) -> None:
    record = running(executor, py("import time; time.sleep(60)"), eventually)
    assert record.supervisor is not None
    os.kill(record.supervisor.pid, signal.SIGTERM)
    info = executor.wait(record.id, WAIT)
    assert (info.state, "SIGTERM" in info.reason) == (JobState.CANCELLED, True)


def test_nothing_stays_behind_not_even_zombies(executor: LocalExecutor, tmp_path: Path) -> None:
    code = "import os; os.setsid(); open('pids', 'a').write(f'{os.getpid()} ')"
    ends = f'env -i {sys.executable} -S -c "{code}"'
    stays = f'env -i {sys.executable} -S -c "{code}; import time; time.sleep(100)"'
    wait = "while [ $(wc -w < pids) -lt 2 ]; do sleep 0.05; done"
    job = executor.submit(["/bin/sh", "-c", f"touch pids; ({ends} & {stays} &) ; {wait}"], name="x")
    assert executor.wait(job, WAIT).state is JobState.SUCCEEDED
    pids = (tmp_path / "pids").read_text().split()
    assert [psutil.pid_exists(int(pid)) for pid in pids] == [False, False]


def test_the_heartbeat_is_renewed(executor: LocalExecutor, py: Py, eventually: Eventually) -> None:
    record = running(executor, py("import time; time.sleep(60)"), eventually)
    beat = executor.jobs_dir / record.id / "heartbeat"
    first = beat.stat().st_mtime_ns
    eventually(lambda: beat.stat().st_mtime_ns > first)
    age = executor.status(record.id).heartbeat_age_s
    assert age is not None


def test_gpu_slots(tmp_path: Path, py: Py, eventually: Eventually) -> None:
    executor = LocalExecutor(tmp_path, ExecutorConfig(slots=3, gpu_slots=2, grace_s=1.0))
    code = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep({})"
    env = {"CUDA_VISIBLE_DEVICES": "4,6"}
    one = Resources(gpus=1)
    jobs = [
        executor.submit(py(code.format(60)), name="gpu", resources=one, env=env),
        executor.submit(py(code.format(0)), name="no gpu", env=env),
        executor.submit(py(code.format(0)), name="two", resources=Resources(gpus=2), env=env),
    ]
    assert executor.wait(jobs[1], WAIT).gpus == ()
    assert executor.logs(jobs[1]) == "\n"  # a job that asks for none sees none
    assert executor.status(jobs[2]).state is JobState.QUEUED
    eventually(lambda: executor.logs(jobs[0]))
    assert executor.logs(jobs[0]) == "4\n"
    executor.cancel(jobs[0])
    assert executor.wait(jobs[2], WAIT).gpus == (0, 1)
    assert executor.logs(jobs[2]) == "4,6\n"


def test_a_job_whose_gpus_went_away_fails(tmp_path: Path, py: Py) -> None:
    executor = LocalExecutor(tmp_path, ExecutorConfig(slots=1, gpu_slots=1, grace_s=1.0))
    first = executor.submit(py("import time; time.sleep(60)"), name="first")
    second = executor.submit(py(""), name="second", resources=Resources(gpus=1))
    Slots(slots=1, gpu_slots=0).write(executor.jobs_dir)
    info = executor.wait(second, WAIT)
    assert (info.state, "gpu_slots" in info.reason) == (JobState.FAILED, True)
    executor.cancel(first)


def test_progress_of_a_job_is_seen(executor: LocalExecutor) -> None:
    code = (
        "from tsloop.execution.progress import stage_progress\n"
        "with stage_progress('fit') as show: show(3, 4, 'epoch 3')"
    )
    job = executor.submit([sys.executable, "-c", code], name="fit")
    info = executor.wait(job, WAIT)
    assert info.progress is not None
    assert {k: info.progress[k] for k in ("stage", "done", "total", "what")} == {
        "stage": "fit",
        "done": 3,
        "total": 4,
        "what": "epoch 3",
    }
    assert "[fit] 3/4 (75 %) epoch 3" in executor.logs(job)
    (executor.jobs_dir / job / "progress.json").write_text("[broken")
    assert executor.status(job).progress is None


def test_prune_keeps_the_newest_and_the_unfinished(executor: LocalExecutor, py: Py) -> None:
    jobs = [executor.submit(py(""), name=f"job {n}") for n in range(3)]
    executor.wait(jobs[-1], WAIT)
    jobs.append(executor.submit(py("import time; time.sleep(60)"), name="long"))
    assert list(executor.prune(keep=1)) == jobs[:2]
    assert [info.id for info in executor.list()] == jobs[2:]
    assert executor.submit(py(""), name="next").startswith("0005-")


def test_a_supervisor_that_cannot_start(
    executor: LocalExecutor, py: Py, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobRecord, "write", lambda self, jobs_dir: None)  # it finds no record
    (executor.jobs_dir / "0001-x").mkdir(parents=True)
    with pytest.raises(JobError, match="did not start"):
        executor.submit(py(""), name="x")


def test_liveness_of_records(executor: LocalExecutor) -> None:
    job_dir = executor.jobs_dir / "0001-x"
    record = JobRecord("0001-x", "x", ("true",), ".", "2026-01-01T00:00:00Z")
    record.write(executor.jobs_dir)
    assert seen_state(executor.jobs_dir, record).state is JobState.QUEUED  # being launched
    os.utime(job_dir / "job.json", (1.0, 1.0))
    assert seen_state(executor.jobs_dir, record).state is JobState.LOST

    def with_supervisor(ref: ProcessRef) -> JobState:
        changed = replace(record, state=JobState.RUNNING, supervisor=ref)
        changed.write(executor.jobs_dir)
        return seen_state(executor.jobs_dir, changed).state

    me = this_process()
    assert with_supervisor(me) is JobState.RUNNING
    assert with_supervisor(replace(me, started="another boot")) is JobState.LOST  # pid used again
    assert with_supervisor(replace(me, host="elsewhere")) is JobState.LOST
    (job_dir / "heartbeat").touch()
    assert with_supervisor(replace(me, host="elsewhere")) is JobState.RUNNING
    os.utime(job_dir / "heartbeat", (1.0, 1.0))
    assert with_supervisor(replace(me, host="elsewhere")) is JobState.LOST


def test_foreign_records_are_refused(executor: LocalExecutor) -> None:
    (executor.jobs_dir / "0001-x").mkdir(parents=True)
    path = executor.jobs_dir / "0001-x" / "job.json"
    path.write_text("{}")
    with pytest.raises(TsloopError, match="not a job record"):
        executor.list()
    path.unlink()
    assert list(executor.list()) == []


def test_a_second_supervisor_of_a_job_leaves(executor: LocalExecutor, py: Py) -> None:
    job = executor.submit(py("print(1)"), name="once")
    executor.wait(job, WAIT)
    assert not Supervisor(executor.jobs_dir / job).enter()
    again = [sys.executable, "-m", "tsloop.execution.supervisor", str(executor.jobs_dir / job)]
    assert subprocess.run(again, check=False).returncode == 0
    assert executor.logs(job) == "1\n"


def test_process_references() -> None:
    me = this_process()
    assert is_alive(me)
    assert me == reference(os.getpid())
    assert ProcessRef.from_text(me.to_text()) == me
    assert ProcessRef.from_dict(me.to_dict()) == me
    assert ProcessRef.from_text("") is ProcessRef.from_text("12@") is None
    assert not is_alive(replace(me, host=hostname() + "x"))
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    ref = reference(child.pid)
    assert ref is not None
    assert is_alive(ref)
    assert kill_processes([psutil.Process(child.pid)]) == 1
    time.sleep(0.05)
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not is_alive(ref)  # a zombie does nothing any more
    assert is_zombie(ref)
    child.communicate()
    assert reference(0) is None
    assert not is_alive(ref)
    assert not is_zombie(ref)


def test_exit_codes_in_words() -> None:
    assert describe_exit(2) == "It ended with exit code 2."
    assert "SIGSEGV" in describe_exit(-11)
    assert "signal 99" in describe_exit(-99)
    with pytest.raises(SystemExit, match="usage"):
        main([])
