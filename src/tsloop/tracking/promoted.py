"""What a promotion keeps: the promoted model itself, in ``registry/models/<hash>``.

A stage output is replaced by the next ``dvc repro``; what is served must not be. So a promotion
copies the model to a place named by its content, which nothing writes again: one rename puts it
there, DVC tracks it (``registry/models/<hash>.dvc``, so that ``dvc push`` and ``dvc pull`` carry
it), and everybody who reads it compares its hash with the one in the promotion history.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from tsloop.errors import PromotionError
from tsloop.files import dump_json, fresh_dir, read_json, sha256_tree, write_text_atomic
from tsloop.project import Project

__all__ = [
    "SCHEMA",
    "forget_models",
    "holds",
    "is_kept",
    "keep_model",
    "keep_scorecard",
    "kept_models",
    "kept_scorecard",
    "pointer_of",
    "promoted_model",
    "read_kept_scorecard",
    "scorecard_file",
]

SCHEMA = "tsloop.promoted/1"


def pointer_of(project: Project, sha256: str) -> Path:
    """The ``.dvc`` file by which DVC tracks a promoted model."""
    place = project.promoted(sha256)
    return place.with_name(f"{place.name}.dvc")


def holds(directory: Path, sha256: str) -> bool:
    """Whether the directory is there and has that content."""
    return directory.is_dir() and sha256_tree(directory) == sha256


def is_kept(project: Project, sha256: str) -> bool:
    """Whether the content lies here as it was promoted, and DVC tracks it."""
    return _is_tracked(project, sha256) and holds(project.promoted(sha256), sha256)


def keep_model(project: Project, sha256: str, source: Path) -> Path:
    """Copy a model directory of that hash to its place and let DVC track it; returns the place.

    Repeating it completes what a killed process left, and does nothing where all is there.
    """
    place = project.promoted(sha256)
    _remove_leftovers(place.parent)
    if not holds(place, sha256):
        with fresh_dir(place) as temporary:
            shutil.copytree(source, temporary, dirs_exist_ok=True)
            if sha256_tree(temporary) != sha256:
                raise PromotionError(
                    f"{project.relative(source)} was changed while it was being copied, or is not "
                    f"the model {sha256[:12]}….",
                    hint="Let `dvc repro` finish and try again.",
                )
    if not _is_tracked(project, sha256):
        pointer_of(project, sha256).unlink(missing_ok=True)
        _track(project, place)
    return place


def promoted_model(project: Project, key: str, sha256: str) -> Path:
    """The directory of a promoted model, after comparing its content with the history.

    ``key`` is what messages call it, as ``it001/chatts``. A model that is not here, or is not what
    was promoted, is a `PromotionError` with the command that brings it back.
    """
    place, pointer = project.promoted(sha256), pointer_of(project, sha256)
    shown, pull = project.relative(place), f"dvc pull --force {project.relative(pointer)}"
    if not place.is_dir():
        if pointer.is_file():
            raise PromotionError(
                f"The model of {key}, as it was promoted ({sha256[:12]}…), is not on this machine: "
                f"{shown} is missing.",
                hint=f"Bring it: {pull}",
            )
        raise PromotionError(
            f"{key} was promoted with model {sha256[:12]}…, but no copy of it was kept: there is "
            f"no {project.relative(pointer)}.",
            hint=f"Restore that file from git, or keep the model now: tsloop promote {key}",
        )
    found = sha256_tree(place)
    if found != sha256:
        raise PromotionError(
            f"{shown} is not the model that was promoted as {key}: its hash is {found[:12]}…, "
            f"promoted was {sha256[:12]}….",
            hint=f"Bring the promoted one back: {pull}",
        )
    return place


def scorecard_file(project: Project, sha256: str, gold_sha256: str) -> Path:
    """``registry/models/<model>-<gold>.json``: how a promoted model did on gold, kept in git.

    The name says what was measured on what, so a file is written once and never changes.
    """
    place = project.promoted(sha256)
    return place.with_name(f"{place.name}-{gold_sha256[:8]}.json")


def keep_scorecard(
    project: Project, key: str, sha256: str, gold: Mapping[str, Any], card: Mapping[str, Any]
) -> None:
    """Write a promoted model's scorecard, where that is not done yet."""
    path = scorecard_file(project, sha256, str(gold["sha256"]))
    if not path.exists():
        row = {"schema": SCHEMA, "model": key, "model_sha256": sha256}
        write_text_atomic(path, dump_json({**row, "gold": dict(gold), "scorecard": card}) + "\n")


def kept_scorecard(project: Project, sha256: str, gold_sha256: str) -> Mapping[str, Any] | None:
    """What `keep_scorecard` wrote of this model on this gold, or None."""
    path = scorecard_file(project, sha256, gold_sha256)
    return read_kept_scorecard(path) if path.is_file() else None


def read_kept_scorecard(path: Path) -> Mapping[str, Any]:
    """``model``, ``model_sha256``, ``gold`` and ``scorecard`` of a kept scorecard."""
    if not path.is_file():
        raise PromotionError(
            f"The champion's scorecard {path} is missing.", hint="Restore it from git."
        )
    row = read_json(path)
    if not isinstance(row, dict) or row.get("schema") != SCHEMA:
        raise PromotionError(
            f"{path} is not a promoted model's scorecard (schema {SCHEMA!r}).",
            hint="Restore it from git.",
        )
    return row


def kept_models(project: Project) -> list[str]:
    """The names (first digits of their hash) of all models that were kept, here or elsewhere."""
    return sorted(path.stem for path in _parent(project).glob("*.dvc"))


def forget_models(project: Project, names: Iterable[str]) -> None:
    """Delete kept models; whoever calls makes sure that nobody serves them or goes back to them.

    Their scorecards stay: reports that compare with them may be made again.
    """
    parent = _parent(project)
    for name in names:
        parent.joinpath(f"{name}.dvc").unlink(missing_ok=True)
        shutil.rmtree(parent / name, ignore_errors=True)
        ignored = parent / ".gitignore"
        if ignored.is_file():
            lines = ignored.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text_atomic(ignored, "".join(x for x in lines if x.strip() != f"/{name}"))


def _parent(project: Project) -> Path:
    return project.promoted("any").parent


def _is_tracked(project: Project, sha256: str) -> bool:
    """Whether the ``.dvc`` file is complete: a killed `dvc add` may leave half of one."""
    try:
        pointer = yaml.safe_load(pointer_of(project, sha256).read_text(encoding="utf-8"))
        return bool(pointer["outs"][0]["md5"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError):
        return False


def _track(project: Project, place: Path) -> None:
    """``dvc add``: the content goes to DVC's cache, the ``.dvc`` file is for git."""
    path = project.relative(place)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "add", "--quiet", path],
        cwd=project.root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise PromotionError(
            f"DVC cannot track {path}: {told[0].removeprefix('ERROR: ')}",
            hint="Nothing was promoted. Mend it, or let the other DVC command finish; then repeat.",
        )


def _remove_leftovers(parent: Path) -> None:
    """Half copies whose writer was killed."""
    for path in parent.glob(".*.tmp-*"):
        pid = path.name.rpartition("-")[2]
        if path.is_dir() and pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
