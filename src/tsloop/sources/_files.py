"""The files of a folder: which hold series, what their names say, whether they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tsloop.errors import SourceError

__all__ = [
    "SUFFIXES",
    "holds_series",
    "is_parquet",
    "is_xlsx",
    "mark",
    "read_parquet",
    "series_files",
    "stem",
]

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".xlsx")

_ENDS = 1 << 16


def holds_series(name: str) -> bool:
    """Whether a file is one of series, by its name."""
    return name.lower().endswith(SUFFIXES)


def is_parquet(name: str) -> bool:
    """Whether a file is parquet, by its name."""
    return name.lower().endswith(".parquet")


def is_xlsx(name: str) -> bool:
    """Whether a file is an Excel workbook, by its name."""
    return name.lower().endswith(".xlsx")


def stem(file: str) -> str:
    """A relative path without the suffix of `SUFFIXES` that it ends in."""
    longest_first = sorted(SUFFIXES, key=len, reverse=True)
    return file[: -len(next(s for s in longest_first if file.lower().endswith(s)))]


def series_files(root: Path, pattern: str) -> Iterator[str]:
    """Files of a folder that hold series by their name, relative to it, sorted; no hidden ones."""
    for path in sorted(root.glob(pattern)):
        parts = path.relative_to(root)
        hidden = any(part.startswith(".") for part in parts.parts)
        if not hidden and holds_series(path.name) and path.is_file():
            yield parts.as_posix()


def mark(path: Path) -> str:
    """Size and a hash of the first and the last 64 KiB: cheap, and the same on every machine.

    A change that keeps the size and both ends of a long file is not seen. Empty where the file
    cannot be read.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            digest = hashlib.sha256(stream.read(_ENDS))
            stream.seek(max(_ENDS, size - _ENDS))
            digest.update(stream.read(_ENDS))
    except (OSError, ValueError):
        return ""
    return f"{size}-{digest.hexdigest()[:16]}"


def read_parquet(path: Path, read: Any) -> Any:
    """``read(path)``, where a file that is no parquet is a `SourceError`."""
    try:
        return read(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path.name} is not a readable parquet file: {error}") from error
