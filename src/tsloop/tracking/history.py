"""The promotion history, ``registry/promotions.jsonl``: its lines, and who is champion by them.

The file is kept in git and only ever added to. Lines say who made which model champion, when, in
whose place, and on what evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from tsloop.errors import PromotionError
from tsloop.files import dump_json, read_jsonl, write_bytes_atomic
from tsloop.project import Project

__all__ = [
    "PROMOTE",
    "ROLLBACK",
    "SCHEMA",
    "Promotion",
    "append",
    "champion",
    "current_champion",
    "ever_champion",
    "history",
    "history_lock",
    "standing",
]

SCHEMA = "tsloop.promotion/1"
PROMOTE, ROLLBACK = "promote", "rollback"


@dataclass(frozen=True, slots=True)
class Promotion:
    """One line of the history: who made which model champion, when, and on what evidence."""

    time: str
    """ISO 8601 in UTC, to the second."""
    who: str
    action: str
    from_: str | None
    to: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """``gold_sha256``, ``verdict``, ``model_sha256``, ``forced``."""
    reason: str = ""

    @property
    def model_sha256(self) -> str:
        """Hash of the promoted model directory."""
        return str(self.evidence.get("model_sha256", ""))

    def __str__(self) -> str:
        text = f"{self.to} is champion now (before: {self.from_ or 'none'}), by {self.who}"
        return f"{text}: {self.reason}" if self.reason else text

    def to_dict(self) -> dict[str, Any]:
        """The line as it stands in the file."""
        return {
            "schema": SCHEMA,
            "time": self.time,
            "who": self.who,
            "action": self.action,
            "from": self.from_,
            "to": self.to,
            "evidence": dict(self.evidence),
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any], where: str) -> Promotion:
        """The inverse of `to_dict`; ``where`` names file and line in errors."""
        try:
            if row["schema"] != SCHEMA or row["action"] not in (PROMOTE, ROLLBACK):
                raise ValueError(f"schema {row['schema']!r}, action {row['action']!r}")
            return cls(
                time=str(row["time"]),
                who=str(row["who"]),
                action=str(row["action"]),
                from_=row["from"],
                to=str(row["to"]),
                evidence=dict(row["evidence"]),
                reason=str(row.get("reason", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PromotionError(
                f"{where} is not a promotion: {error!r}.", hint="Restore the file from git."
            ) from error


def history(project_dir: Path) -> list[Promotion]:
    """All promotions and rollbacks, oldest first; empty where there was none."""
    path = Project(project_dir).promotions
    if not path.is_file():
        return []
    rows = read_jsonl(path)
    return [Promotion.from_dict(row, f"{path}, entry {n}") for n, row in enumerate(rows, start=1)]


def champion(project_dir: Path) -> Promotion | None:
    """The last entry, which says who is champion; None before the first promotion."""
    entries = history(project_dir)
    return entries[-1] if entries else None


def current_champion(project_dir: Path) -> str | None:
    """The champion as ``it001/chatts``, or None."""
    last = champion(project_dir)
    return last.to if last else None


def ever_champion(project_dir: Path) -> set[str]:
    """Iterations that were champion at any time: their models are never collected."""
    return {entry.to.partition("/")[0] for entry in history(project_dir)}


def standing(entries: Sequence[Promotion]) -> list[Promotion]:
    """The promotions that are not taken back, oldest first: the last one is the champion."""
    stack: list[Promotion] = []
    for entry in entries:
        if entry.action == PROMOTE:
            stack.append(entry)
            continue
        while stack and (stack[-1].to, stack[-1].model_sha256) != (entry.to, entry.model_sha256):
            stack.pop()
        if not stack:
            stack.append(entry)
    return stack


def append(project: Project, entry: Promotion) -> None:
    """Add one line. The file is replaced in one step, so a killed process leaves no half line."""
    path = project.promotions
    old = path.read_bytes() if path.is_file() else b""
    if old and not old.endswith(b"\n"):
        old += b"\n"
    write_bytes_atomic(path, old + dump_json(entry.to_dict()).encode("utf-8") + b"\n")


def history_lock(project: Project) -> FileLock:
    path = project.local / "locks" / "promotions.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, timeout=60)
