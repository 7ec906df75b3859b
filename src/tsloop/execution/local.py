"""Jobs as background processes of this machine; nothing to install, nothing to keep running.

Every job has a small supervisor (`tsloop.execution.supervisor`) that outlives the process that
submitted it. All state is in files below ``.tsloop/jobs`` (`tsloop.execution.jobs`).
"""

from __future__ import annotations

import codecs
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tsloop.errors import JobError
from tsloop.execution.base import Executor, ExecutorConfig, JobInfo, JobState, Resources
from tsloop.execution.jobs import (
    JOB_DIR_VARIABLE,
    RUNNER_VARIABLE,
    JobRecord,
    Slots,
    find_job,
    jobs_lock,
    kill_leftovers,
    list_records,
    now_text,
    reap_lost,
    seen_state,
    to_info,
)
from tsloop.execution.processes import hostname, is_alive

__all__ = ["LocalExecutor"]

STARTER_VARIABLES = ("DVC_STAGE", "DVC_ROOT", JOB_DIR_VARIABLE, RUNNER_VARIABLE)
"""Of the submitter's environment: they describe what *it* runs in, which the job does not."""

ANSWER_S = 10.0
"""How long, beyond the grace time, a supervisor may take to end its job."""


class LocalExecutor(Executor):
    """Runs jobs of one project directory as detached local processes."""

    def __init__(self, project_dir: Path, config: ExecutorConfig | None = None) -> None:
        self.project_dir = project_dir.resolve()
        self.jobs_dir = self.project_dir / ".tsloop" / "jobs"
        self.config = config or ExecutorConfig()

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
        """See `Executor.submit`; ``cwd`` is the project directory unless given."""
        resources = resources or Resources()
        where = (cwd or self.project_dir).resolve()
        self._check(command, where, resources)
        with jobs_lock(self.jobs_dir):
            records = [self._seen(record) for record in list_records(self.jobs_dir)]
            for record in records:
                if key and record.key == key and not record.state.finished:
                    return record.id
                if record.state is JobState.LOST and not record.finished:
                    reap_lost(self.jobs_dir, record)
            number = records[-1].number + 1 if records else 1
            slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "job"
            record = JobRecord(
                id=f"{number:04d}-{slug}",
                name=name,
                command=tuple(command),
                cwd=str(where),
                created=now_text(),
                key=key,
                n_gpus=resources.gpus,
            )
            config = self.config
            limits = Slots(config.slots, config.gpu_slots, config.grace_s, config.lost_after_s)
            limits.write(self.jobs_dir)
            record.write(self.jobs_dir)
        self._launch(record, env or {})
        return record.id

    def _check(self, command: Sequence[str], cwd: Path, resources: Resources) -> None:
        if isinstance(command, str) or not command or not all(command[:1]):
            raise JobError(
                f"A job's command must be a list of arguments, not {command!r}.",
                hint='For example ["dvc", "repro"]. It does not pass through a shell.',
            )
        if not cwd.is_dir():
            raise JobError(f"The working directory {cwd} of the job does not exist.")
        if not 0 <= resources.gpus <= self.config.gpu_slots:
            raise JobError(
                f"The job asks for {resources.gpus} GPUs, but this executor has "
                f"{self.config.gpu_slots} to give.",
                hint="Set executor.gpu_slots to the number of GPUs of this machine.",
            )

    def _launch(self, record: JobRecord, env: Mapping[str, str]) -> None:
        job_dir = self.jobs_dir / record.id
        base = {k: v for k, v in os.environ.items() if k not in STARTER_VARIABLES}
        started = subprocess.run(
            # -P: a file of the project called like one of our imports must not be imported
            [sys.executable, "-P", "-m", "tsloop.execution.supervisor", str(job_dir)],
            cwd=record.cwd,
            env={**base, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if started.returncode:
            log = job_dir / "supervisor.log"
            said = log.read_text("utf-8", "replace") if log.exists() else ""
            said = (said + started.stderr.decode("utf-8", "replace")).strip()
            with jobs_lock(self.jobs_dir):
                kill_leftovers(job_dir)
                replace(
                    record,
                    state=JobState.FAILED,
                    finished=now_text(),
                    reason="Its supervisor did not start.",
                ).write(self.jobs_dir)
            raise JobError(
                f"The supervisor of job {record.id} did not start: {said[-500:] or 'no message'}",
                hint=f"Try it by hand: {sys.executable} -m tsloop.execution.supervisor {job_dir}",
            )

    def _seen(self, record: JobRecord) -> JobRecord:
        return seen_state(self.jobs_dir, record, self.config.lost_after_s)

    def status(self, job_id: str) -> JobInfo:
        """See `Executor.status`."""
        return to_info(self.jobs_dir, self._seen(find_job(self.jobs_dir, job_id)))

    def list(self) -> Sequence[JobInfo]:
        """See `Executor.list`."""
        return [to_info(self.jobs_dir, self._seen(r)) for r in list_records(self.jobs_dir)]

    def cancel(self, job_id: str) -> JobInfo:
        """See `Executor.cancel`; of a lost job it ends whatever processes are left."""
        record = self._seen(find_job(self.jobs_dir, job_id))
        if not record.state.finished:
            (self.jobs_dir / record.id / "cancel").touch()
            deadline = time.monotonic() + self.config.grace_s + ANSWER_S
            while not (record := self._seen(find_job(self.jobs_dir, record.id))).state.finished:
                if time.monotonic() > deadline:
                    self._end_by_force(record)
                    break
                time.sleep(0.05)
        if record.state is JobState.LOST and not record.finished:
            with jobs_lock(self.jobs_dir):
                reap_lost(self.jobs_dir, record)
        return self.status(record.id)

    def _end_by_force(self, record: JobRecord) -> None:
        """For a supervisor that does not answer (stopped, or on a machine that hangs)."""
        supervisor = record.supervisor
        if supervisor is None or supervisor.host != hostname():
            where = supervisor.host if supervisor else "an unknown machine"
            raise JobError(
                f"Job {record.id} is supervised on {where} and does not answer.",
                hint="Cancel it there.",
            )
        if is_alive(supervisor):
            os.kill(supervisor.pid, signal.SIGKILL)
        with jobs_lock(self.jobs_dir):
            kill_leftovers(self.jobs_dir / record.id)
            replace(
                record,
                state=JobState.CANCELLED,
                finished=now_text(),
                reason="Cancelled by force: its supervisor did not answer.",
            ).write(self.jobs_dir)

    def logs(self, job_id: str, tail: int | None = None) -> str:
        """See `Executor.logs`."""
        path = self.jobs_dir / find_job(self.jobs_dir, job_id).id / "log.txt"
        text = path.read_text("utf-8", "replace") if path.exists() else ""
        if tail is None:
            return text
        return "".join(text.splitlines(keepends=True)[-tail:]) if tail > 0 else ""

    def follow(self, job_id: str, poll_s: float = 0.3) -> Iterator[str]:
        """See `Executor.follow`."""
        job_id = find_job(self.jobs_dir, job_id).id
        path = self.jobs_dir / job_id / "log.txt"
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        offset = 0
        while True:
            finished = self.status(job_id).state.finished  # asked first: nothing printed is missed
            if path.exists():
                with path.open("rb") as stream:
                    stream.seek(offset)
                    new = stream.read()
                offset += len(new)
                if text := decoder.decode(new, final=finished):
                    yield text
            if finished:
                return
            time.sleep(poll_s)

    def prune(self, keep: int) -> Sequence[str]:
        """See `Executor.prune`."""
        with jobs_lock(self.jobs_dir):
            finished = [r.id for r in list_records(self.jobs_dir) if r.state.finished]
            forgotten = finished[: max(0, len(finished) - max(0, keep))]
            for job_id in forgotten:
                (self.jobs_dir / job_id / "job.json").unlink()  # without a record it is no job
                shutil.rmtree(self.jobs_dir / job_id)
        return forgotten
