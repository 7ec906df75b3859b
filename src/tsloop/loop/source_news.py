"""Whether the files of the source changed since they were read, which DVC does not look at.

The folder lies outside the project, and a clone need not have it, so it is no dependency of the
acquire stage. What was read is recorded in ``data/raw`` and compared with what is there now.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import yaml

from tsloop.config.params import read_params
from tsloop.errors import TsloopError
from tsloop.project import Project

__all__ = ["source_news"]

_WITH_FILES = ("folder", "iotdb")  # of iotdb the point list; what the server holds nobody knows


def source_news(project: Project) -> str:
    """What happened to the source's files, and how to read them again.

    Empty where nothing did, where nobody can know (the folder or ``data/raw`` is not on this
    machine), and where `dvc repro` reads them anyway because the settings changed.
    """
    try:
        settings = read_params(project)["source"]
        if settings.get("kind") not in _WITH_FILES or _settings_read(project) != settings:
            return ""
        before, now = _inputs_then(project), _inputs_now(project, settings)
    except (TsloopError, OSError, KeyError):
        return ""
    if not before:
        return ""
    found = (
        ("new", [name for name in now if name not in before]),
        ("changed", [name for name in now if name in before and now[name] != before[name]]),
        ("gone", [name for name in before if name not in now]),
    )
    parts = [f"{len(names)} {what} (first: {names[0]})" for what, names in found if names]
    if not parts:
        return ""
    return (
        f"The files of the source are not those that were read: {', '.join(parts)}. "
        "`dvc repro` alone does not see that; read them again with: "
        "dvc repro -f acquire && dvc repro"
    )


def _settings_read(project: Project) -> Any:
    """The source section with which DVC ran the acquire stage last."""
    path = project.root / "dvc.lock"
    try:
        lock = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return lock["stages"]["acquire"]["params"]["params.yaml"]["source"]
    except (yaml.YAMLError, KeyError, TypeError):
        return None


def _inputs_then(project: Project) -> dict[str, str]:
    from tsloop.series.raw import RawStore

    return RawStore.open(project.raw).inputs


def _inputs_now(project: Project, settings: dict[str, Any]) -> dict[str, str]:
    from tsloop.config.schema import source_config
    from tsloop.sources import build

    kind, config = source_config(settings)
    if kind == "folder":
        config = dataclasses.replace(config, path=str(project.root / config.path))
    with contextlib.chdir(project.root):
        return build(kind, config).inputs()
