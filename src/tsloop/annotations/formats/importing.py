"""Files in: each one recognised and read, every record tied to series and labels, or accounted for.

Nothing is written here; `tsloop.loop.label_import` does that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from tsloop.annotations.fitting import SeriesLookup
from tsloop.annotations.formats.accounts import describe_other, describe_reading, is_damaged
from tsloop.annotations.formats.base import (
    Failure,
    ForeignRecord,
    Format,
    Reading,
    ReadOptions,
)
from tsloop.annotations.formats.binding import Binder, Bound
from tsloop.annotations.formats.naming import candidates
from tsloop.annotations.formats.parts import join_parts
from tsloop.annotations.formats.registry import detect_format, get_format
from tsloop.annotations.formats.source import Source
from tsloop.errors import AnnotationError
from tsloop.series.types import Series

__all__ = ["Binding", "FileReading", "bind_all", "open_names", "read_files", "read_source"]

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class FileReading:
    """What became of one file; ``reading`` is ``None`` where it holds no labels."""

    path: Path
    account: str
    reading: Reading | None

    @property
    def repairs(self) -> Counter[str]:
        """Repairs with the number of records (or 1: the file) that needed them."""
        if self.reading is None:
            return Counter()
        found = Counter(self.reading.repairs)
        for record in self.reading.records:
            found.update(set(record.repairs))
        return found

    @property
    def doubts(self) -> Counter[str]:
        """Doubts with the number of records that have them."""
        records = self.reading.records if self.reading else ()
        return Counter(doubt for record in records for doubt in record.doubts)


@dataclass(frozen=True, slots=True)
class Binding:
    """Records tied to series and labels, and those that could not be."""

    bound: tuple[Bound, ...] = ()
    failures: tuple[Failure, ...] = ()
    hints: Counter[str] = field(default_factory=Counter)


def read_files(
    paths: Sequence[Path], format_name: str, options: ReadOptions
) -> Iterator[FileReading]:
    """Read files, and every file of folders; in a folder, pictures are passed over.

    With ``auto`` the content says which format a file is. A file that cannot be read at all is a
    failure; one that is fine but holds no labels is an account without a reading.
    """
    for path in _files(paths):
        try:
            source = Source.open(path)
            found = detect_format(source) if format_name == AUTO else get_format(format_name)
        except AnnotationError as error:
            yield FileReading(path, str(error), _failed(path, error))
            continue
        if found is None:
            account = describe_other(source)
            damage = AnnotationError(account) if is_damaged(source) else None
            yield FileReading(path, account, _failed(path, damage) if damage else None)
        elif format_name != AUTO and not found.recognises(source):
            other = AnnotationError(f"It is not of the format {format_name}.")
            yield FileReading(path, other.message, _failed(path, other))
        else:
            reading = read_source(source, found, options)
            yield FileReading(path, describe_reading(reading), reading)


def read_source(source: Source, found: Format, options: ReadOptions) -> Reading:
    """What a format reads of a file; where that fails as a whole, one failure says so."""
    try:
        return found.read(source, options)
    except AnnotationError as error:
        return Reading(found.name, failures=(Failure(source.label, str(error)),))


def _failed(path: Path, error: AnnotationError) -> Reading:
    return Reading("unknown", failures=(Failure(path.name, str(error)),))


def bind_all(readings: Iterable[Reading], binder: Binder) -> Binding:
    """Bind every record; what is not certain is a failure with its place.

    Records that judge windows of one series become one record.
    """
    bound: list[Bound] = []
    failures: list[Failure] = []
    hints: Counter[str] = Counter()
    store = _Remembering(binder.store)
    for reading in readings:
        own = Binder(
            store,
            binder.label_set,
            binder.mapped,
            binder.snap,
            reading.format,
            binder.author,
        )
        for record in reading.records:
            try:
                bound.append(own.bind(record))
            except AnnotationError as error:
                failures.append(Failure(record.place, error.message))
                hints.update([error.hint] if error.hint else [])
    return Binding(tuple(join_parts(bound)), tuple(failures), hints)


class _Remembering:
    """A series store that keeps the shorter series it was asked for last, about 250 MB of them.

    Records without a name are compared with every series; each would be read from disk for each.
    """

    def __init__(self, store: SeriesLookup) -> None:
        self.entries = store.entries
        self._read = store.__getitem__
        self._recent = lru_cache(maxsize=256)(store.__getitem__)

    def __getitem__(self, series_id: str) -> Series:
        short = self.entries[series_id].n_rows <= 1 << 16
        return self._recent(series_id) if short else self._read(series_id)


def open_names(records: Iterable[ForeignRecord], binder: Binder) -> dict[str, str | None]:
    """Names that lead to no series for certain, with the one series that each may mean."""
    found: dict[str, str | None] = {}
    for record in records:
        if not record.name or record.name in found:
            continue
        try:
            binder.series_id(record)
        except AnnotationError:
            near = candidates(record.name, binder.store.entries)
            found[record.name] = near[0] if len(near) == 1 else None
    return found


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file())
            pictures = (".png", ".jpg", ".jpeg")
            yield from (p for p in inside if p.suffix.lower() not in pictures)
        else:
            yield path
