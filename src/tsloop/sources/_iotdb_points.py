"""Point lists: which measurements of which devices, and of which time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsloop.errors import ConfigError, SourceError
from tsloop.sources._iotdb_config import IotdbConfig
from tsloop.sources._iotdb_paths import join_path, parse_path
from tsloop.sources._iotdb_times import parse_instant

__all__ = ["Request", "requests"]

_KEYS = ("columns", "st", "et")
_SHAPE = 'Write {"root.plant.unit1": {"columns": ["FI_1.PV"], "st": "…", "et": "…"}}.'


@dataclass(frozen=True)
class Request:
    """Measurements wanted of a device path, which may hold wildcards.

    ``columns`` is empty where all are wanted. ``start`` and ``end`` are nanoseconds, both included,
    ``None`` where they are open.
    """

    device: str
    columns: tuple[str, ...]
    start: int | None
    end: int | None


def requests(config: IotdbConfig) -> list[Request]:
    """What the settings ask for: their devices, or those of their point list."""
    first, last = config.bounds()
    path = Path(config.points_file)
    if not config.points_file:
        columns = tuple(config.columns)
        found = [Request(_device(device), columns, first, last) for device in config.devices]
    elif _is_json(path):
        if config.devices or config.columns:
            raise ConfigError(
                f"source.points_file={config.points_file!r} names devices and measurements, and "
                "so do source.devices or source.columns.",
                hint="Leave one of them out.",
            )
        found = _from_json(path, config)
    else:
        names = _from_lines(path)
        found = [Request(_device(device), names, first, last) for device in config.devices]
    if not found:
        raise SourceError(
            "source=iotdb asks for no point.",
            hint="Set source.devices=[root.plant.unit1], or source.points_file to a list that has "
            "some (a text file with measurements needs source.devices as well).",
        )
    return found


def _device(text: str) -> str:
    return join_path(parse_path(text, "source.devices:"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"source.points_file={str(path)!r} cannot be read: {error}.",
            hint="Give a JSON or text file in UTF-8.",
        ) from error


def _is_json(path: Path) -> bool:
    return _read(path).lstrip().startswith(("{", "["))


def _from_lines(path: Path) -> tuple[str, ...]:
    """One measurement a line; empty lines and those that begin with ``#`` say nothing."""
    lines = (line.strip() for line in _read(path).splitlines())
    return tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def _from_json(path: Path, config: IotdbConfig) -> list[Request]:
    """The predecessor's list: an empty ``columns`` asks for no point of that device.

    The time of the settings, where they state one, takes the place of the list's.
    """
    try:
        data = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise SourceError(f"{path} is not valid JSON: {error}.", hint=_SHAPE) from error
    if not isinstance(data, dict):
        raise SourceError(f"{path} is not a JSON object of device paths.", hint=_SHAPE)
    found = [_entry(path, device, entry, config) for device, entry in data.items()]
    return [request for request in found if request.columns]


def _entry(path: Path, device: str, entry: Any, config: IotdbConfig) -> Request:
    where = f"{path}, {device!r}"
    if not isinstance(entry, Mapping):
        raise SourceError(f"{where}: {str(entry)[:40]!r} is not an object.", hint=_SHAPE)
    if unknown := sorted(set(entry) - set(_KEYS)):
        raise SourceError(f"{where}: unknown keys {unknown}.", hint=f"Known are {list(_KEYS)}.")
    columns = entry.get("columns", [])
    if not isinstance(columns, list) or not all(isinstance(c, str) and c.strip() for c in columns):
        raise SourceError(f"{where}: columns is not a list of names.", hint=_SHAPE)
    first, last = config.bounds()
    start, end = (_time(entry, key, config.zone, where) for key in ("st", "et"))
    start, end = start if first is None else first, end if last is None else last
    if columns and start is not None and end is not None and start > end:
        raise SourceError(f"{where}: its time ends before it begins.", hint="Mend st and et.")
    names = tuple(dict.fromkeys(column.strip() for column in columns))
    return Request(join_path(parse_path(device, f"{path}:")), names, start, end)


def _time(entry: Mapping[str, Any], key: str, zone: str, where: str) -> int | None:
    text = entry.get(key) or ""
    if not isinstance(text, str):
        raise SourceError(f"{where}: {key}={text!r} is not a text.", hint=_SHAPE)
    if not entry.get("columns"):
        return None
    return parse_instant(text, zone, f"{where}: {key}")
