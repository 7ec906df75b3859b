"""What every stage does around its work: find the project, check the configuration, report.

A stage is ``python -m tsloop.stages.<name> [KEY]``. It reads ``params.yaml`` and its declared
inputs, writes its declared outputs by rename, and ends with one JSON line of figures. It dies with
the process that started it, so that no orphan goes on writing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tsloop.config.params import check_drift
from tsloop.errors import ConfigError, TsloopError
from tsloop.execution.guard import die_with_parent
from tsloop.execution.progress import stage_progress
from tsloop.files import dump_json
from tsloop.offline import work_offline
from tsloop.project import Project, find_project

__all__ = ["Figures", "Stage", "StageContext", "run_stage"]

Figures = Mapping[str, Any]


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
        found: Mapping[str, Any] = entries[self.key]
        return found


Stage = Callable[[StageContext], Figures]


def run_stage(name: str, stage: Stage, argv: list[str] | None = None) -> int:
    """Run one stage and return its exit code: 0, or 1 with one clear message."""
    arguments = sys.argv[1:] if argv is None else argv
    work_offline()
    started = time.monotonic()
    key = arguments[0] if arguments else ""
    try:
        die_with_parent()
        project = find_project()
        params = check_drift(project)
        with stage_progress(f"{name}@{key}" if key else name) as progress:
            figures = stage(StageContext(project, params, key, progress))
    except TsloopError as error:
        sys.stderr.write(f"{name} stopped: {error}\n")
        return 1
    seconds = round(time.monotonic() - started, 2)
    sys.stdout.write(dump_json({"stage": name, "key": key, "seconds": seconds, **figures}) + "\n")
    return 0
