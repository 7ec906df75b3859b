"""The tables of a folder's files, whatever the files are; each thread keeps the last one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tsloop.errors import SourceError
from tsloop.series.tables import ROW_GROUP
from tsloop.sources._csv import CsvFormat, read_csv, read_header
from tsloop.sources._files import is_parquet, is_xlsx, read_parquet
from tsloop.sources._folder_config import FolderConfig
from tsloop.sources._xlsx import read_xlsx, read_xlsx_header

__all__ = ["FolderTables"]


class FolderTables:
    """Reads files below ``root``; one that leads out of it is refused."""

    def __init__(self, root: Path, config: FolderConfig) -> None:
        self._root, self._config = root, config
        self._kept = threading.local()

    def __reduce__(self) -> tuple[type[FolderTables], tuple[Path, FolderConfig]]:
        """What is kept belongs to this process."""
        return FolderTables, (self._root, self._config)

    def path(self, file: str) -> Path:
        """Where a file lies, given relative to the folder."""
        parts = Path(file).parts
        outside = Path(file).is_absolute() or ".." in parts or "\0" in file or "\\" in file
        path = self._root / file
        try:
            if not outside and not self._config.follow_links and path.exists():
                outside = not path.resolve().is_relative_to(self._root.resolve())
            missing = not outside and not path.is_file()
        except OSError as error:
            raise SourceError(f"{file[:80]!r} cannot be opened: {error.strerror}.") from error
        if outside:
            raise SourceError(
                f"{file!r} leads out of {self._config.path}.",
                hint="Use a path inside, or set source.follow_links=true if it is a link of yours.",
            )
        if missing:
            raise SourceError(f"{file!r} does not exist in {self._config.path}.")
        return path

    def header(self, file: str) -> list[str]:
        """Column names of a file."""
        path = self.path(file)
        if is_parquet(file):
            return list(read_parquet(path, pq.read_schema).names)
        if is_xlsx(file):
            return read_xlsx_header(path, self._config.sheet, self._config.max_bytes)
        return read_header(path, self._format(file))

    def table(self, file: str) -> Any:
        """The whole file; the last one is kept, for files with many series."""
        if getattr(self._kept, "file", None) != file:
            self._kept.file = self._kept.table = None  # let go of the old one before reading
            self._kept.table = self._read(file)
            self._kept.file = file
        return self._kept.table

    def long_parquet(self, file: str) -> Any:
        """A parquet file that is too long to be read as a whole, opened; ``None`` for others."""
        # Without read-ahead, which would hold the whole file.
        opened = read_parquet(self.path(file), lambda path: pq.ParquetFile(path, pre_buffer=False))
        if opened.metadata.num_rows > ROW_GROUP:
            return opened
        opened.close()
        return None

    def _read(self, file: str) -> Any:
        path = self.path(file)
        if is_parquet(file):
            return read_parquet(path, pq.read_table)
        if is_xlsx(file):
            return read_xlsx(path, self._config.sheet, self._config.max_bytes)
        return read_csv(path, self._format(file))

    def _format(self, file: str) -> CsvFormat:
        tab = "\t" if file.lower().endswith((".tsv", ".tsv.gz")) else ""
        c = self._config
        return CsvFormat(c.encoding, c.delimiter or tab, c.has_header, c.max_bytes)
