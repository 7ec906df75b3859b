"""What ``tsloop detect`` and ``tsloop iteration infer`` share: options, hints, lists of faults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tsloop.loop.inference import Reading
    from tsloop.series.validate import Repair

__all__ = [
    "DATA_HELP",
    "SET_HELP",
    "ZONE_HELP",
    "reading_here",
    "say_faults",
    "say_repairs",
    "with_option",
]

DATA_HELP = (
    "CSV, parquet or Excel file, read by its name alone; or a folder of them, read by its "
    "manifest.json where it has one."
)
ZONE_HELP = "IANA zone of timestamps that name none; default: the project's, else UTC."
SET_HELP = (
    "How to read the data: source.KEY=VALUE, prepare.KEY=VALUE, prepare=lenient or "
    "prepare=strict, as for `tsloop configure`; may be repeated. Default: as the project reads "
    "its own data; outside a project, prepare=lenient."
)

_VALUE = r"'[^']*'|[\w./+-]*\w"
_KEY = re.compile(
    rf"\b((?:source|prepare)\.[a-z_]+)(?:=({_VALUE})|[^;=]*?for example to ({_VALUE}))?"
)
_FILTERS = ("source.pattern", "source.datasets", "source.protocol")
_SHOWN = 20


def with_option(message: str) -> str:
    """A message that names a key, with the option of the command that sets it."""
    found = [match for match in _KEY.findall(message) if match[0] not in _FILTERS]
    if not found:
        return message
    # A key that comes with a value tells more than one that comes without.
    key, value, example = next((match for match in found if match[1] or match[2]), found[0])
    return f"{message} In this command: --set {key}={value or example or '…'}"


def reading_here(zone: str, settings: Sequence[str]) -> Reading:
    """How to read new data where the command was called: inside a project or not."""
    from tsloop.errors import ProjectError
    from tsloop.loop.inference import reading
    from tsloop.project import find_project

    try:
        project = find_project()
    except ProjectError:
        project = None
    return reading(project, zone=zone, settings=settings)


def say_repairs(repairs: Sequence[Repair]) -> None:
    """On stderr what was repaired while the series were read."""
    for repair in repairs[:_SHOWN]:
        rows = "1 row" if repair.count == 1 else f"{repair.count} rows"
        place = f"{rows}, the first is row {repair.first_row}"
        detail = f": {repair.detail}" if repair.detail else ""
        typer.echo(f"{repair.series_id}: {repair.kind} in {place}{detail}", err=True)
    if len(repairs) > _SHOWN:
        typer.echo(f"… and {len(repairs) - _SHOWN} more repairs", err=True)


def say_faults(faults: Sequence[tuple[str, str]], total: int, where: str = "") -> None:
    """On stderr which series have no result, and why; exit code 1 where there are any."""
    if not faults:
        return
    typer.echo(f"{len(faults)} of {total} series could not be scored:", err=True)
    for name, reason in faults[:_SHOWN]:
        typer.echo(f"  {name}: {reason}", err=True)
    if len(faults) > _SHOWN:
        more = f" (see {where})" if where else ""
        typer.echo(f"  … and {len(faults) - _SHOWN} more{more}", err=True)
    raise typer.Exit(1)
