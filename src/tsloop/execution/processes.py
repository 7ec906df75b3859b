"""Which process is it, and is it still that one?

A pid alone names nothing: the system gives it away again. A `ProcessRef` therefore also holds when
the process started (on Linux in clock ticks since the boot, with the boot's id, so that neither a
corrected clock nor a restart can confuse it) and on which machine it lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil

__all__ = [
    "ProcessRef",
    "adopt_orphans",
    "ancestors",
    "die_with_starter",
    "environment_of",
    "find_by_environment",
    "hostname",
    "is_alive",
    "is_zombie",
    "kill_processes",
    "reap_children",
    "reference",
    "set_parent_death_signal",
    "this_process",
]

PR_SET_PDEATHSIG = 1
"""Option number of ``prctl(2)``: the signal to get when the parent dies (Linux)."""
PR_SET_CHILD_SUBREAPER = 36
"""Option number of ``prctl(2)``: become the parent of orphaned descendants (Linux)."""


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process for good: its pid, the moment of its start (opaque text) and its machine."""

    pid: int
    started: str
    host: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(int(data["pid"]), str(data["started"]), str(data["host"]))

    def to_text(self) -> str:
        """``pid@started@host``, short enough for an environment variable."""
        return f"{self.pid}@{self.started}@{self.host}"

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """The inverse of `to_text`; ``None`` where the text is not one."""
        pid, _, rest = text.partition("@")
        started, _, host = rest.partition("@")
        return cls(int(pid), started, host) if pid.isdigit() and started and host else None


@cache
def hostname() -> str:
    """The name under which this machine (or container) signs its processes."""
    return socket.gethostname() or "localhost"


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        return "boot"


def _look_at(pid: int) -> tuple[str, bool] | None:
    """When the process of this pid started, and whether it is a zombie; ``None`` without one."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        # The second field is the name in parentheses and may itself hold spaces and parentheses.
        fields = stat[stat.rindex(b")") + 2 :].split()
        return f"{_boot_id()}-{fields[19].decode('ascii')}", fields[0] in b"ZXx"
    try:
        process = psutil.Process(pid)
        zombie = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return f"{process.create_time():.2f}", zombie
    except psutil.Error:
        return None


def reference(pid: int) -> ProcessRef | None:
    """The process that has this pid now; ``None`` where no living one has it."""
    seen = _look_at(pid) if pid > 0 else None
    return None if seen is None or seen[1] else ProcessRef(pid, seen[0], hostname())


def this_process() -> ProcessRef:
    """The calling process."""
    found = reference(os.getpid())
    if found is None:  # only where /proc is hidden from the process itself
        return ProcessRef(os.getpid(), "unknown", hostname())
    return found


def is_alive(ref: ProcessRef) -> bool:
    """Whether exactly this process still runs here; a zombie, or a pid used again, does not."""
    return ref.host == hostname() and _look_at(ref.pid) == (ref.started, False)


def is_zombie(ref: ProcessRef) -> bool:
    """Whether exactly this process has ended here but was not collected by its parent yet."""
    return ref.host == hostname() and _look_at(ref.pid) == (ref.started, True)


def ancestors(pid: int | None = None) -> list[psutil.Process]:
    """Parent, grandparent, … of a process (default: the calling one), the nearest first."""
    try:
        return list(psutil.Process(pid).parents())
    except psutil.Error:
        return []


def environment_of(process: psutil.Process) -> dict[str, str]:
    """The environment a process was started with; empty where it cannot be read."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def find_by_environment(name: str, value: str) -> list[psutil.Process]:
    """All other processes of this user that were started with ``name=value``."""
    me = os.getpid()
    return [
        process
        for process in psutil.process_iter()
        if process.pid != me and environment_of(process).get(name) == value
    ]


def kill_processes(processes: Iterable[psutil.Process]) -> int:
    """SIGKILL each of them (psutil checks that it is still the same one); how many it reached."""
    killed = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.kill()
            killed += 1
    return killed


def _load_prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None


_PRCTL = _load_prctl()  # looked up once: between fork and exec nothing may be imported


def set_parent_death_signal(expected_parent: int, number: int = signal.SIGKILL) -> bool:
    """Ask the kernel for a signal to the calling process when its parent dies.

    The answer is false where the system has no such thing, and when the parent is already another
    than ``expected_parent``: then the signal would never come.
    """
    if _PRCTL is None or _PRCTL(PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        return False
    return os.getppid() == expected_parent


def die_with_starter() -> Callable[[], None]:
    """A ``preexec_fn`` for `subprocess.Popen`: the child is killed when the caller dies.

    The kernel watches the *thread* that starts the child, so call ``Popen`` from one that lives as
    long as the child should.
    """
    starter = os.getpid()

    def before_exec() -> None:
        if not set_parent_death_signal(starter) and _PRCTL is not None:
            os._exit(1)  # the starter died between fork and here

    return before_exec


def adopt_orphans() -> bool:
    """From now on the calling process, not init, becomes the parent of orphaned descendants.

    Then none of them can hide, and none stays a zombie where init is slow to collect it: DVC takes
    a zombie for a living writer. False where the system cannot do it.
    """
    return _PRCTL is not None and _PRCTL(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def reap_children(but: int = 0) -> None:
    """Collect all children that have ended, up to the one with the pid ``but`` (Linux)."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == but:
                return  # whoever started it wants its exit code
            os.waitpid(ended.si_pid, 0)
