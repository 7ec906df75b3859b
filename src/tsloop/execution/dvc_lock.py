"""DVC's own locks, seen from outside: who runs ``dvc`` in a project, and on what.

A plain ``dvc repro`` does not know the project's lock (`tsloop.execution.guard`). It leaves two
signs in ``.dvc/tmp``: ``lock``, held by ``flock`` while DVC reads or writes its own files, and
``rwlock``, which names for every running command the process and the paths it reads and writes.
DVC holds one of the two for as long as it works.

`exclusive_project` honours both: whoever changes iterations waits for nobody's stage to be pulled
from under it, and a ``dvc`` that is started meanwhile waits up to 3 s and then says "Unable to
acquire lock".
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from tsloop.errors import ProjectError
from tsloop.execution.guard import project_lock
from tsloop.execution.processes import ancestors

__all__ = ["DvcCommand", "dvc_commands", "exclusive_project"]

WAIT_S = 3.0
"""How long to wait for DVC's lock; DVC itself waits as long."""


@dataclass(frozen=True, slots=True)
class DvcCommand:
    """A command of DVC that runs now."""

    pid: int
    command: str
    writes: frozenset[Path] = frozenset()
    """Absolute paths of the outputs that it is making."""

    def __str__(self) -> str:
        return f"process {self.pid} runs `{self.command}`"


def dvc_commands(project_dir: Path) -> list[DvcCommand]:
    """The living processes that DVC's ``rwlock`` names; those of dead ones are left out."""
    directory = _dvc_dir(project_dir)
    path = directory / "tmp" / "rwlock" if directory else None
    if path is None or not path.exists():
        return []
    try:
        written = path.stat().st_mtime
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        entries = [(entry, where) for where, entry in data.get("write", {}).items()]
        entries += [(entry, "") for found in data.get("read", {}).values() for entry in found]
        found = {(int(entry["pid"]), str(entry["cmd"])) for entry, _ in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []  # just being written; DVC itself complains of a broken one
    return [
        DvcCommand(
            pid,
            _shown(command),
            frozenset(Path(w) for e, w in entries if w and (e["pid"], e["cmd"]) == (pid, command)),
        )
        for pid, command in sorted(found)
        if _is_alive(pid, written)
    ]


@contextlib.contextmanager
def exclusive_project(project_dir: Path, what: str) -> Iterator[None]:
    """Change a project while nobody else does and no DVC runs in it; else `ProjectError`."""
    with project_lock(project_dir, what), _hold_dvc(project_dir):
        mine = {os.getpid(), *(process.pid for process in ancestors())}
        for command in dvc_commands(project_dir):
            if command.pid not in mine:
                raise _busy(project_dir, str(command))
        yield


def _dvc_dir(project_dir: Path) -> Path | None:
    here = project_dir.resolve()
    return next((d / ".dvc" for d in (here, *here.parents) if (d / ".dvc").is_dir()), None)


def _is_alive(pid: int, written: float) -> bool:
    """Whether the process that wrote its pid lives; one that started later only got its number."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= written + 1
    except psutil.Error:
        return False


def _shown(command: str) -> str:
    """``dvc repro`` for ``/somewhere/bin/dvc repro`` and ``/somewhere/dvc/__main__.py repro``."""
    script, _, rest = command.partition(" ")
    path = Path(script)
    name = path.parent.name if path.name == "__main__.py" else path.name
    return f"{name} {rest}".strip()


def _busy(project_dir: Path, who: str) -> ProjectError:
    return ProjectError(
        f"DVC is at work in {project_dir}: {who}.",
        hint="Wait until it has finished, or stop it.",
    )


@contextlib.contextmanager
def _hold_dvc(project_dir: Path) -> Iterator[None]:
    directory = _dvc_dir(project_dir)
    if directory is None or _locks_by_links(directory):
        yield
        return
    path = directory / "tmp" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        deadline = time.monotonic() + WAIT_S
        while not _try_flock(stream):
            if time.monotonic() >= deadline:
                raise _busy(project_dir, _holder(path))
            time.sleep(0.1)
        # As DVC writes it. Closing the file gives the lock back, also when this process dies.
        stream.truncate(0)
        stream.write(f" {os.getpid()}\n")
        stream.flush()
        yield


def _locks_by_links(directory: Path) -> bool:
    """``core.hardlink_lock``: the lock is the existence of the file, so it must not be made."""
    files = (directory / "config", directory / "config.local")
    texts = [file.read_text("utf-8", "replace") for file in files if file.is_file()]
    return any("hardlink_lock" in text for text in texts)


def _try_flock(stream: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # a system without flock: the rwlock has to do
        return True
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _holder(path: Path) -> str:
    text = path.read_text("utf-8", "replace").strip()
    with contextlib.suppress(psutil.Error, ValueError):
        words = psutil.Process(int(text)).cmdline()
        named = next((n for n, word in enumerate(words) if Path(word).name == "dvc"), 0)
        return str(DvcCommand(int(text), _shown(" ".join(words[named:]))))
    return f"process {text or 'unknown'}"
