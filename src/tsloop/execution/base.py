"""The contract of every executor: how work runs in the background.

An executor takes a command, gives a job id at once and runs the command independently of the
process that submitted it. Its promises:

- The state of a job lives outside of any process's memory: another process, also a later one, sees
  the same jobs. ``running`` is only said of a job that really runs; one whose supervision died is
  ``lost``, and lost, failed and cancelled jobs may simply be submitted again.
- ``cancel`` ends the command with everything it started, and is harmless on a finished job.
- Work units are idempotent, so that running one twice does no harm; submitting with the ``key`` of
  a job that is still queued or running returns that job instead of starting a second.
- Commands are argument lists and never pass through a shell. Secrets belong into ``env``, which is
  not stored.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tsloop.errors import ConfigError, JobError

__all__ = ["EXECUTOR_KINDS", "Executor", "ExecutorConfig", "JobInfo", "JobState", "Resources"]

EXECUTOR_KINDS = ("local",)
"""What ``executor.kind`` may be."""


@dataclass(frozen=True)
class ExecutorConfig:
    """Where background jobs run, and how many at once."""

    kind: str = "local"
    """The engine: ``local`` (processes on this machine)."""
    slots: int = 1
    """How many jobs run at once; the others wait in the order of their submission."""
    gpu_slots: int = 0
    """GPUs to hand out to jobs that ask for some; 0 leaves the GPUs alone."""
    grace_s: float = 10.0
    """Seconds between asking a cancelled job to end (SIGTERM) and ending it (SIGKILL)."""
    lost_after_s: float = 60.0
    """Seconds without a heartbeat after which a job of *another* machine counts as lost."""

    def __post_init__(self) -> None:
        if self.kind not in EXECUTOR_KINDS:
            raise ConfigError(
                f"executor.kind is {self.kind!r}.", hint=f"Choose one of {list(EXECUTOR_KINDS)}."
            )
        for key, value, least in (
            ("slots", self.slots, 1),
            ("gpu_slots", self.gpu_slots, 0),
            ("grace_s", self.grace_s, 0),
            ("lost_after_s", self.lost_after_s, 1),
        ):
            if value < least:
                raise ConfigError(f"executor.{key} is {value}.", hint=f"It must be >= {least}.")


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"  # waits for a slot
    RUNNING = "running"
    SUCCEEDED = "succeeded"  # exit code 0
    FAILED = "failed"  # any other exit code, or the command could not be started
    CANCELLED = "cancelled"
    LOST = "lost"  # its supervision died: nobody knows how far it came

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job needs besides its slot: whole GPUs."""

    gpus: int = 0


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as seen at one moment. Times are ISO 8601 in UTC, empty where not reached yet."""

    id: str
    name: str
    state: JobState
    command: tuple[str, ...]
    cwd: str
    created: str
    started: str = ""
    finished: str = ""
    rc: int | None = None
    """Exit code of the command; negative: the signal that ended it."""
    reason: str = ""
    """Why it failed, was lost or cancelled, or what it waits for."""
    key: str = ""
    pid: int | None = None
    """Pid (and process group) of the command, once started."""
    gpus: tuple[int, ...] = ()
    """Numbers of the GPU slots it holds."""
    heartbeat_age_s: float | None = None
    """Seconds since its supervisor last reported; ``None`` where it never did, or has ended."""
    progress: Mapping[str, Any] | None = None
    """What the job itself reports: ``stage, done, total, what, time``."""


class Executor(ABC):
    """One way to run jobs; the module text says what each keeps."""

    @abstractmethod
    def submit(
        self,
        command: Sequence[str],
        *,
        name: str,
        resources: Resources | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        key: str = "",
    ) -> str:
        """Accept a job and return its id; ``env`` adds to the caller's environment.

        Raises `JobError` for an empty command, a missing ``cwd``, or resources that the executor
        can never give.
        """

    @abstractmethod
    def status(self, job_id: str) -> JobInfo:
        """The job now; an unknown id is a `JobError`."""

    @abstractmethod
    def cancel(self, job_id: str) -> JobInfo:
        """End the job and wait until it has ended; a finished job stays as it is."""

    @abstractmethod
    def logs(self, job_id: str, tail: int | None = None) -> str:
        """What the command printed so far (stdout and stderr together), or its last lines."""

    @abstractmethod
    def list(self) -> Sequence[JobInfo]:
        """All jobs that are still remembered, in the order of their submission."""

    @abstractmethod
    def prune(self, keep: int) -> Sequence[str]:
        """Forget all finished jobs but the newest ``keep``; returns the forgotten ids."""

    def wait(self, job_id: str, timeout_s: float | None = None, poll_s: float = 0.1) -> JobInfo:
        """Block until the job has finished, however it did; a `JobError` after the timeout."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not (info := self.status(job_id)).state.finished:
            if deadline is not None and time.monotonic() >= deadline:
                raise JobError(
                    f"Job {job_id} is still {info.state} after {timeout_s} s.",
                    hint=f"Look at its output with: tsloop jobs log {job_id}",
                )
            time.sleep(poll_s)
        return info

    @abstractmethod
    def follow(self, job_id: str, poll_s: float = 0.3) -> Iterator[str]:
        """The output piece by piece as it comes, until the job has finished."""
