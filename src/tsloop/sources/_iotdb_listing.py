"""Which points a server has of those that are asked for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from tsloop.errors import SourceError
from tsloop.sources._iotdb_paths import (
    has_wildcard,
    join_path,
    name_matcher,
    parse_path,
    quote,
    unquote,
)
from tsloop.sources._iotdb_points import Request
from tsloop.sources._iotdb_rows import NUMERIC, Point, Session

__all__ = ["find_points"]

_SHOWN = 5


def find_points(session: Session, requests: Sequence[Request]) -> dict[str, Point]:
    """Points by the id of their series; what the server does not have is one error for all."""
    found: dict[str, Point] = {}
    unknown: list[str] = []
    for request in requests:
        points, missing = _listed(session, request)
        unknown += missing
        for point in points:
            _add(found, point)
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise SourceError(
            f"The IoTDB server does not have {', '.join(unknown[:_SHOWN])}{more}.",
            hint="What it has is listed by: tsloop source list source=iotdb "
            "'source.devices=[root.**]'",
        )
    return found


def _listed(session: Session, request: Request) -> tuple[list[Point], list[str]]:
    """The points of a request that the server has, and what it asks for in vain."""
    held = _held(session, request)
    if not held:
        return [], [f"{request.device} (no such device, or it may not be read)"]
    if not request.columns:
        return [point for point in held if point.kind in NUMERIC], []
    points: list[Point] = []
    missing: list[str] = []
    for column in request.columns:
        matches = _matching(held, column)
        points += matches
        if not matches:
            missing.append(_in_vain(request.device, column, [point.name for point in held]))
    return points, missing


def _matching(held: Sequence[Point], column: str) -> list[Point]:
    """Points that a name or a pattern means; a pattern passes over what holds no numbers."""
    matcher, several = name_matcher(column), has_wildcard(column)
    named = [point for point in held if matcher.fullmatch(point.name)]
    return [point for point in named if point.kind in NUMERIC or not several]


def _held(session: Session, request: Request) -> list[Point]:
    """Everything that the server has below the device path of a request."""
    device = request.device
    below = device if device.endswith("**") else f"{device}.*"
    rows = session.table(f"show timeseries {below}", f"Listing {below}")
    return [_point(row, request) for row in rows]


def _point(row: dict[str, Any], request: Request) -> Point:
    cells = {key.lower(): value for key, value in row.items()}
    nodes = parse_path(str(cells["timeseries"]))
    name, kind = unquote(nodes[-1]), str(cells["datatype"])
    return Point(join_path(nodes[:-1]), name, kind, request.start, request.end)


def _in_vain(device: str, column: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(column, names, n=1)
    said = column if has_wildcard(column) else quote(unquote(column))
    return f"{device}.{said}" + (f" (did you mean {near[0]}?)" if near else "")


def _add(found: dict[str, Point], point: Point) -> None:
    """Put a point under its id; asked for twice it must be of one stretch of time."""
    name = f"{re.sub(r'^root[.]', '', point.device)}/{point.name}"
    if found.setdefault(name, point) != point:
        raise SourceError(
            f"{point.path} is asked for twice, with different times, or shares its id {name!r} "
            f"with {found[name].path}.",
            hint="Ask for it once, or name the device in another point list.",
        )
