"""Nobody writes behind anybody's back: orphan protection for stages, and the project's lock.

**Orphans.** When ``dvc`` is killed, the stage it was running lives on: DVC starts it through a
shell, so nothing ends it, and it would go on writing into directories that the next ``dvc repro``
fills as well. Every stage therefore calls `die_with_parent` first. It looks for the process that is
responsible for it (the nearest ``dvc`` among its ancestors, and the supervisor of a background job)
and ends itself as soon as that one is gone. A stage that was started by hand has no such process
and is left alone, also when its terminal closes.

**The lock.** DVC allows one writer per project and refuses the second at once, without saying much.
`project_lock` is taken around everything that runs DVC or changes iterations.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from tsloop.errors import ProjectError
from tsloop.execution.jobs import RUNNER_VARIABLE, now_text
from tsloop.execution.processes import (
    ProcessRef,
    ancestors,
    environment_of,
    hostname,
    is_alive,
    kill_processes,
    reference,
    set_parent_death_signal,
    this_process,
)
from tsloop.files import write_json

__all__ = ["LockOwner", "ParentWatch", "die_with_parent", "lock_owner", "project_lock"]

DVC_STAGE = "DVC_STAGE"
"""DVC sets this for every command it runs."""


def _is_python(name: str) -> bool:
    return re.fullmatch(r"python[\d.]*|pypy[\d.]*", name) is not None


def _is_dvc(process: psutil.Process) -> bool:
    """``dvc …``, ``python /somewhere/dvc …``, or ``python -m dvc …``."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    if not command or not _is_python(Path(command[0]).name):
        return bool(command) and Path(command[0]).name == "dvc"
    words = [word for word in command[1:] if word == "-m" or not word.startswith("-")]
    script = words[1:2] if words[:1] == ["-m"] else words[:1]
    return [Path(word).name for word in script] == ["dvc"]


def _runs_dvc_inside(process: psutil.Process, stage: str) -> bool:
    """A Python program that runs DVC as a library: its children know the stage, it does not."""
    try:
        is_python = _is_python(Path(process.exe() or process.name()).name)
    except psutil.Error:
        return False
    return is_python and environment_of(process).get(DVC_STAGE) != stage


@dataclass(frozen=True, slots=True)
class Responsible:
    """A process without which this one must not go on, and those between the two (shells)."""

    process: ProcessRef
    between: tuple[psutil.Process, ...] = ()


def _responsible(chain: list[psutil.Process], pid: int) -> Responsible | None:
    process = reference(pid)
    if process is None:
        return None
    pids = [ancestor.pid for ancestor in chain]
    return Responsible(process, tuple(chain[: pids.index(pid)]) if pid in pids else ())


def find_dvc(chain: list[psutil.Process], runner: ProcessRef | None = None) -> Responsible | None:
    """The nearest of these ancestors that runs DVC; ``None`` where there is none.

    ``runner`` is a job's supervisor: it adopts orphans but never runs DVC itself.
    """
    stage = os.environ.get(DVC_STAGE)
    found = next((process for process in chain if _is_dvc(process)), None)
    if found is None and stage is not None:
        outside = (p for p in chain if environment_of(p).get(DVC_STAGE) != stage)
        first = next(outside, None)
        if first is not None and (runner is None or first.pid != runner.pid):
            found = first if _runs_dvc_inside(first, stage) else None
    return _responsible(chain, found.pid) if found is not None else None


def find_responsible() -> list[Responsible]:
    """Everybody without whom this process must not go on; empty when it was started by hand.

    Where the environment says that DVC or a job's supervisor started this process but that one
    cannot be found, it has died already: then this is a `ProjectError`.
    """
    chain = ancestors()
    found: list[Responsible] = []
    runner = ProcessRef.from_text(os.environ.get(RUNNER_VARIABLE, ""))
    dvc = find_dvc(chain, runner)
    if dvc is not None:
        found.append(dvc)
    elif DVC_STAGE in os.environ:
        raise ProjectError(
            f"The dvc process that started stage {os.environ[DVC_STAGE]!r} is gone.",
            hint=f"Run `dvc repro` again; to run a stage by hand, unset {DVC_STAGE}.",
        )
    if runner is not None and runner.host == hostname():
        supervisor = _responsible(chain, runner.pid)
        if supervisor is None or supervisor.process != runner:
            raise ProjectError("The supervisor of the job that this process belongs to is gone.")
        found.append(supervisor)
    return found


class ParentWatch(threading.Thread):
    """Looks after the responsible processes; without them, this one and its children end."""

    def __init__(self, watched: Sequence[Responsible], interval_s: float = 0.5) -> None:
        super().__init__(name="tsloop-parent-watch", daemon=True)
        self.watched = tuple(watched)
        self.interval_s = interval_s
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Stop looking."""
        self._stopped.set()

    def run(self) -> None:
        """Look every ``interval_s`` seconds."""
        while not self._stopped.wait(self.interval_s):
            for responsible in self.watched:
                if not is_alive(responsible.process):
                    _end_now(responsible)


def _end_now(gone: Responsible) -> None:
    """SIGKILL to the shells above, all descendants and this process: no exit handler may write.

    The process group is left alone: without job control it is also that of whoever started dvc.
    """
    with contextlib.suppress(OSError, ValueError):  # nobody may be left to read it
        sys.stderr.write(
            f"tsloop: process {gone.process.pid}, which started this one, is gone; ending here.\n"
        )
        sys.stderr.flush()
    for _ in range(2):  # a child may have started another one meanwhile
        with contextlib.suppress(psutil.Error):
            kill_processes(psutil.Process().children(recursive=True))
    # The kernel's signal may end this process as soon as its shell is dead; both ways are right.
    kill_processes(gone.between)
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_parent(interval_s: float = 0.5) -> ParentWatch | None:
    """Bind this process's life to the dvc process or job supervisor that is responsible for it.

    Call it first thing, in the main thread. Returns the running watch, or ``None`` where nobody is
    responsible. Raises `ProjectError` where the responsible process has died already.
    """
    parent = os.getppid()
    watched = find_responsible()
    if not watched:
        return None
    # At once and even while Python cannot run a thread: the kernel's own signal, from the shell.
    if not set_parent_death_signal(parent) and os.getppid() != parent:
        raise ProjectError(f"Process {parent}, which started this one, is gone.")
    watch = ParentWatch(watched, interval_s)
    watch.start()
    return watch


@dataclass(frozen=True, slots=True)
class LockOwner:
    """Who holds a project, since when, and what for."""

    process: ProcessRef
    what: str
    since: str

    def __str__(self) -> str:
        where = "" if self.process.host == hostname() else f" on {self.process.host}"
        return f"process {self.process.pid}{where}, {self.what}, since {self.since}"


def _lock_file(project_dir: Path) -> Path:
    return project_dir.resolve() / ".tsloop" / "run.lock"


def lock_owner(project_dir: Path) -> LockOwner | None:
    """Who holds the project now; ``None`` where nobody does, or its holder died."""
    try:
        data = json.loads(_lock_file(project_dir).read_text(encoding="utf-8"))
        owner = LockOwner(ProcessRef.from_dict(data["process"]), data["what"], data["since"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ProjectError(
            f"{_lock_file(project_dir)} is not a lock file: {error!r}.",
            hint="Delete it if nothing runs in the project.",
        ) from error
    # Of another machine's processes nothing can be known: they count as alive.
    return owner if owner.process.host != hostname() or is_alive(owner.process) else None


def _is_inside(owner: LockOwner) -> bool:
    """Whether the owner started this process: then the lock is held on its behalf already."""
    me = owner.process.pid == os.getpid()
    return not me and any(reference(p.pid) == owner.process for p in ancestors())


def _try_lock(path: Path, project_dir: Path, what: str) -> LockOwner | None:
    """Take the lock; the owner where somebody else has it."""
    with FileLock(path.with_name("run.lock.mutex")):
        owner = lock_owner(project_dir)
        if owner is None:
            mine = {"process": this_process().to_dict(), "what": what, "since": now_text()}
            write_json(path, mine)
        return owner


@contextlib.contextmanager
def project_lock(
    project_dir: Path,
    what: str,
    *,
    wait_s: float = 0.0,
    on_wait: Callable[[str], None] = lambda message: None,
    poll_s: float = 0.2,
) -> Iterator[None]:
    """Hold the project while doing ``what`` (a few words, shown to others).

    Where somebody else holds it, wait up to ``wait_s`` seconds (``math.inf``: for ever), telling
    ``on_wait`` once for whom; then `ProjectError` names the owner. The lock of a process that died
    is taken over. A process that the owner itself started, directly or not, enters freely.
    """
    path = _lock_file(project_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    told: LockOwner | None = None
    while (owner := _try_lock(path, project_dir, what)) is not None:
        if _is_inside(owner):
            yield
            return
        if time.monotonic() >= deadline:
            raise ProjectError(
                f"The project {project_dir} is busy: {owner}.",
                hint="Wait until it has finished, or stop it (see `tsloop jobs`)."
                if owner.process.host == hostname()
                else f"If nothing runs there any more, delete {path}.",
            )
        if owner != told:
            on_wait(f"Waiting for the project: {owner}.")
            told = owner
        time.sleep(poll_s)
    try:
        yield
    finally:
        with FileLock(path.with_name("run.lock.mutex")):
            held = lock_owner(project_dir)
            if held is not None and held.process == this_process():
                path.unlink()
