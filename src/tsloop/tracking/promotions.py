"""Who is champion, and who was: ``registry/promotions.jsonl``.

The file is history: kept in git, only ever added to, and the only authority. Aliases in MLflow
follow it. A promotion runs the gate afresh on the scorecards of candidate and champion, and refuses
evidence that no longer fits the files. A rollback takes the last promotion back; it needs no gate,
only the previous champion's model.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from tsloop.errors import PromotionError, TrackingError
from tsloop.files import dump_json, read_jsonl, sha256_tree, write_bytes_atomic
from tsloop.project import Project
from tsloop.tracking.published import Variant, find_variant, pick_challenger, read_published

if TYPE_CHECKING:
    from tsloop.loop.gate import GateConfig
    from tsloop.tracking.config import TrackingConfig

__all__ = [
    "Promotion",
    "champion",
    "current_challenger",
    "current_champion",
    "ever_champion",
    "history",
    "promote",
    "rollback",
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


# --- reading -----------------------------------------------------------------------------------


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


def current_challenger(project_dir: Path) -> str | None:
    """The best model of the newest published iteration that is not the champion, or None."""
    published, _ = read_published(Project(project_dir))
    found = pick_challenger(published, current_champion(project_dir))
    return found.key if found else None


def ever_champion(project_dir: Path) -> set[str]:
    """Iterations that were champion at any time: their models are never collected."""
    return {entry.to.partition("/")[0] for entry in history(project_dir)}


# --- changing ----------------------------------------------------------------------------------


def promote(
    project_dir: Path,
    iteration: str,
    variant: str,
    *,
    who: str = "",
    gate: GateConfig | None = None,
    tracking: TrackingConfig | None = None,
    project_name: str = "",
    force: bool = False,
    reason: str = "",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Promotion:
    """Make a published model the champion and return the line added to the history.

    Refuses (`PromotionError`) a model that is not published or is no longer what was published, a
    scorecard on other gold than the champion's or the project's, and anything but a win at the
    gate. ``force`` with a ``reason`` overrules the verdict of the gate and stale gold, and is
    recorded; a model that is not what was published is refused all the same. With ``tracking``
    MLflow is synchronised afterwards, so that the aliases follow at once.
    """
    if force and not reason.strip():
        raise PromotionError(
            "A forced promotion needs a reason.", hint="Add one: --force --reason 'why'"
        )
    project = Project(project_dir)
    with _history_lock(project):
        published, problems = read_published(project)
        key = f"{iteration}/{variant}"
        candidate = find_variant(published, key)
        if candidate is None:
            names = [v.key for item in published for v in item.variants]
            raise PromotionError(
                f"{key} is not published; published are {names or 'none'}."
                + (f" Broken: {' '.join(problems)}" if problems else ""),
                hint="Run `dvc repro` first.",
            )
        _check_model(project, candidate)
        last = champion(project_dir)
        if last and (last.to, last.model_sha256) == (key, candidate.model_sha256):
            raise PromotionError(f"{key} is the champion already.")
        from tsloop.tracking.evidence import gate_evidence

        evidence = gate_evidence(project, published, candidate, last, gate=gate, force=force)
        entry = Promotion(
            time=_stamp(now()),
            who=who or default_who(),
            action=PROMOTE,
            from_=last.to if last else None,
            to=key,
            evidence={**evidence, "model_sha256": candidate.model_sha256, "forced": force},
            reason=reason.strip(),
        )
        _append(project, entry)
    _follow(project, entry, tracking, project_name)
    return entry


def rollback(
    project_dir: Path,
    *,
    who: str = "",
    tracking: TrackingConfig | None = None,
    project_name: str = "",
    reason: str = "",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Promotion:
    """Make the champion before the present one the champion again.

    Rolling back twice goes back two promotions. Refused where there is no earlier champion, or
    where its model is not here as it was promoted then. ``tracking`` as in `promote`.
    """
    project = Project(project_dir)
    with _history_lock(project):
        standing = _standing(history(project_dir))
        if len(standing) < 2:
            raise PromotionError(
                "There is no earlier champion to go back to"
                + (f"; {standing[-1].to} is the first one." if standing else "."),
            )
        present, earlier = standing[-1], standing[-2]
        iteration, _, name = earlier.to.partition("/")
        directory = project.model(iteration, name)
        if not directory.is_dir() or sha256_tree(directory) != earlier.model_sha256:
            raise PromotionError(
                f"The earlier champion {earlier.to} is not in {project.relative(directory)} as it "
                f"was promoted (hash {earlier.model_sha256[:12]}…).",
                hint=f"Bring it back first: dvc pull {project.relative(directory)}",
            )
        entry = Promotion(
            time=_stamp(now()),
            who=who or default_who(),
            action=ROLLBACK,
            from_=present.to,
            to=earlier.to,
            evidence=dict(earlier.evidence),
            reason=reason.strip(),
        )
        _append(project, entry)
    _follow(project, entry, tracking, project_name)
    return entry


def default_who() -> str:
    """The user of this machine; ``TSLOOP_USER`` overrides it."""
    try:
        return os.environ.get("TSLOOP_USER") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _standing(entries: list[Promotion]) -> list[Promotion]:
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


def _check_model(project: Project, candidate: Variant) -> None:
    directory = project.root / candidate.model_dir
    if not directory.is_dir():
        raise PromotionError(
            f"The model of {candidate.key} is not here ({candidate.model_dir}).",
            hint=f"Bring it: dvc pull {candidate.model_dir}",
        )
    if (found := sha256_tree(directory)) != candidate.model_sha256:
        raise PromotionError(
            f"The model in {candidate.model_dir} is not the one that {candidate.key} published: "
            f"its hash is {found[:12]}…, published was {candidate.model_sha256[:12]}….",
            hint="Bring the published one back with `dvc checkout`, or publish again: dvc repro",
        )


def _follow(
    project: Project, entry: Promotion, tracking: TrackingConfig | None, project_name: str
) -> None:
    """Let MLflow's aliases follow; the history stands whatever becomes of that."""
    if tracking is None or not tracking.enabled:
        return
    from tsloop.tracking.sync import sync

    try:
        sync(project.root, tracking, project_name=project_name)
    except TrackingError as error:
        raise TrackingError(
            f"{entry.to} is the champion (registry/promotions.jsonl says so), but MLflow does not "
            f"know it yet: {error.message}",
            hint="Repeat later: tsloop tracking sync",
        ) from error


def _append(project: Project, entry: Promotion) -> None:
    """Add one line. The file is replaced in one step, so a killed process leaves no half line."""
    path = project.promotions
    old = path.read_bytes() if path.is_file() else b""
    if old and not old.endswith(b"\n"):
        old += b"\n"
    write_bytes_atomic(path, old + dump_json(entry.to_dict()).encode("utf-8") + b"\n")


def _history_lock(project: Project) -> FileLock:
    path = project.local / "locks" / "promotions.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, timeout=60)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
