"""The manifest of a folder: what is stated about each series, checked before a file is opened."""

from __future__ import annotations

import difflib
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

_KEYS = (
    *("file", "dataset", "role", "group", "intervals", "n", "step_s", "metadata"),
    *("timestamp_column", "value_column", *STATED),
)
_LIKE = 0.75


@dataclass(frozen=True)
class Entry:
    """One series of the folder: where it is, and what is stated about it."""

    file: str
    role: Role = Role.POOL
    group: str = ""
    timestamp_column: str = ""
    value_column: str = ""
    series_column: str = ""
    series: str = ""
    label_column: str = ""
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
        raise SourceError(f"{path} is not a JSON object of id -> series.")
    entries: dict[str, Entry] = {}
    known: set[str] = set()
    for name, data in manifest.items():
        if not isinstance(data, dict):
            raise SourceError(f"{path}, {name!r}: {str(data)[:40]!r} is not an object.")
        known.add(str(data.get("dataset", "")))
        if datasets and data.get("dataset") not in datasets:
            continue
        if protocol == "role" or protocol in data:
            entries[name] = _Parser(path, name).parse(data, protocol)
    if unknown := sorted(set(datasets) - known):
        raise SourceError(
            f"source.datasets: {path.name} has no {unknown}.", hint=f"It has {sorted(known)}."
        )
    return entries


class _Parser:
    """Checks one value of the manifest; a complaint names the file, the series and the value."""

    def __init__(self, path: Path, name: str) -> None:
        self.where = f"{path}, {name!r}"

    def parse(self, data: dict[str, Any], protocol: str) -> Entry:
        rest = dict(data)
        file = rest.pop("file", None)
        if not isinstance(file, str) or not file:
            raise SourceError(
                f"{self.where}: no file.", hint="Give its path relative to the folder."
            )
        role = rest.pop(protocol, "pool")
        if not isinstance(role, str) or role not in ROLES:
            raise SourceError(
                f"{self.where}: {protocol} {role!r} is not known.",
                hint=f"Use one of {sorted(ROLES)}.",
            )
        texts = {
            key: self._text(key, rest.pop(key))
            for key in ("group", "timestamp_column", "value_column")
            if key in rest
        }
        stated = {
            key: self._text(key, rest.pop(key)) for key in STATED if rest.get(key) is not None
        }
        n, step_s, intervals = (rest.pop(key, None) for key in ("n", "step_s", "intervals"))
        return Entry(
            file,
            role=ROLES[role],
            n=None if n is None else self._whole(n, "n"),
            step_s=None if step_s is None else self._positive(step_s, "step_s"),
            intervals=None if intervals is None else self._intervals(intervals),
            stated=stated,
            meta={**self._metadata(rest, protocol), "file": file},
            **texts,
        )

    def _metadata(self, rest: dict[str, Any], protocol: str) -> dict[str, Any]:
        """What is under ``metadata``, and keys that no known one was meant by."""
        own = rest.pop("metadata", {})
        if not isinstance(own, dict):
            raise SourceError(f"{self.where}: metadata {own!r} is not an object.")
        for key in rest:
            close = difflib.get_close_matches(key.lower(), _KEYS, n=1, cutoff=_LIKE)
            if close and key not in (*_KEYS, protocol):
                raise SourceError(
                    f"{self.where}: the key {key!r} is not known.",
                    hint=f'Did you mean {close[0]!r}? A note of your own goes under "metadata": '
                    f"{{{key!r}: …}}.".replace("'", '"'),
                )
        return {**rest, **own}

    def _text(self, key: str, value: Any) -> str:
        if not isinstance(value, str):
            raise SourceError(f"{self.where}: {key} {value!r} is not a text.")
        return value

    def _whole(self, value: Any, what: str) -> int:
        """An int, or a float without a fraction; nothing is rounded."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value % 1:
            raise SourceError(f"{self.where}: {what} {value!r} is not a whole number.")
        return int(value)

    def _positive(self, value: Any, what: str) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < float("inf"):
            raise SourceError(f"{self.where}: {what} {value!r} is not a positive number.")
        positive: float = value
        return positive

    def _intervals(self, items: Any) -> tuple[Interval, ...]:
        if not isinstance(items, list):
            raise SourceError(f"{self.where}: intervals {items!r} is not a list.", hint=_INTERVALS)
        found = [self._interval(item) for item in items]
        return tuple(sorted(found, key=lambda i: (i.start, i.end, i.label)))

    def _interval(self, item: Any) -> Interval:
        if not isinstance(item, list) or len(item) not in (2, 3):
            raise SourceError(
                f"{self.where}: the interval {item!r} has not the form of one.", hint=_INTERVALS
            )
        what = f"in the interval {item!r}, the row"
        start, end = (self._whole(row, what) for row in item[:2])
        label = item[2] if len(item) == 3 else "anomaly"
        if not isinstance(label, str) or not label:
            raise SourceError(f"{self.where}: in the interval {item!r}, the label is no text.")
        try:
            return Interval(start, end, label, basis=Basis.IMPORTED)
        except (ValueError, TsloopError) as error:
            raise SourceError(
                f"{self.where}: the interval {item!r} is not valid: {error}", hint=_INTERVALS
            ) from error


_INTERVALS = 'Write [[first_row, last_row], [first_row, last_row, "label"], …].'
