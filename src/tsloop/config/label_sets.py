"""The project's own label set counts by its content: its hash is among the params of the stages.

A set is no output of a stage and may lie outside of the project, so that DVC cannot follow it.
`tsloop configure` writes the hash into the entries of open iterations; those of published ones keep
theirs, and so does the file: a changed set gets a file of another name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tsloop.config.compose import ENV_MARK
from tsloop.config.schema import resolve_environment
from tsloop.errors import ConfigDriftError, ConfigError, LabelSetError
from tsloop.files import sha256_file
from tsloop.labels import load_label_set
from tsloop.project import Project

__all__ = ["check_frozen_label_sets", "check_label_sets", "label_set_sha256"]

_SECTIONS = ("annotations", "datasets", "evaluations")


def label_set_sha256(project: Project, chosen: Any, previous: Mapping[str, Any]) -> str:
    """The hash of the label set that is chosen now; empty for the built-in one.

    A broken or missing set is a `LabelSetError`. Where the path depends on a variable that leads
    nowhere on this machine, the hash stays as it was.
    """
    if chosen == "tsloop" or not isinstance(chosen, str):
        return ""
    path = _path(project, chosen)
    if path is not None:
        load_label_set(path)
        return sha256_file(path)
    if ENV_MARK not in chosen:
        load_label_set(project.root / chosen)
    return next((sha for _, known, sha in _hashed(previous) if known == chosen), "")


def check_label_sets(project: Project, params: Mapping[str, Any]) -> None:
    """Raise `ConfigDriftError` where a set is another one than ``params.yaml`` was written with."""
    for name, chosen, sha256 in _hashed(params):
        if _differs(project, chosen, sha256):
            raise ConfigDriftError(
                f"The label set {chosen} was changed since {name} was configured with it.",
                hint="Write params.yaml again with: tsloop configure",
            )


def check_frozen_label_sets(project: Project, pipeline: Mapping[str, Any]) -> None:
    """Raise `LabelSetError` where the set of a published iteration was changed."""
    for name, chosen, sha256 in _hashed(pipeline):
        if _differs(project, chosen, sha256):
            raise LabelSetError(
                f"The label set {chosen} was changed, but {name} was published with it.",
                hint="Restore it and put the changed set into a file of another name: "
                "tsloop configure labels.set=NEW.json",
            )


def _hashed(params: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Iteration, set and hash of every entry that spells them out."""
    for section in _SECTIONS:
        for name, entry in (params.get(section) or {}).items():
            labels, sha256 = entry.get("labels"), entry.get("label_set_sha256")
            if sha256 and isinstance(labels, Mapping):
                yield name, str(labels["set"]), sha256


def _differs(project: Project, chosen: str, sha256: str) -> bool:
    path = _path(project, chosen)
    return path is not None and sha256_file(path) != sha256


def _path(project: Project, chosen: str) -> Path | None:
    """Where the set lies, if it can be found on this machine."""
    try:
        path = project.root / resolve_environment(chosen, "labels.set")
    except ConfigError:  # a variable that is not set here
        return None
    return path if path.is_file() else None
