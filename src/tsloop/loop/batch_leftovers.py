"""What earlier runs of `tsloop detect` left of series that are no longer in the data.

Own files alone: results that `tsloop.loop.batch` wrote, and pictures which these name.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tsloop.errors import TsloopError
from tsloop.files import read_json

__all__ = ["Earlier", "earlier_results", "remove_gone"]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A result of an earlier run; ``picture`` is a file name below OUT, empty where none is."""

    path: Path
    series_id: str
    picture: str


def earlier_results(out: Path, schema: str) -> list[Earlier]:
    """The results below ``OUT/results``, of any model and setting."""
    found: list[Earlier] = []
    for path in sorted((out / "results").glob("*/*.json")):
        with suppress(TsloopError, KeyError, TypeError):
            result = read_json(path)
            if result["schema"] == schema:
                name = result.get("picture") or ""
                picture = name if Path(name).name == name else ""  # never anything outside OUT
                found.append(Earlier(path, result["series_id"], picture))
    return found


def remove_gone(
    earlier: Collection[Earlier], series_ids: Collection[str], pictures: Collection[str], out: Path
) -> int:
    """Delete results and pictures of series that are not there; the number of such series.

    ``pictures`` are the file names of this run. Where there are any, an older picture of a series
    under another name goes as well.
    """
    gone: set[str] = set()
    for item in earlier:
        is_gone = item.series_id not in series_ids
        if is_gone:
            item.path.unlink(missing_ok=True)
            with suppress(OSError):
                item.path.parent.rmdir()  # only where it is empty
            gone.add(item.series_id)
        if item.picture and item.picture not in pictures and (is_gone or pictures):
            (out / item.picture).unlink(missing_ok=True)
    return len(gone)
