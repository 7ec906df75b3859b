"""What the iterations published: ``registry/<it>.json``, read and put in order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsloop.errors import TrackingError, TsloopError
from tsloop.files import dump_json, read_json
from tsloop.project import Project

__all__ = ["SCHEMA", "Published", "Variant", "find_variant", "pick_challenger", "read_published"]

SCHEMA = "tsloop.registry/1"


@dataclass(frozen=True, slots=True)
class Variant:
    """One published model: its directory (relative to the project) and what was said of it."""

    iteration: str
    name: str
    model_dir: str
    model_sha256: str
    adapter_sha256: str
    base: Mapping[str, Any]
    metrics: Mapping[str, float]
    verdict: Mapping[str, Any]

    @property
    def key(self) -> str:
        """``it001/chatts``, as promotions and messages name it."""
        return f"{self.iteration}/{self.name}"


@dataclass(frozen=True, slots=True)
class Published:
    """One ``registry/<it>.json``. ``entry`` is the file's content.

    ``primary`` is the variant that the iteration stands for; ``best_on_gold`` is told only.
    """

    iteration: str
    parent: str
    entry: Mapping[str, Any]
    variants: tuple[Variant, ...]
    primary: str
    best_on_gold: str

    @property
    def sha256(self) -> str:
        """Hash of the content, whatever the file's layout."""
        return hashlib.sha256(dump_json(self.entry).encode("utf-8")).hexdigest()

    def ranked(self) -> list[Variant]:
        """The primary variant first, then the others by name: no metric on gold decides here."""
        return sorted(self.variants, key=lambda v: (v.name != self.primary, v.name))


def read_published(project: Project) -> tuple[list[Published], list[str]]:
    """Every published iteration, parents before children; and what is wrong with the others.

    A broken file is reported and left out, so that it hides no other iteration.
    """
    found: dict[str, Published] = {}
    problems: list[str] = []
    for path in sorted(project.registry("it").parent.glob("*.json")):
        try:
            item = _parse(read_json(path), path)
        except TsloopError as error:
            problems.append(str(error))
            continue
        found[item.iteration] = item
    return [found[name] for name in sorted(found, key=lambda n: (_depth(found, n), n))], problems


def find_variant(published: Sequence[Published], key: str) -> Variant | None:
    """The variant called ``it001/chatts``, or None."""
    for item in published:
        for variant in item.variants:
            if variant.key == key:
                return variant
    return None


def pick_challenger(published: Sequence[Published], champion: str | None) -> Variant | None:
    """The model that the newest published iteration stands for, unless it is the champion."""
    ranked = published[-1].ranked() if published else []
    return next((variant for variant in ranked if variant.key != champion), None)


def _depth(found: Mapping[str, Published], name: str) -> int:
    depth, seen = 0, {name}
    while (parent := found[name].parent) in found and parent not in seen:
        seen.add(parent)
        depth, name = depth + 1, parent
    return depth


def _primary(entry: Mapping[str, Any], iteration: str, variants: Sequence[Variant]) -> str:
    """The primary variant; files of revision 1 have it among their settings only."""
    settings = (entry.get("config") or {}).get("evaluations") or {}
    named = entry.get("primary") or (settings.get(iteration) or {}).get("primary")
    names = [variant.name for variant in variants]
    return str(named) if named in names else (names[0] if names else "")


def _parse(entry: Any, path: Path) -> Published:
    if not isinstance(entry, dict) or entry.get("schema") != SCHEMA:
        raise TrackingError(
            f"{path} is not a published iteration (schema {SCHEMA!r}).",
            hint="Restore it from git, or publish again: dvc repro",
        )
    try:
        iteration = str(entry["iteration"])
        if iteration != path.stem:
            raise TrackingError(f"{path} says that it is iteration {iteration!r}.")
        variants = tuple(
            Variant(
                iteration=iteration,
                name=str(name),
                model_dir=str(item["model_dir"]),
                model_sha256=str(item["model_sha256"]),
                adapter_sha256=str(item.get("adapter_sha256") or ""),
                base=dict(item.get("base") or {}),
                metrics=dict(item.get("metrics") or {}),
                verdict=dict(item.get("verdict") or {}),
            )
            for name, item in sorted(entry["variants"].items())
        )
        return Published(
            iteration=iteration,
            parent=str(entry.get("parent") or ""),
            entry=entry,
            variants=variants,
            primary=_primary(entry, iteration, variants),
            best_on_gold=str(entry.get("best_on_gold") or entry.get("best_variant") or ""),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise TrackingError(
            f"{path} lacks what a published iteration has: {error!r}.",
            hint="Restore it from git, or publish again: dvc repro",
        ) from error
