"""The process that stays with one job: ``python -m tsloop.execution.supervisor JOB_DIR``.

It leaves the session of the process that started it, waits until a slot is free, runs the command
in a process group of its own, renews the heartbeat, ends the command when somebody asks for it, and
writes down how it ended. When the supervisor itself is killed, the kernel kills the command, and
everybody sees the job as ``lost``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from tsloop.errors import JobError
from tsloop.execution.base import JobState
from tsloop.execution.jobs import (
    HEARTBEAT_S,
    JOB_DIR_VARIABLE,
    KILL_S,
    RUNNER_VARIABLE,
    JobRecord,
    Slots,
    jobs_lock,
    kill_leftovers,
    list_records,
    now_text,
    reap_lost,
    seen_state,
    touch_heartbeat,
)
from tsloop.execution.processes import (
    adopt_orphans,
    die_with_starter,
    find_by_environment,
    kill_processes,
    reap_children,
    reference,
    this_process,
)

__all__ = ["Supervisor", "main"]

POLL_S = 0.1
QUEUE_POLL_S = 0.25
WRITE_ATTEMPTS = 60
"""How often, a second apart, to try to write a job's end: a full disk may get space again."""


class Supervisor:
    """Takes one job from ``queued`` to its end."""

    def __init__(self, job_dir: Path) -> None:
        self.job_dir = job_dir
        self.jobs_dir = job_dir.parent
        self.record = JobRecord.read(job_dir)
        self.limits = Slots.read(self.jobs_dir)
        self.told_to_stop = ""
        self._last_beat = 0.0

    def listen(self) -> None:
        """From now on a signal that asks this process to end cancels the job."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def enter(self) -> bool:
        """Sign the record; false where the job was given up before it came to this."""
        with jobs_lock(self.jobs_dir):
            self.record = JobRecord.read(self.job_dir)
            if self.record.state.finished or self.record.supervisor is not None:
                return False
            self._beat()
            self._update(supervisor=this_process())
        return True

    def run(self) -> None:
        """Wait for a slot, run the command, record its end."""
        if not self._wait_for_slot():
            return
        try:
            process = self._start()
        except OSError as error:
            self._finish(
                JobState.FAILED, 127, f"The command {self.record.command[0]!r} cannot run: {error}."
            )
            return
        stopped = self._watch(process)
        self._end_leftovers()
        if stopped:
            self._finish(JobState.CANCELLED, process.returncode, stopped)
        elif process.returncode == 0:
            self._finish(JobState.SUCCEEDED, 0, "")
        else:
            self._finish(JobState.FAILED, process.returncode, describe_exit(process.returncode))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.told_to_stop = f"Its supervisor got {signal.Signals(number).name}."

    def _stop_reason(self) -> str:
        if (self.job_dir / "cancel").exists():
            return "Cancelled on request."
        return self.told_to_stop

    def _beat(self) -> None:
        if time.monotonic() - self._last_beat >= HEARTBEAT_S:
            with contextlib.suppress(OSError):  # a full disk must not end the job
                touch_heartbeat(self.job_dir)
            self._last_beat = time.monotonic()

    def _update(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)
        self.record.write(self.jobs_dir)

    def _wait_for_slot(self) -> bool:
        """True once the job counts as running; false where it ended in the queue."""
        while not (stopped := self._stop_reason()):
            self._beat()
            with jobs_lock(self.jobs_dir):
                self.limits = Slots.read(self.jobs_dir)
                if self.record.n_gpus > self.limits.gpu_slots:
                    reason = f"It asks for {self.record.n_gpus} GPUs, "
                    reason += f"but executor.gpu_slots is now {self.limits.gpu_slots}."
                    self._finish(JobState.FAILED, None, reason)
                    return False
                gpus = self._free_slot()
                if gpus is not None:
                    self._update(state=JobState.RUNNING, started=now_text(), gpus=gpus, reason="")
                    return True
            time.sleep(QUEUE_POLL_S)
        self._finish(JobState.CANCELLED, None, stopped)
        return False

    def _free_slot(self) -> tuple[int, ...] | None:
        """The GPU numbers to use, or ``None`` where it is not this job's turn yet."""
        n_running, taken = 0, set[int]()
        for other in list_records(self.jobs_dir):
            if other.id == self.record.id or other.state.finished:
                continue
            other = seen_state(self.jobs_dir, other, self.limits.lost_after_s)
            if other.state is JobState.LOST:
                reap_lost(self.jobs_dir, other)
            elif other.state is JobState.RUNNING:
                n_running += 1
                taken.update(other.gpus)
            elif other.state is JobState.QUEUED and other.number < self.record.number:
                return None
        free = [number for number in range(self.limits.gpu_slots) if number not in taken]
        if n_running >= self.limits.slots or len(free) < self.record.n_gpus:
            return None
        return tuple(free[: self.record.n_gpus])

    def _environment(self) -> dict[str, str]:
        env = dict(os.environ)
        env[JOB_DIR_VARIABLE] = str(self.job_dir)
        env[RUNNER_VARIABLE] = this_process().to_text()
        env.setdefault("PYTHONUNBUFFERED", "1")  # so that the log is live
        if self.limits.gpu_slots:
            visible = [v for v in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if v.strip()]
            names = visible or [str(number) for number in range(self.limits.gpu_slots)]
            env["CUDA_VISIBLE_DEVICES"] = ",".join(
                names[number] for number in self.record.gpus if number < len(names)
            )
        return env

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.job_dir / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                self.record.command,
                cwd=self.record.cwd,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_starter(),
            )
        self._update(process=reference(process.pid))
        return process

    def _watch(self, process: subprocess.Popen[bytes]) -> str:
        """Stay until the command has ended; the reason where it was made to end, else empty."""
        while process.poll() is None:
            self._beat()
            reap_children(but=process.pid)
            if stopped := self._stop_reason():
                self._end_group(process)
                return stopped
            time.sleep(POLL_S)
        return ""

    def _end_group(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM to the command's group, then wait at most the grace time for all of it to end."""
        # Until it is waited for, the pid is the command's, also when it has ended meanwhile.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + self.limits.grace_s
        while time.monotonic() < deadline and (
            process.poll() is None or find_by_environment(JOB_DIR_VARIABLE, str(self.job_dir))
        ):
            self._beat()
            reap_children(but=process.pid)
            time.sleep(POLL_S)
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _end_leftovers(self) -> None:
        """SIGKILL to whatever the command left behind, and wait until it is gone."""
        kill_leftovers(self.job_dir)
        with contextlib.suppress(psutil.Error):
            own = psutil.Process().children(recursive=True)  # orphans were adopted
            kill_processes(own)
            psutil.wait_procs(own, timeout=KILL_S)
        reap_children()

    def _finish(self, state: JobState, rc: int | None, reason: str) -> None:
        for _ in range(WRITE_ATTEMPTS):
            try:
                self._update(state=state, rc=rc, reason=reason, finished=now_text())
                return
            except OSError as error:
                print(f"The end of the job ({state}) cannot be written: {error}", file=sys.stderr)  # noqa: T201
                time.sleep(1.0)
        raise JobError(f"The end of job {self.record.id} ({state}) could not be written.")


def describe_exit(rc: int) -> str:
    """An exit code in words."""
    if rc >= 0:
        return f"It ended with exit code {rc}."
    try:
        name = signal.Signals(-rc).name
    except ValueError:
        name = f"signal {-rc}"
    hint = " (out of memory?)" if -rc == signal.SIGKILL else ""
    return f"It was ended by {name}{hint}."


def _supervise(job_dir: Path, ready_fd: int) -> int:
    """What the detached process does; the starter waits for one byte on ``ready_fd``."""
    os.setsid()
    with (job_dir / "supervisor.log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    adopt_orphans()
    supervisor = Supervisor(job_dir)
    supervisor.listen()
    entered = supervisor.enter()
    os.write(ready_fd, b"1")
    os.close(ready_fd)
    if entered:
        supervisor.run()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Detach, and return as soon as the detached process has signed the job's record."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        raise SystemExit("usage: python -m tsloop.execution.supervisor JOB_DIR")
    job_dir = Path(given[0]).resolve()
    read_fd, write_fd = os.pipe()
    if os.fork():
        os.close(write_fd)
        return 0 if os.read(read_fd, 1) else 1
    os.close(read_fd)
    return _supervise(job_dir, write_fd)


if __name__ == "__main__":
    sys.exit(main())
