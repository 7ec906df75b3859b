"""The contract of `tsloop.execution.base.Executor`, over every executor there is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tsloop.errors import ConfigError, JobError
from tsloop.execution import ExecutorConfig, JobState, Resources, build_executor
from tsloop.execution.base import Executor

Py = Callable[[str], list[str]]
Eventually = Callable[..., None]

WAIT = 60.0


def test_a_job_runs_and_its_end_is_recorded(executor: Executor, py: Py, tmp_path: Path) -> None:
    code = "import os, sys; print('hello 你好'); print('bad', file=sys.stderr); print(os.getcwd())"
    job = executor.submit(py(code), name="Say hello!")
    info = executor.wait(job, WAIT)
    assert (info.state, info.rc, info.name) == (JobState.SUCCEEDED, 0, "Say hello!")
    assert info.created <= info.started <= info.finished
    assert set(executor.logs(job).split("\n")) == {"hello 你好", "bad", str(tmp_path), ""}
    assert executor.logs(job, tail=1).count("\n") == 1
    assert executor.logs(job, tail=0) == ""
    assert "".join(executor.follow(job)) == executor.logs(job)
    assert info.heartbeat_age_s is None


def test_failures_say_why(executor: Executor, py: Py) -> None:
    failing = executor.submit(py("raise SystemExit(3)"), name="fails")
    killed = executor.submit(py("import os; os.kill(os.getpid(), 9)"), name="is killed")
    missing = executor.submit(["/no/such/program"], name="cannot start")
    infos = [executor.wait(job, WAIT) for job in (failing, killed, missing)]
    assert [info.state for info in infos] == [JobState.FAILED] * 3
    assert [info.rc for info in infos] == [3, -9, 127]
    assert "exit code 3" in infos[0].reason
    assert "SIGKILL" in infos[1].reason
    assert "/no/such/program" in infos[2].reason


def test_jobs_wait_for_a_slot_in_order(executor: Executor, py: Py, tmp_path: Path) -> None:
    gate = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n"
    code = gate + "open('order', 'a').write('{}')"
    jobs = [executor.submit(py(code.format(n)), name=f"job {n}") for n in range(3)]
    assert [executor.status(job).state for job in jobs[1:]] == [JobState.QUEUED] * 2
    (tmp_path / "go").touch()
    while not executor.status(jobs[-1]).state.finished:
        assert sum(info.state is JobState.RUNNING for info in executor.list()) <= 1
        time.sleep(0.02)
    assert (tmp_path / "order").read_text() == "012"
    assert [info.id for info in executor.list()] == jobs


def test_cancel_ends_everything_that_was_started(
    executor: Executor, py: Py, tmp_path: Path, eventually: Eventually
) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    write = "\nwhile True: open('alive', 'a').write('x'); time.sleep(0.01)"
    command = ["/bin/sh", "-c", f'{sys.executable} -S -c "{deaf}{write}" & wait']
    job = executor.submit(command, name="deaf")
    eventually((tmp_path / "alive").exists)
    info = executor.cancel(job)
    assert info.state is JobState.CANCELLED
    size = (tmp_path / "alive").stat().st_size
    time.sleep(0.2)
    assert (tmp_path / "alive").stat().st_size == size
    assert executor.cancel(job) == info  # harmless


def test_cancelled_jobs_get_the_grace_time(
    executor: Executor, tmp_path: Path, py: Py, eventually: Eventually
) -> None:
    code = (
        "import signal, time\n"
        "def end(*_): open('saved', 'w').write('yes'); raise SystemExit(0)\n"
        "signal.signal(signal.SIGTERM, end); open('ready', 'w'); time.sleep(60)"
    )
    job = executor.submit(py(code), name="graceful")
    eventually((tmp_path / "ready").exists)
    assert executor.cancel(job).state is JobState.CANCELLED
    assert (tmp_path / "saved").read_text() == "yes"


def test_a_queued_job_can_be_cancelled(executor: Executor, py: Py, tmp_path: Path) -> None:
    first = executor.submit(py("import time; time.sleep(60)"), name="long")
    second = executor.submit(py("open('ran', 'w')"), name="never")
    assert executor.cancel(second).state is JobState.CANCELLED
    assert executor.cancel(first).state is JobState.CANCELLED
    assert executor.status(second).started == ""
    assert not (tmp_path / "ran").exists()


def test_the_same_key_is_not_started_twice(executor: Executor, py: Py) -> None:
    slow = py("import time; time.sleep(60)")
    first = executor.submit(slow, name="fit", key="fit it001")
    assert executor.submit(slow, name="fit", key="fit it001") == first
    executor.cancel(first)
    again = executor.submit(py(""), name="fit", key="fit it001")
    assert again != first


def test_environment_and_directory(
    executor: Executor, py: Py, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "fit@it001")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "psutil.py").write_text("raise RuntimeError('not this one')")
    code = (
        "import os; print(os.environ['SECRET'], os.environ.get('DVC_STAGE'), os.getcwd(), "
        "os.getsid(0) == os.getpid(), os.environ['TSLOOP_JOB_DIR'])"
    )
    job = executor.submit(py(code), name="env", cwd=tmp_path / "sub", env={"SECRET": "s3cret"})
    assert executor.wait(job, WAIT).state is JobState.SUCCEEDED
    job_dir = tmp_path / ".tsloop" / "jobs" / job
    assert executor.logs(job).split() == ["s3cret", "None", f"{tmp_path}/sub", "True", str(job_dir)]
    assert "s3cret" not in (job_dir / "job.json").read_text()


def test_another_process_sees_the_jobs(executor: Executor, py: Py, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tsloop.execution import build_executor; "
        "print(build_executor(pathlib.Path(sys.argv[1])).submit("
        "[sys.executable, '-S', '-c', sys.argv[2]], name='x'))"
    )
    job_code = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\nprint(42)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), job_code],
        capture_output=True,
        text=True,
        check=True,
    )
    job = done.stdout.strip()  # its submitter is dead by now
    assert executor.status(job).state in (JobState.QUEUED, JobState.RUNNING)
    (tmp_path / "go").touch()
    assert executor.wait(job, WAIT).state is JobState.SUCCEEDED
    assert executor.logs(job) == "42\n"
    assert executor.status(str(int(job[:4]))).id == job


def test_wrong_requests_are_refused(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="list of arguments"):
        executor.submit([], name="empty")
    with pytest.raises(JobError, match="shell"):
        executor.submit("dvc repro", name="text")
    with pytest.raises(JobError, match="does not exist"):
        executor.submit(["true"], name="x", cwd=tmp_path / "nowhere")
    with pytest.raises(JobError, match="gpu_slots"):
        executor.submit(["true"], name="x", resources=Resources(gpus=1))
    for unknown in ("0001-x", "../../etc", "", "7"):
        with pytest.raises(JobError, match="There is no job"):
            executor.status(unknown)
    assert list(executor.list()) == []


def test_waiting_has_an_end(executor: Executor, py: Py) -> None:
    job = executor.submit(py("import time; time.sleep(60)"), name="long")
    with pytest.raises(JobError, match="is still"):
        executor.wait(job, 0.05)


def test_configuration_is_checked(tmp_path: Path) -> None:
    assert isinstance(build_executor(tmp_path, ExecutorConfig()), Executor)
    for wrong in ({"kind": "cloud"}, {"slots": 0}, {"gpu_slots": -1}, {"grace_s": -1.0}):
        with pytest.raises(ConfigError, match="executor"):
            ExecutorConfig(**wrong)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []  # noqa: PTH208
