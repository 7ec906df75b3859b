"""The manifest of a folder: what is stated about each series, checked before a file is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsloop.errors import SourceError, TsloopError
from tsloop.files import read_json
from tsloop.intervals import Basis, Interval
from tsloop.series.types import Role

__all__ = ["ROLES", "STATED", "Entry", "read_manifest"]

STATED = ("unit", "zone", "epoch_unit", "decimal", "thousands")
ROLES = {"pool": Role.POOL, "eval": Role.GOLD, "gold": Role.GOLD, "spare": Role.SPARE}

_IMPORTED = Basis.IMPORTED


@dataclass(frozen=True)
class Entry:
    """One series of the folder: where it is, and what is stated about it."""

    file: str
    role: Role = Role.POOL
    group: str = ""
    timestamp_column: str = ""
    value_column: str = ""
    n: int | None = None
    step_s: float | None = None
    intervals: tuple[Interval, ...] | None = None
    stated: dict[str, str] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


def read_manifest(path: Path, datasets: list[str], protocol: str) -> dict[str, Entry]:
    """Entries of the wanted data sets (all, where none is named) that have the protocol's key."""
    try:
        manifest = read_json(path)
    except TsloopError as error:
        raise SourceError(str(error)) from error
    if not isinstance(manifest, dict):
        raise SourceError(f"{path.name} is not a JSON object of id -> series.")
    entries: dict[str, Entry] = {}
    known: set[str] = set()
    for name, data in manifest.items():
        if not isinstance(data, dict):
            raise SourceError(f"{path.name}, {name!r}: {str(data)[:40]!r} is not an object.")
        known.add(str(data.get("dataset", "")))
        if datasets and data.get("dataset") not in datasets:
            continue
        if protocol == "role" or protocol in data:
            entries[name] = _parse_entry(name, data, protocol)
    if unknown := sorted(set(datasets) - known):
        raise SourceError(
            f"source.datasets: {path.name} has no {unknown}.", hint=f"It has {sorted(known)}."
        )
    return entries


def _parse_entry(name: str, data: dict[str, Any], protocol: str) -> Entry:
    """One value of the manifest; every complaint names the series."""
    rest = dict(data)
    file = rest.pop("file", None)
    if not isinstance(file, str) or not file:
        raise SourceError(
            f"manifest.json, {name!r}: no file.", hint="Give its path relative to the folder."
        )
    role = rest.get(protocol, "pool")
    if role not in ROLES:
        raise SourceError(
            f"manifest.json, {name!r}: {protocol} {role!r} is not known.",
            hint=f"Use one of {sorted(ROLES)}.",
        )
    rest.pop(protocol, None)
    texts: dict[str, Any] = {}
    for key in ("group", "timestamp_column", "value_column"):
        if key in rest:
            texts[key] = rest.pop(key)
    stated = {key: rest.pop(key) for key in STATED if rest.get(key) is not None}
    for key, value in {**texts, **stated}.items():
        if not isinstance(value, str):
            raise SourceError(f"manifest.json, {name!r}: {key} {value!r} is not a text.")
    n, step_s = rest.pop("n", None), rest.pop("step_s", None)
    for key, number in (("n", n), ("step_s", step_s)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise SourceError(f"manifest.json, {name!r}: {key} {number!r} is not a number.")
    intervals = rest.pop("intervals", None)
    return Entry(
        file,
        role=ROLES[role],
        n=n,
        step_s=step_s,
        intervals=None if intervals is None else _parse_intervals(name, intervals),
        stated=stated,
        meta={**rest, "file": file},
        **texts,
    )


def _parse_intervals(name: str, items: Any) -> tuple[Interval, ...]:
    try:
        found = [
            Interval(int(start), int(end), str(label[0]) if label else "anomaly", basis=_IMPORTED)
            for start, end, *label in items
        ]
    except (TypeError, ValueError, TsloopError) as error:
        raise SourceError(
            f"manifest.json, {name!r}: the intervals are not valid: {error}.",
            hint='Write [[first_row, last_row], [first_row, last_row, "label"], …].',
        ) from error
    return tuple(sorted(found, key=lambda i: (i.start, i.end, i.label)))
