"""Which series a foreign file speaks of, and what a series is called in foreign files.

Identity is never parsed out of a file name. A name counts where it *is* the id of a stored series,
with or without directory and file suffix; everything else is a proposal that a person confirms in
the mapping.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from tsloop.annotations.fitting import SeriesLookup
from tsloop.errors import AnnotationError
from tsloop.series.tables import file_stem

__all__ = ["FileNames", "candidates", "find_by_values", "find_series"]

_SUFFIXES = (".json", ".csv", ".jpg", ".jpeg", ".png", ".parquet", ".gz", ".xlsx")
_SEPARATORS = "_-./ "
_LEAST_SHARED = 5
_UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f]')


def find_series(name: str, known: Collection[str], table: Mapping[str, str | None]) -> str:
    """The id of the series that a file calls ``name``; an `AnnotationError` lists candidates."""
    if (entry := table.get(name)) is not None:
        if entry not in known:
            raise AnnotationError(
                f"The mapping leads {name!r} to {entry!r}, which the series store does not have."
            )
        return entry
    if name in known:
        return name
    found = sorted({form for form in _bare(name) if form in known})
    if len(found) == 1:
        return found[0]
    near = found or candidates(name, known)
    what = f"could be {' or '.join(map(repr, near[:5]))}" if near else "is like none of them"
    raise AnnotationError(
        f"No series is called {name!r}; it {what}.",
        hint='Name it under "series" in the mapping: tsloop labels import FILE --write-mapping '
        "NEW.json",
    )


def candidates(name: str, ids: Iterable[str]) -> list[str]:
    """Series that a name may mean: those that share the longest end with it, else similar ones.

    An end counts from a separator on in both names, so ``x_FI_101.PV`` is like ``plant_FI_101.PV``
    and not like ``TI_101.PV``.
    """
    stem = min(_bare(name), key=len).casefold()
    own = {series_id: PurePosixPath(series_id).name.casefold() for series_id in sorted(ids)}
    shared = {series_id: _shared_end(stem, text) for series_id, text in own.items()}
    longest = max(shared.values(), default=0)
    if longest >= _LEAST_SHARED:
        return [series_id for series_id, length in shared.items() if length == longest]
    close = difflib.get_close_matches(stem, own.values(), n=3, cutoff=0.8)
    return [series_id for series_id, text in own.items() if text in close]


def _shared_end(one: str, other: str) -> int:
    """Length of the common end of two names; 0 where it begins within a word."""
    length = 0
    while length < min(len(one), len(other)) and one[-length - 1] == other[-length - 1]:
        length += 1
    if length == 0 or one[-length] in _SEPARATORS:
        return length
    begins = (len(text) == length or text[-length - 1] in _SEPARATORS for text in (one, other))
    return length if all(begins) else 0


def _bare(name: str) -> list[str]:
    """The name without directory, and without one file suffix after the other."""
    forms: list[str] = []
    for text in (name, PurePosixPath(name.replace("\\", "/")).name):
        forms.append(text)
        while text.lower().endswith(_SUFFIXES) and "." in text[1:]:
            text = text[: text.rindex(".")]
            forms.append(text)
    return [form for form in forms if form]


def find_by_values(values: npt.NDArray[np.float64], store: SeriesLookup) -> list[tuple[str, int]]:
    """Every place ``(series id, first row)`` where the stored values are these.

    Rounding up to a millionth of the range is ignored, for files carry rounded values.
    """
    if len(values) < 8 or not np.isfinite(values).all():
        return []
    spread = float(np.ptp(values))
    tolerance = spread * 1e-6 if spread > 0 else abs(float(values[0])) * 1e-9
    found: list[tuple[str, int]] = []
    for series_id, entry in store.entries.items():
        if entry.n_rows < len(values):
            continue
        stored = store[series_id].values
        last = len(stored) - len(values) + 1
        starts = np.flatnonzero(
            (np.abs(stored[:last] - values[0]) <= tolerance)
            & (np.abs(stored[len(values) - 1 :] - values[-1]) <= tolerance)
        )
        found += [
            (series_id, int(start))
            for start in starts
            if (np.abs(stored[start : start + len(values)] - values) <= tolerance).all()
        ]
    return found


class FileNames:
    """Names for files of many series: readable where that is unique on any disk."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, series_id: str, suffix: str) -> str:
        """A file name with this suffix; another one at each call."""
        plain = _UNSAFE.sub("_", series_id).strip(". ")
        name = plain + suffix
        if not plain or len(name.encode()) > 200 or name.casefold() in self._taken:
            name = file_stem(series_id) + suffix
        self._taken.add(name.casefold())
        return name
