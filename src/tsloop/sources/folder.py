"""A folder of CSV, parquet or Excel files, with or without a manifest.

Without a manifest every file is a pool series: its id is the relative path without suffixes; a file
with several value columns gives one series per column, ``<path>/<column>``. A file whose rows say
to which series they belong (TRAINSET: ``series,timestamp,value,label``) gives ``<path>/<series>``,
with its labels as truth.

With ``manifest.json`` in the folder, exactly the series that it names are read::

    {"<id>": {
        "file": "wsd/series/wsd_006.csv.gz",   required; relative to the folder
        "dataset": "wsd",            filtered by source.datasets
        "role": "pool",              pool | gold (also spelled eval) | spare; default pool
        "group": "kpi_26",           what must not be split between training and test; default: id
        "intervals": [[12, 30], [57, 57, "upward_spike"]],
                                     truth: first and last row, zero-based and inclusive, with an
                                     optional label id (default "anomaly"); [] says "no anomaly",
                                     left out says "unknown"
        "n": 10080,                  number of rows, checked where it is given
        "step_s": 60,                seconds between samples, for files with sample numbers
        "zone": "Asia/Shanghai", "epoch_unit": "ms", "unit": "kPa", "decimal": ",",
        "thousands": ".", "timestamp_column": "date", "value_column": "FI_10401C.PV",
        "metadata": {…},             kept as it is
        ...                          another key is metadata too, unless it looks like a typing
                                     error of one of these
    }, ...}

Another key than ``role`` may hold the roles (``source.protocol``); series without it are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from tsloop.errors import SourceError
from tsloop.intervals import Interval
from tsloop.series.raw import RawSeries
from tsloop.series.tables import ROW_GROUP
from tsloop.series.types import Role
from tsloop.sources._csv import is_text, refuse_newlines
from tsloop.sources._files import SUFFIXES, holds_series, is_parquet, mark, series_files, stem
from tsloop.sources._folder_columns import row_columns, value_columns
from tsloop.sources._folder_config import FolderConfig
from tsloop.sources._folder_tables import FolderTables
from tsloop.sources._labelled_rows import intervals_of_rows, rows_of, series_names, text_labels
from tsloop.sources._manifest import ROLES, STATED, Entry, read_manifest
from tsloop.sources.base import Source

__all__ = ["MANIFEST", "FolderConfig", "FolderSource"]

MANIFEST = "manifest.json"


class FolderSource(Source):
    """Reads a folder; see the module text for the manifest."""

    kind: ClassVar[str] = "folder"
    config_class: ClassVar[type[Any]] = FolderConfig

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        self.root = Path(config.path)
        self.refused: dict[str, SourceError] | None = None
        """Set to a dictionary, it takes the files that cannot be read; else listing raises."""
        self._only = ""
        self.jobs = config.jobs
        self._tables = FolderTables(self.root, config)

    @classmethod
    def of_file(cls, path: Path, config: FolderConfig) -> Self:
        """Exactly this file, whatever its name and whatever lies beside it (also a manifest)."""
        if not holds_series(path.name):
            raise SourceError(
                f"{path} is neither CSV, parquet nor Excel by its name.",
                hint=f"Known endings are {', '.join(SUFFIXES)}.",
            )
        found = cls(dataclasses.replace(config, path=str(path.parent), follow_links=True))
        found._only = path.name
        return found

    def list(self) -> list[str]:
        return list(self._entries)

    def read(self, name: str) -> RawSeries:
        entry = self._entries.get(name)
        if entry is None:
            raise SourceError(f"There is no series {name!r} in {self.config.path}.")
        table = self._tables.table(entry.file)
        if entry.series_column:
            table = rows_of(table, entry.series_column, entry.series)
        return _cut(self._series(name, entry, table, table.num_rows), self.config.max_rows)

    def _series(self, name: str, entry: Entry, table: Any, n_rows: int) -> RawSeries:
        """The series of a table that is that of its file, or the beginning of it."""
        if entry.n is not None and entry.n != n_rows:
            raise SourceError(
                f"Series {name!r}: {entry.file} has {n_rows} rows, its manifest says "
                f"{entry.n}, so its intervals cannot be trusted.",
                hint="Mend n in the manifest.",
            )
        columns = table.column_names
        time, values = value_columns(
            self.config, entry.file, columns, entry.timestamp_column, entry.value_column
        )
        if len(values) != 1:
            raise SourceError(
                f"Series {name!r}: {entry.file} has several value columns {values[:5]}.",
                hint="Name one of them as value_column in the manifest.",
            )
        for column in (time, values[0]):
            refuse_newlines(entry.file, column, table.column(column))
        stated = {key: getattr(self.config, key, "") for key in STATED}
        return RawSeries(
            name,
            table.column(time),
            table.column(values[0]),
            group=entry.group,
            role=entry.role,
            step_s=entry.step_s,
            intervals=_truth(entry, table),
            timestamp_column=time,
            value_column=values[0],
            meta=entry.meta,
            **{**stated, **entry.stated},
        )

    def parts(self, name: str) -> Iterator[RawSeries]:
        """A long parquet file comes in row groups; any other file as a whole."""
        entry = self._entries.get(name)
        if entry is None or self.config.max_rows or not is_parquet(entry.file):
            yield self.read(name)
            return
        file = self._tables.long_parquet(entry.file)
        if file is None or entry.series_column or entry.label_column:
            yield self.read(name)
            return
        with file:
            yield from self._stream(name, entry, file)

    def _stream(self, name: str, entry: Entry, file: Any) -> Iterator[RawSeries]:
        """`read` of a parquet file, one row group after the other."""
        head = self._series(name, entry, file.schema_arrow.empty_table(), file.metadata.num_rows)
        columns = [head.timestamp_column, head.value_column]
        for number, batch in enumerate(file.iter_batches(ROW_GROUP, columns=columns)):
            yield dataclasses.replace(
                head,
                timestamps=batch.column(columns[0]),
                values=batch.column(columns[1]),
                intervals=head.intervals if number == 0 else None,
            )

    def batches(self, names: Sequence[str]) -> Sequence[Sequence[str]]:
        """The series of one file together, so that it is read once."""
        by_file: dict[str, list[str]] = {}
        for name in names:
            by_file.setdefault(self._entries[name].file, []).append(name)
        return [*by_file.values()]

    def mark(self, name: str) -> str:
        """A mark of the content of a series' file, or of the file of that name."""
        entry = self._entries.get(name)
        return mark(self.root / (name if entry is None else entry.file))

    def _check_folder(self) -> None:
        if not self.config.path:
            raise SourceError("source.path is empty.", hint="Set it to the folder with the series.")
        if "${" in self.config.path:
            raise SourceError(f"source.path={self.config.path!r} holds an unresolved variable.")
        if not self.root.is_dir():
            raise SourceError(
                f"source.path={self.config.path!r} is not a directory.",
                hint="Set source.path to the folder with the series.",
            )

    def inputs(self) -> dict[str, str]:
        self._check_folder()
        manifest = self.root / MANIFEST
        if manifest.is_file():
            files = {MANIFEST, *(entry.file for entry in self._entries.values())}
        else:
            files = set(series_files(self.root, self.config.pattern))
        return {file: mark(self.root / file) for file in sorted(filter(is_text, files))}

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        self._check_folder()
        config, manifest = self.config, self.root / MANIFEST
        found = (
            read_manifest(manifest, config.datasets, config.protocol)
            if manifest.is_file() and not self._only
            else self._by_files()
        )
        if self.config.roles:
            wanted = {ROLES[role] for role in self.config.roles}
            found = {name: entry for name, entry in found.items() if entry.role in wanted}
        kept: dict[str, Entry] = {}
        per_role = dict.fromkeys(Role, 0)
        for name in sorted(found):
            per_role[found[name].role] += 1
            if not self.config.limit or per_role[found[name].role] <= self.config.limit:
                kept[name] = found[name]
        return kept

    def _by_files(self) -> dict[str, Entry]:
        if self.config.datasets or self.config.protocol != "role":
            raise SourceError(
                f"{self.config.path} has no manifest.json, so source.datasets and source.protocol "
                "mean nothing.",
                hint="Leave them at their defaults.",
            )
        entries: dict[str, Entry] = {}
        for file in [self._only] if self._only else series_files(self.root, self.config.pattern):
            try:
                self._add_file(file, entries)
            except SourceError as error:
                if self.refused is None:
                    raise
                self.refused[file] = error
        return entries

    def _add_file(self, file: str, entries: dict[str, Entry]) -> None:
        """The series of one file, by its columns."""
        if not is_text(file):
            raise SourceError(f"The file name {file!a} is not valid text.", hint="Rename the file.")
        base = stem(file)
        group = str(Path(file).parent) if self.config.group_by == "folder" else base
        header = self._tables.header(file)
        by_series, label = row_columns(self.config, file, header)
        time, values = value_columns(self.config, file, header, skip=(by_series, label))
        entry = Entry(
            file,
            group=group,
            timestamp_column=time,
            value_column=values[0],
            series_column=by_series,
            label_column=label,
            meta={"file": file},
        )
        if by_series:
            table = self._tables.table(file)
            refuse_newlines(file, by_series, table.column(by_series))
            found = {
                f"{base}/{series}": dataclasses.replace(entry, series=series)
                for series in series_names(table, by_series)
            }
        else:
            found = {
                base if len(values) == 1 else f"{base}/{column}": dataclasses.replace(
                    entry, value_column=column
                )
                for column in values
            }
        for name, one in found.items():
            if name in entries:
                raise SourceError(
                    f"{file} and {entries[name].file} both give a series {name!r}.",
                    hint="Rename one of them, or narrow source.pattern.",
                )
            entries[name] = one


def _cut(raw: RawSeries, max_rows: int) -> RawSeries:
    """The first rows only; truth is clipped to them, and what lies beyond goes."""
    if not max_rows or len(raw) <= max_rows:
        return raw
    kept = None
    if raw.intervals is not None:
        kept = tuple(
            i.replace(end=min(i.end, max_rows - 1)) for i in raw.intervals if i.start < max_rows
        )
    return dataclasses.replace(
        raw,
        timestamps=raw.timestamps[:max_rows],
        values=raw.values[:max_rows],
        intervals=kept,
        meta={**raw.meta, "cut_from_rows": len(raw)},
    )


def _truth(entry: Entry, table: Any) -> tuple[Interval, ...] | None:
    if not entry.label_column:
        return entry.intervals
    return intervals_of_rows(text_labels(table.column(entry.label_column)))
