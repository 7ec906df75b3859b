"""What every stage does around its work: find the project, check the configuration, report.

A stage is ``python -m tsloop.stages.<name> [KEY]``. It reads ``params.yaml`` and its declared
inputs, writes its declared outputs by rename, and ends with one JSON line of figures. It dies with
the process that started it, so that no orphan goes on writing.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tsloop.config.params import check_drift, read_params
from tsloop.config.schema import PIPELINE_KEYS, resolve_environment
from tsloop.errors import AnnotationError, ConfigError, TsloopError
from tsloop.execution.failures import forget_failure, record_failure
from tsloop.execution.guard import die_with_parent
from tsloop.execution.progress import stage_progress
from tsloop.files import dump_json, sha256_file
from tsloop.offline import work_offline
from tsloop.project import Project, find_project
from tsloop.signals.kept import keep_in

__all__ = ["Figures", "Stage", "StageContext", "run_stage"]

Figures = Mapping[str, Any]

_WRITTEN = (
    ".",
    "conf/project",
    "data",
    "data/*",
    "data/predictions/*",
    "models",
    "models/*",
    "registry",
    "registry/models",
    "reports",
    "reports/*",
)
"""Where files are written by rename, so that a killed writer leaves its temporary ones."""


@dataclass(frozen=True)
class StageContext:
    """What a stage gets: the project, all of ``params.yaml``, its own key, a progress callback."""

    project: Project
    params: Mapping[str, Any]
    key: str
    progress: Callable[[int, int, str], None]

    def entry(self, section: str) -> Mapping[str, Any]:
        """The stage's own entry, as ``fits.it002-chatts``."""
        entries = self.params.get(section) or {}
        if self.key not in entries:
            raise ConfigError(
                f"params.yaml has no {section}.{self.key}; it has {sorted(entries)}.",
                hint="Write it again with: tsloop configure",
            )
        found: Mapping[str, Any] = resolve_environment(entries[self.key], f"{section}.{self.key}")
        return found

    @contextlib.contextmanager
    def unchanged(self, *paths: Path) -> Iterator[None]:
        """Fail where one of these files, which people write to, is another one at the end.

        DVC hashes dependencies after a stage has ended: a label saved meanwhile would be recorded
        as used.
        """
        before = [sha256_file(path) if path.exists() else "" for path in paths]
        yield
        for path, digest in zip(paths, before, strict=True):
            if (sha256_file(path) if path.exists() else "") != digest:
                raise AnnotationError(
                    f"{self.project.relative(path)} was changed while it was being read.",
                    hint="Run `dvc repro` again.",
                )


Stage = Callable[[StageContext], Figures]


def run_stage(name: str, stage: Stage, argv: list[str] | None = None) -> int:
    """Run one stage and return its exit code: 0, or 1 with one clear message."""
    arguments = sys.argv[1:] if argv is None else argv
    work_offline()
    started = time.monotonic()
    key = arguments[0] if arguments else ""
    full_name = f"{name}@{key}" if key else name
    try:
        die_with_parent()
        project = find_project()
        with contextlib.chdir(project.root), _remembered(project, full_name):
            params = check_drift(project)
            _remove_leftovers(project)
            keep_in(project.local / "cache")
            with stage_progress(full_name) as progress:
                figures = stage(StageContext(project, params, key, progress))
            _check_settings(project, params, key)
    except (TsloopError, OSError) as error:
        sys.stderr.write(f"{name} stopped: {error}\n")
        return 1
    seconds = round(time.monotonic() - started, 2)
    sys.stdout.write(dump_json({"stage": name, "key": key, "seconds": seconds, **figures}) + "\n")
    return 0


@contextlib.contextmanager
def _remembered(project: Project, stage: str) -> Iterator[None]:
    """Leave a record of a failure, for `tsloop status`; success takes it back."""
    try:
        yield
    except Exception as error:
        expected = isinstance(error, TsloopError | OSError)
        record_failure(project.root, stage, str(error) if expected else repr(error))
        raise
    forget_failure(project.root, stage)


def _check_settings(project: Project, params: Mapping[str, Any], key: str) -> None:
    """DVC reads params after the stage: what was configured meanwhile must not count as used."""
    if _settings(read_params(project), key) != _settings(params, key):
        raise ConfigError(
            "params.yaml was changed while the stage was running.", hint="Run `dvc repro` again."
        )


def _settings(params: Mapping[str, Any], key: str) -> dict[str, Any]:
    if not key:
        return {name: params.get(name) for name in ("source", "prepare", "revisions")}
    return {name: (params.get(name) or {}).get(key) for name in PIPELINE_KEYS}


def _remove_leftovers(project: Project) -> None:
    """Delete half-written files beside outputs whose writer was killed."""
    for place in _WRITTEN:
        for path in project.root.glob(f"{place}/.*.tmp-*"):
            pid = path.name.rpartition("-")[2]
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
