"""Take iterations out of the live DVC graph without losing a byte.

DVC's own cost grows faster than the number of stages, so only the last few iterations stay stages.
The outputs of an archived one become plain tracked data: one file ``archive/<it>.dvc`` lists them
with the hashes that ``dvc.lock`` had. Paths do not change, so iterations that build on an archived
one see the same dependencies and do not rerun. The git tag ``tsloop/<it>`` names the last commit in
which the iteration still was a set of stages: check it out and ``dvc repro`` makes it again.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tsloop.errors import IterationError
from tsloop.files import write_text_atomic
from tsloop.project import Project

__all__ = [
    "WEIGHTS",
    "forget_outputs",
    "half_archived",
    "tag_iteration",
    "track_outputs",
]

_IN_GIT = ("reports/metrics/", "reports/curves/", "reports/plots/", "registry/")
_REPRODUCED_FROM = (
    *("dvc.yaml", "dvc.lock", "params.yaml", "conf", "registry"),
    "data/labels/gold.jsonl",
)
WEIGHTS = ("models/", "data/predictions/", "data/datasets/")
"""What takes the space, and can be made again."""


def tag_iteration(project: Project, name: str) -> None:
    """Make the git tag from which `dvc repro` reproduces the iteration; one that exists stays.

    Raises `IterationError` where the tag would not reproduce it: nothing committed, not yet run.
    """
    if not any(_is_cached(out) for out in _outs_of(_read_lock(project), name)):
        raise IterationError(f"dvc.lock has no outputs of {name}.", hint="Run `dvc repro` first.")
    _tag(project, name)


def half_archived(project: Project, archived: Iterable[str]) -> list[str]:
    """Archived iterations that ``dvc.lock`` still knows as stages: archiving was interrupted."""
    lock = _read_lock(project)
    return [name for name in archived if any(_stages_of(lock, name))]


def track_outputs(project: Project, name: str) -> None:
    """Move the outputs of an iteration that is no stage any more to ``archive/<it>.dvc``."""
    lock = _read_lock(project)
    cached = (out for out in _outs_of(lock, name) if _is_cached(out))
    _write_tracked(project, name, sorted(cached, key=lambda out: str(out["path"])))
    _drop_stages(project, lock, name)


def forget_outputs(project: Project, name: str, *, weights_only: bool = False) -> None:
    """Delete an iteration's outputs (or only weights, predictions, datasets); never its journal."""
    tracked = project.root / "archive" / f"{name}.dvc"
    if weights_only:
        if tracked.exists():
            outs = yaml.safe_load(tracked.read_text(encoding="utf-8"))["outs"]
            kept = [out for out in outs if not str(out["path"]).startswith(WEIGHTS)]
            _write_tracked(project, name, kept)
        return
    tracked.unlink(missing_ok=True)
    lock = _read_lock(project)
    if lock.get("stages"):
        _drop_stages(project, lock, name)
    for directory in (
        project.root / "models" / name,
        project.root / "data" / "predictions" / name,
        project.dataset(name),
        project.snapshot(name),
        project.report(name),
        project.root / "reports" / "plots" / name,
    ):
        shutil.rmtree(directory, ignore_errors=True)
    for file in (
        project.queue(name),
        project.simulated(name),
        project.registry(name),
        project.root / "reports" / "metrics" / f"{name}.json",
        project.root / "reports" / "curves" / f"{name}.csv",
        *(project.local / "failures").glob(f"*@{name}.json"),
        *(project.local / "failures").glob(f"*@{name}-*.json"),
    ):
        file.unlink(missing_ok=True)


def _tag(project: Project, name: str) -> None:
    tag = f"tsloop/{name}"
    if _git(project, "rev-parse", "--is-inside-work-tree").returncode:
        raise IterationError(
            f"{project.root} is not in a git repository, so nothing could bring {name} back.",
            hint="Run: git init && git add -A && git commit -m 'first iterations'",
        )
    if not _git(project, "tag", "--list", tag).stdout.strip():
        dirty = _git(
            project, "status", "--porcelain", "--", *_REPRODUCED_FROM, f"data/labels/{name}.jsonl"
        ).stdout
        if dirty.strip():
            changed = ", ".join(line[3:] for line in dirty.splitlines()[:5])
            raise IterationError(
                f"There are uncommitted changes, so a tag for {name} would not reproduce it: "
                f"{changed}.",
                hint="Commit first: git add -A && git commit -m 'iteration results'",
            )
        done = _git(project, "tag", tag)
        if done.returncode:
            raise IterationError(f"git tag {tag} failed: {done.stderr.strip()}.")


def _git(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=project.root, capture_output=True, text=True, check=False
    )


def _stages_of(lock: Mapping[str, Any], name: str) -> Iterator[str]:
    for stage in lock.get("stages", {}):
        key = stage.partition("@")[2]
        if key == name or key.startswith(f"{name}-"):
            yield stage


def _outs_of(lock: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [out for stage in _stages_of(lock, name) for out in lock["stages"][stage]["outs"]]


def _is_cached(out: Mapping[str, Any]) -> bool:
    """Metrics, curves and registry files are kept in git, not in DVC's cache."""
    return not str(out["path"]).startswith(_IN_GIT)


def _write_tracked(project: Project, name: str, outs: list[dict[str, Any]]) -> None:
    path = project.root / "archive" / f"{name}.dvc"
    write_text_atomic(path, yaml.safe_dump({"wdir": "..", "outs": outs}, sort_keys=False))


def _read_lock(project: Project) -> dict[str, Any]:
    path = project.root / "dvc.lock"
    if not path.exists():
        return {}
    lock: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return lock


def _drop_stages(project: Project, lock: dict[str, Any], name: str) -> None:
    for stage in list(_stages_of(lock, name)):
        del lock["stages"][stage]
    write_text_atomic(Path(project.root / "dvc.lock"), yaml.safe_dump(lock, sort_keys=False))
