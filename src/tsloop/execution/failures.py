"""What went wrong in the last run of a stage: ``.tsloop/failures/<stage>.json``.

DVC forgets why a stage failed as soon as its output has scrolled away. The stage runner leaves a
record, and takes it back when the stage succeeds; states read it. It is local and may be deleted.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from tsloop.execution.jobs import now_text
from tsloop.files import write_json

__all__ = ["StageFailure", "forget_failure", "read_failures", "record_failure"]

_SHOWN = 400
_STAGE = re.compile(r"\w+(@[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class StageFailure:
    """A stage as DVC names it, why it failed, and when (ISO 8601, UTC)."""

    stage: str
    reason: str
    time: str

    def __str__(self) -> str:
        reason = self.reason if len(self.reason) <= _SHOWN else f"{self.reason[:_SHOWN]}…"
        return f"stage {self.stage} at {self.time[:19]}Z: {reason}"


def record_failure(project_dir: Path, stage: str, reason: str) -> None:
    """Remember the failure of a stage; that this cannot be written hides no other error."""
    if _STAGE.fullmatch(stage):
        with contextlib.suppress(OSError, ValueError):
            write_json(_file(project_dir, stage), asdict(StageFailure(stage, reason, now_text())))


def forget_failure(project_dir: Path, stage: str) -> None:
    """The stage has succeeded."""
    if _STAGE.fullmatch(stage):
        with contextlib.suppress(OSError):
            _file(project_dir, stage).unlink(missing_ok=True)


def read_failures(project_dir: Path) -> list[StageFailure]:
    """The failures that are remembered; what is no such record is left out."""
    found = []
    for path in sorted((project_dir / ".tsloop" / "failures").glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            data = json.loads(path.read_text(encoding="utf-8"))
            found.append(StageFailure(**{key: str(value) for key, value in data.items()}))
    return found


def _file(project_dir: Path, stage: str) -> Path:
    return project_dir / ".tsloop" / "failures" / f"{stage}.json"
