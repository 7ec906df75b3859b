"""A folder of CSV or parquet files, with or without a manifest.

Without a manifest every file is a pool series: its id is the relative path without suffixes; a file
with several value columns gives one series per column, ``<path>/<column>``.

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
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import pyarrow.parquet as pq

from tsloop.errors import SourceError
from tsloop.series.raw import RawSeries
from tsloop.series.types import Role
from tsloop.sources._csv import CsvFormat, is_text, read_csv, read_header, refuse_newlines
from tsloop.sources._files import (
    SUFFIXES,
    holds_series,
    is_parquet,
    mark,
    read_parquet,
    series_files,
    stem,
)
from tsloop.sources._folder_config import FolderConfig
from tsloop.sources._manifest import ROLES, STATED, Entry, read_manifest
from tsloop.sources.base import Source

__all__ = ["MANIFEST", "FolderConfig", "FolderSource"]

MANIFEST = "manifest.json"
_TIME_NAMES = ("timestamp", "time", "date", "datetime", "ts", "时间", "时间戳", "日期")


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
        self._cached: tuple[str, Any] = ("", None)

    @classmethod
    def of_file(cls, path: Path, config: FolderConfig) -> Self:
        """Exactly this file, whatever its name and whatever lies beside it (also a manifest)."""
        if not holds_series(path.name):
            raise SourceError(
                f"{path} is neither CSV nor parquet by its name.",
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
        table = self._table(entry.file)
        if entry.n is not None and entry.n != table.num_rows:
            raise SourceError(
                f"Series {name!r}: {entry.file} has {table.num_rows} rows, its manifest says "
                f"{entry.n}, so its intervals cannot be trusted.",
                hint="Mend n in the manifest.",
            )
        columns = table.column_names
        time, values = _columns(
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
        raw = RawSeries(
            name,
            table.column(time),
            table.column(values[0]),
            group=entry.group,
            role=entry.role,
            step_s=entry.step_s,
            intervals=entry.intervals,
            timestamp_column=time,
            value_column=values[0],
            meta=entry.meta,
            **{**stated, **entry.stated},
        )
        return _cut(raw, self.config.max_rows)

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
        time, values = _columns(self.config, file, self._header(file))
        for column in values:
            name = base if len(values) == 1 else f"{base}/{column}"
            if name in entries:
                raise SourceError(
                    f"{file} and {entries[name].file} both give a series {name!r}.",
                    hint="Rename one of them, or narrow source.pattern.",
                )
            entries[name] = Entry(
                file, group=group, timestamp_column=time, value_column=column, meta={"file": file}
            )

    def _path(self, file: str) -> Path:
        parts = Path(file).parts
        outside = Path(file).is_absolute() or ".." in parts or "\0" in file or "\\" in file
        path = self.root / file
        try:
            if not outside and not self.config.follow_links and path.exists():
                outside = not path.resolve().is_relative_to(self.root.resolve())
            missing = not outside and not path.is_file()
        except OSError as error:
            raise SourceError(f"{file[:80]!r} cannot be opened: {error.strerror}.") from error
        if outside:
            raise SourceError(
                f"{file!r} leads out of {self.config.path}.",
                hint="Use a path inside, or set source.follow_links=true if it is a link of yours.",
            )
        if missing:
            raise SourceError(f"{file!r} does not exist in {self.config.path}.")
        return path

    def _format(self, file: str) -> CsvFormat:
        tab = "\t" if file.lower().endswith((".tsv", ".tsv.gz")) else ""
        c = self.config
        return CsvFormat(c.encoding, c.delimiter or tab, c.has_header, c.max_bytes)

    def _header(self, file: str) -> Any:
        """Column names of a file."""
        path = self._path(file)
        if is_parquet(file):
            return list(read_parquet(path, pq.read_schema).names)
        return read_header(path, self._format(file))

    def _table(self, file: str) -> Any:
        """The whole file; the last one is kept, for files with many columns."""
        if self._cached[0] != file:
            path = self._path(file)
            table = (
                read_parquet(path, pq.read_table)
                if is_parquet(file)
                else read_csv(path, self._format(file))
            )
            self._cached = (file, table)
        return self._cached[1]


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


def _columns(
    config: FolderConfig, file: str, names: list[str], time: str = "", value: str = ""
) -> tuple[str, list[str]]:
    """The time column and the value columns among the columns of a file."""
    time, value = time or config.timestamp_column, value or config.value_column
    hint = f"Its columns are {names[:12]}; set source.timestamp_column and source.value_column."
    for wanted in (time, value):
        if wanted and wanted not in names:
            raise SourceError(f"{file} has no column {wanted!r}.", hint=hint)
    if not time:
        candidates = [name for name in names if name.lower() in _TIME_NAMES]
        if len(candidates) != 1:
            what = f"{len(candidates)} columns that look" if candidates else "no column that looks"
            raise SourceError(f"{file} has {what} like the time.", hint=hint)
        time = candidates[0]
    rest = [name for name in names if name not in (time, "", *config.ignore_columns)]
    if value or "value" in rest:
        rest = [value or "value"]
    if not rest:
        raise SourceError(f"{file} has no value column beside {time!r}.", hint=hint)
    return time, rest
