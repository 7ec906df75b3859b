"""Jobs as the local executor keeps them: one directory each.

::

    .tsloop/jobs/slots.json             how many jobs may run at once (as of the last submission)
    .tsloop/jobs/.lock                  held while numbers are given out and slots are taken
    .tsloop/jobs/0007-fit-it002/
        job.json        the record; written by the submitter once, then only by the supervisor
        log.txt         what the command printed
        progress.json   what the command reports of itself (see `tsloop.execution.progress`)
        heartbeat       its modification time is the supervisor's last sign of life
        cancel          exists: somebody wants the job to end
        supervisor.log  only of interest where the supervisor itself failed

Who only reads takes no lock: every record is replaced in one step.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from tsloop.errors import JobError, TsloopError
from tsloop.execution.base import JobInfo, JobState
from tsloop.execution.processes import (
    ProcessRef,
    find_by_environment,
    hostname,
    is_alive,
    is_zombie,
    kill_processes,
)
from tsloop.files import read_json, write_json

__all__ = [
    "HEARTBEAT_S",
    "JOB_DIR_VARIABLE",
    "JOB_ID",
    "KILL_S",
    "RUNNER_VARIABLE",
    "JobRecord",
    "Slots",
    "find_job",
    "jobs_lock",
    "kill_leftovers",
    "list_records",
    "now_text",
    "reap_lost",
    "seen_state",
    "to_info",
    "touch_heartbeat",
]

JOB_DIR_VARIABLE = "TSLOOP_JOB_DIR"
"""Set for every process of a job to the absolute path of the job's directory."""
RUNNER_VARIABLE = "TSLOOP_RUNNER"
"""Set for every process of a job: the supervisor without which none of them may go on."""
SCHEMA = "tsloop.job/1"
JOB_ID = re.compile(r"(\d{4,})-[a-z0-9][a-z0-9.-]*")
LAUNCH_S = 60.0
"""A queued job without a supervisor is being launched; after this long, the launch failed."""
KILL_S = 5.0
"""How long to look for processes that a SIGKILL did not end yet."""
HEARTBEAT_S = 1.0
"""How often a supervisor renews its heartbeat."""


def now_text() -> str:
    """Now, as ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def jobs_lock(jobs_dir: Path) -> FileLock:
    """The lock under which job numbers are given out and slots are taken; held for milliseconds."""
    jobs_dir.mkdir(parents=True, exist_ok=True)
    return FileLock(jobs_dir / ".lock")


@dataclass(frozen=True, slots=True)
class Slots:
    """How many jobs may run at once, and which limits the supervisors keep."""

    slots: int = 1
    gpu_slots: int = 0
    grace_s: float = 10.0
    lost_after_s: float = 60.0

    def write(self, jobs_dir: Path) -> None:
        """Make these the limits for all jobs that are not running yet."""
        write_json(jobs_dir / "slots.json", asdict(self))

    @classmethod
    def read(cls, jobs_dir: Path) -> Slots:
        """The limits of the last submission."""
        return cls(**read_json(jobs_dir / "slots.json"))


@dataclass(frozen=True, slots=True)
class JobRecord:
    """The content of ``job.json``; ``state`` is what was last written, see `seen_state`."""

    id: str
    name: str
    command: tuple[str, ...]
    cwd: str
    created: str
    key: str = ""
    n_gpus: int = 0
    state: JobState = JobState.QUEUED
    started: str = ""
    finished: str = ""
    rc: int | None = None
    reason: str = ""
    gpus: tuple[int, ...] = ()
    supervisor: ProcessRef | None = None
    process: ProcessRef | None = None

    @property
    def number(self) -> int:
        """Position in the order of submission."""
        return int(self.id.partition("-")[0])

    def write(self, jobs_dir: Path) -> None:
        """Replace the job's record in one step."""
        data = {"schema": SCHEMA, **asdict(self), "state": str(self.state)}
        write_json(jobs_dir / self.id / "job.json", data)

    @classmethod
    def read(cls, path: Path) -> JobRecord:
        """Read a job's directory."""
        data: dict[str, Any] = read_json(path / "job.json")
        if data.pop("schema", None) != SCHEMA:
            raise JobError(f"{path / 'job.json'} is not a job record of this tsloop ({SCHEMA}).")
        for field in ("supervisor", "process"):
            data[field] = ProcessRef.from_dict(data[field]) if data[field] else None
        data["state"] = JobState(data["state"])
        return cls(**{**data, "command": tuple(data["command"]), "gpus": tuple(data["gpus"])})


def list_records(jobs_dir: Path) -> list[JobRecord]:
    """All jobs in the order of their submission."""
    if not jobs_dir.is_dir():
        return []
    records = []
    for path in jobs_dir.iterdir():
        # A directory without a record is one that is just being made or removed.
        if JOB_ID.fullmatch(path.name) and (path / "job.json").exists():
            try:
                records.append(JobRecord.read(path))
            except TsloopError:
                if (path / "job.json").exists():
                    raise
    return sorted(records, key=lambda record: record.number)


def _age(path: Path) -> float | None:
    """Seconds since a file was written; ``None`` where it does not exist."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return None


def _is_supervised(jobs_dir: Path, record: JobRecord, lost_after_s: float) -> bool:
    if record.supervisor is None:
        age = _age(jobs_dir / record.id / "job.json")
        return age is not None and age < LAUNCH_S
    if record.supervisor.host == hostname():
        return is_alive(record.supervisor)
    age = _age(jobs_dir / record.id / "heartbeat")
    return age is not None and age < lost_after_s


def seen_state(jobs_dir: Path, record: JobRecord, lost_after_s: float = 60.0) -> JobRecord:
    """The record as it holds now: unfinished without a living supervisor means ``lost``."""
    if record.state.finished or _is_supervised(jobs_dir, record, lost_after_s):
        return record
    record = JobRecord.read(jobs_dir / record.id)  # it may have finished in between
    if record.state.finished:
        return record
    reason = f"Its supervisor ended without a word while the job was {record.state}."
    return replace(record, state=JobState.LOST, reason=reason)


def kill_leftovers(job_dir: Path) -> int:
    """SIGKILL every process that still belongs to a job; how many there were.

    They are told by their environment, so those that left the process group are found as well.
    """
    killed = 0
    deadline = time.monotonic() + KILL_S
    while found := kill_processes(find_by_environment(JOB_DIR_VARIABLE, str(job_dir))):
        killed = max(killed, found)
        if time.monotonic() > deadline:  # stuck in the kernel: it will not write any more
            break
        time.sleep(0.02)  # again: a process may have started another one meanwhile
    return killed


def reap_lost(jobs_dir: Path, record: JobRecord) -> JobRecord:
    """Under the lock: end what is left of a lost job of this machine, and write it down as lost."""
    if record.process is None or record.process.host == hostname():
        kill_leftovers(jobs_dir / record.id)
        # DVC takes a zombie, which the system's init may be slow to collect, for a living writer.
        deadline = time.monotonic() + KILL_S
        while record.process and is_zombie(record.process) and time.monotonic() < deadline:
            time.sleep(0.05)
    record = replace(record, finished=now_text())
    record.write(jobs_dir)
    return record


def _progress(job_dir: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((job_dir / "progress.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None  # nothing reported; the file is the command's own, so it may be anything
    return found if isinstance(found, dict) else None


def to_info(jobs_dir: Path, record: JobRecord) -> JobInfo:
    """A record, already brought up to date by `seen_state`, as executors show it."""
    job_dir = jobs_dir / record.id
    return JobInfo(
        id=record.id,
        name=record.name,
        state=record.state,
        command=record.command,
        cwd=record.cwd,
        created=record.created,
        started=record.started,
        finished=record.finished,
        rc=record.rc,
        reason=record.reason,
        key=record.key,
        pid=record.process.pid if record.process else None,
        gpus=record.gpus,
        heartbeat_age_s=None if record.state.finished else _age(job_dir / "heartbeat"),
        progress=_progress(job_dir),
    )


def find_job(jobs_dir: Path, job_id: str) -> JobRecord:
    """The job of an id, or of its bare number (``7`` for ``0007-fit``); unknown is a `JobError`."""
    if JOB_ID.fullmatch(job_id) and (jobs_dir / job_id / "job.json").exists():
        return JobRecord.read(jobs_dir / job_id)
    records = list_records(jobs_dir)
    for record in records:
        if job_id.isdigit() and record.number == int(job_id):
            return record
    known = ", ".join(record.id for record in records[-5:]) or "none"
    raise JobError(f"There is no job {job_id!r}.", hint=f"The latest jobs: {known}.")


def touch_heartbeat(job_dir: Path) -> None:
    """A supervisor's sign of life."""
    path = job_dir / "heartbeat"
    path.touch()
    os.utime(path)
