"""Whether outputs still belong to the labels, settings and inputs of today.

``dvc.lock`` names, for every stage that ran, the settings and the hashes that it ran with.
`Records` compares them with what holds now. Outputs are never hashed: what they are is what
``dvc.lock``, ``archive/*.dvc`` and DVC's cache say; only labels, which people write, are read. So
asking costs milliseconds. What cannot be known that way (a directory that is not in the cache)
counts as unchanged: `dvc status` is the thorough answer.
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tsloop.config.params import load_yaml
from tsloop.project import Project

__all__ = ["Records"]

_OF_THE_LOOP = (("gate", "min_event_f1"),)
"""What stages record but do not use: states read it from the present settings."""


class Records:
    """What DVC recorded of a project's stages, read once."""

    def __init__(self, project: Project, params: Mapping[str, Any]) -> None:
        self.project = project
        self.params = params
        self.stages: dict[str, Any] = _yaml(project.root / "dvc.lock").get("stages") or {}
        archived = (_yaml(p) for p in sorted((project.root / "archive").glob("*.dvc")))
        tracked = [out for file in archived for out in file.get("outs") or ()]
        outs = [out for stage in self.stages.values() for out in stage.get("outs") or ()]
        self.outs = {str(out["path"]): str(out.get("md5", "")) for out in (*tracked, *outs)}
        self.cache = _cache_dir(project.root)
        self._trees: dict[str, dict[str, str] | None] = {}
        self._files: dict[Path, str] = {}

    def is_current(self, stage: str) -> bool:
        """Whether the stage ran with the settings and inputs of today."""
        entry = self.stages.get(stage)
        if entry is None:
            return False
        recorded = (entry.get("params") or {}).get("params.yaml") or {}
        return all(
            _same(value, self._setting(key)) for key, value in recorded.items()
        ) and not self.changed_inputs(stage)

    def changed_inputs(self, stage: str) -> list[str]:
        """The dependencies of a stage that are others than those it ran with."""
        deps = self.stages[stage].get("deps") or ()
        return [str(dep["path"]) for dep in deps if self._now(dep["path"]) not in ("", dep["md5"])]

    def _setting(self, key: str) -> Any:
        section, _, name = key.partition(".")
        found = self.params.get(section)
        return (found or {}).get(name) if name else found

    def _now(self, path: str) -> str:
        """The hash that a dependency has now; empty where that cannot be known at this price."""
        if path in self.outs:
            return self.outs[path]
        for parent in PurePosixPath(path).parents:
            if str(parent) in self.outs:
                tree = self._tree(self.outs[str(parent)])
                return (tree or {}).get(PurePosixPath(path).relative_to(parent).as_posix(), "")
        place = self.project.root / path
        if place.is_dir():
            return self._whole(path, place)
        return self._file(place) if place.is_file() else "gone"

    def _whole(self, path: str, place: Path) -> str:
        """DVC's hash of a directory whose subdirectories are outputs of several stages."""
        inside = {out: md5 for out, md5 in self.outs.items() if out.startswith(f"{path}/")}
        names = {PurePosixPath(out).name for out in inside}
        entries = {}
        for child in place.iterdir():
            if child.is_file():  # .gitignore
                entries[child.name] = self._file(child)
            elif child.name not in names and not child.name.startswith("."):
                return ""
        for out, md5 in inside.items():
            name = PurePosixPath(out).relative_to(path).as_posix()
            tree = self._tree(md5)
            if tree is None or not (self.project.root / out).is_dir():
                return ""
            entries |= {f"{name}/{relpath}": digest for relpath, digest in tree.items()}
        rows = [{"md5": entries[relpath], "relpath": relpath} for relpath in sorted(entries)]
        return f"{_md5(json.dumps(rows, sort_keys=True).encode())}.dir"

    def _tree(self, md5: str) -> dict[str, str] | None:
        """Relative path → hash, of a directory; ``None`` where the cache does not have it."""
        if md5 not in self._trees:
            path = self.cache / "files" / "md5" / md5[:2] / md5[2:]
            try:
                rows = json.loads(path.read_text(encoding="utf-8"))
                self._trees[md5] = {row["relpath"]: row["md5"] for row in rows}
            except (OSError, ValueError, KeyError, TypeError):
                self._trees[md5] = None
        return self._trees[md5]

    def _file(self, path: Path) -> str:
        if path not in self._files:
            self._files[path] = _md5(path.read_bytes())
        return self._files[path]


def _same(recorded: Any, present: Any, path: Iterable[str] = ()) -> bool:
    """Equal settings; DVC and we write some numbers (1e-05) in different notations."""
    if isinstance(recorded, Mapping) and isinstance(present, Mapping):
        return all(
            _same(recorded.get(key), present.get(key), (*path, key))
            for key in {*recorded, *present}
            if (*path, key)[-2:] not in _OF_THE_LOOP
        )
    if isinstance(recorded, list) and isinstance(present, list):
        return len(recorded) == len(present) and all(map(_same, recorded, present))
    if isinstance(recorded, str) and isinstance(present, float):
        with contextlib.suppress(ValueError):
            return float(recorded) == present
    return bool(recorded == present)


def _cache_dir(root: Path) -> Path:
    directory = root / ".dvc" / "cache"
    for name in ("config", "config.local"):
        parser = configparser.ConfigParser(interpolation=None)
        with contextlib.suppress(configparser.Error, UnicodeDecodeError):
            parser.read(root / ".dvc" / name, encoding="utf-8")
        if parser.has_option("cache", "dir"):
            directory = root / ".dvc" / parser.get("cache", "dir")
    return directory


def _yaml(path: Path) -> dict[str, Any]:
    """A mapping; empty where the file is missing or broken (a merge conflict, say)."""
    try:
        data = load_yaml(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return data if isinstance(data, dict) else {}


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
