"""What earlier runs of `tsloop detect` left of series that are not in the data.

They may be of another DATA with the same OUT, and hours of work, so they are kept unless somebody
asks. Own files alone: results that `tsloop.loop.batch` wrote, and pictures which these name.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tsloop.errors import TsloopError
from tsloop.files import read_json
from tsloop.intervals import Status

__all__ = ["Earlier", "earlier_results", "tidy"]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A result of an earlier run; ``picture`` is a file name below OUT, empty where none is.

    ``empty`` says that nothing is lost with it: it failed, perhaps as the name of a whole file.
    """

    path: Path
    series_id: str
    picture: str
    empty: bool


def earlier_results(out: Path, schema: str) -> list[Earlier]:
    """The results below ``OUT/results``, of any model and setting."""
    found: list[Earlier] = []
    for path in sorted((out / "results").glob("*/*.json")):
        with suppress(TsloopError, KeyError, TypeError):
            result = read_json(path)
            if result["schema"] == schema:
                name = result.get("picture") or ""
                picture = name if Path(name).name == name else ""  # never anything outside OUT
                empty = result["status"] == str(Status.FAILED) and not picture
                found.append(Earlier(path, result["series_id"], picture, empty))
    return found


def tidy(
    earlier: Collection[Earlier],
    series_ids: Collection[str],
    pictures: Collection[str],
    out: Path,
    *,
    remove: bool,
) -> int:
    """The number of series that are not there; their results and pictures go with ``remove``.

    ``pictures`` are the file names of this run. Where there are any, an older picture of one of its
    series under another name goes in any case; so do results that failed, and one whose picture was
    drawn over.
    """
    gone = [item for item in earlier if item.series_id not in series_ids]
    for item in gone:
        if remove or item.empty or item.picture in pictures:
            item.path.unlink(missing_ok=True)
            with suppress(OSError):
                item.path.parent.rmdir()  # only where it is empty
    old = [*earlier] if pictures else gone
    kept = {*pictures, *(() if remove else (item.picture for item in gone))}
    for name in {item.picture for item in old if item.picture} - kept:
        (out / name).unlink(missing_ok=True)
    return len({item.series_id for item in gone if not item.empty})
