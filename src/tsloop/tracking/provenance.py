"""Which commit and which ``dvc.lock`` a published iteration belongs to.

The commit is the last one that touched ``registry/<it>.json``: it holds the lock file, the
parameters and the labels that made the iteration. While the file is not committed, the commit is
HEAD and the iteration is marked dirty.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsloop.errors import TrackingError

__all__ = ["NO_COMMIT", "Origin", "Provenance"]

NO_COMMIT = "none"
"""Value of the commit outside git, or before the first commit."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The commit of a file, whether the file differs from it, and the commit's time."""

    commit: str
    dirty: bool
    time_ms: int


@dataclass
class Provenance:
    """Answers for one project; asks git once for all files of a directory."""

    root: Path
    _origins: dict[str, Origin] | None = None
    _locks: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _head: Origin | None = None

    def origin(self, path: str) -> Origin:
        """Origin of a file below ``registry`` (path relative to the project)."""
        if self._origins is None:
            self._origins = self._read_origins()
        return self._origins.get(path, self.head)

    @property
    def head(self) -> Origin:
        """What an uncommitted file belongs to."""
        if self._head is None:
            text = self._git("log", "-n1", "--format=%H %ct") or ""
            commit, _, seconds = text.strip().partition(" ")
            self._head = Origin(commit or NO_COMMIT, True, int(seconds or 0) * 1000)
        return self._head

    def lock_sha256(self, origin: Origin) -> str:
        """Hash of ``dvc.lock`` at the origin; empty where there is none."""
        text = self._lock_text(origin)
        return hashlib.sha256(text).hexdigest() if text else ""

    def dvc_md5(self, origin: Origin, *paths: str) -> str:
        """DVC's digest of the first of these outputs or dependencies that ``dvc.lock`` knows."""
        known = self._digests(origin)
        for path in paths:
            if path in known:
                return str(known[path])
        return ""

    def _digests(self, origin: Origin) -> Mapping[str, Any]:
        text = self._lock_text(origin)
        key = hashlib.sha256(text).hexdigest()
        if key not in self._locks:
            self._locks[key] = _lock_digests(text, f"dvc.lock at {origin.commit}")
        return self._locks[key]

    def _lock_text(self, origin: Origin) -> bytes:
        if not origin.dirty:
            # "./" counts from here: the project may be a directory of a larger repository.
            text = self._git("show", f"{origin.commit}:./dvc.lock")
            if text is not None:
                return text.encode("utf-8")
        path = self.root / "dvc.lock"
        return path.read_bytes() if path.is_file() else b""

    def _read_origins(self) -> dict[str, Origin]:
        log = self._git(
            "-c", "core.quotePath=false", "log", "--format=%x00%H %ct", "--name-only",
            "--relative", "--", "registry",
        )  # fmt: skip
        origins: dict[str, Origin] = {}
        for block in (log or "").split("\0")[1:]:
            first, *names = block.strip().splitlines()
            commit, _, seconds = first.partition(" ")
            for name in filter(None, names):
                origins.setdefault(name, Origin(commit, False, int(seconds) * 1000))
        changed = self._git("diff", "--name-only", "--relative", "-z", "HEAD", "--", "registry")
        for name in filter(None, (changed or "").split("\0")):
            origins[name] = self.head
        return origins

    def _git(self, *arguments: str) -> str | None:
        """Output of a git command in the project, or None where it fails (no repository)."""
        try:
            done = subprocess.run(
                ["git", "--no-optional-locks", *arguments],
                cwd=self.root,
                capture_output=True,
                check=False,
                timeout=60,
            )
        except FileNotFoundError:
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _lock_digests(text: bytes, where: str) -> dict[str, str]:
    """Path to MD5, of every output and, where no stage makes it, of every dependency."""
    import yaml

    try:
        stages = (yaml.load(text, Loader=_loader()) or {}).get("stages", {})
        entries = [
            (item["path"], item["md5"])
            for kind in ("deps", "outs")
            for stage in stages.values()
            for item in stage.get(kind) or []
            if "md5" in item
        ]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise TrackingError(
            f"{where} cannot be read: {error!r}.",
            hint="Settle a merge conflict in it by deleting it and running: dvc repro",
        ) from error
    return dict(entries)


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
