"""Parquet files whose bytes depend on their content alone, under names that any disk can hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsloop.errors import SeriesError

__all__ = ["ROW_GROUP", "file_stem", "inside", "read_table", "write_parts", "write_table"]

ROW_GROUP = 1 << 20
"""Rows that lie together in a file: what a writer of parts holds in memory."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def file_stem(series_id: str) -> str:
    """A file name without suffix for any id: a readable part and a hash of the whole id.

    The readable part is ASCII and at most 48 characters long; two ids never share a stem, also on
    disks that ignore case.
    """
    slug = _UNSAFE.sub("_", series_id).strip("._-")[:48] or "series"
    digest = hashlib.sha256(series_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{slug}-{digest}"


def inside(directory: Path, name: str) -> Path:
    """``directory / name``, refused where the name of a manifest points out of the directory."""
    path = Path(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise SeriesError(
            f"The file name {name!r} in {directory / 'manifest.json'} leaves the directory.",
            hint="Run the stage that wrote it again.",
        )
    return directory / path


def write_table(path: Path, table: Any) -> None:
    """Write columns ``timestamp``, ``value`` (and ``row``): same table, same bytes."""
    write_parts(path, [table])


def write_parts(path: Path, parts: Iterable[Any]) -> int:
    """Write consecutive tables of one schema; returns the number of rows.

    The bytes depend on the rows alone, not on where one table ends and the next begins.
    """
    writer: Any = None
    waiting: list[Any] = []
    n_waiting = n_rows = 0
    try:
        for table in parts:
            writer = writer or _writer(path, table.schema)
            waiting.append(table)
            n_waiting += table.num_rows
            while n_waiting >= ROW_GROUP:
                whole = pa.concat_tables(waiting)
                writer.write_table(whole.slice(0, ROW_GROUP).combine_chunks(), ROW_GROUP)
                waiting = [whole.slice(ROW_GROUP)]
                n_waiting -= ROW_GROUP
                n_rows += ROW_GROUP
        if writer is None:
            return 0
        if n_waiting or not n_rows:
            writer.write_table(pa.concat_tables(waiting).combine_chunks(), ROW_GROUP)
        return n_rows + n_waiting
    finally:
        if writer is not None:
            writer.close()


def _writer(path: Path, schema: Any) -> Any:
    deltas = {
        name: "DELTA_BINARY_PACKED"
        for name in ("row", "timestamp")
        if name in schema.names
        and (pa.types.is_int64(kind := schema.field(name).type) or pa.types.is_timestamp(kind))
    }
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[name for name in schema.names if name not in deltas],
        column_encoding=deltas or None,
        write_statistics=False,
    )


def read_table(path: Path, columns: list[str]) -> Any:
    """Read the named columns; a missing, damaged or foreign file is a `SeriesError`."""
    try:
        table = pq.read_table(path, use_threads=False, memory_map=True)
    except FileNotFoundError:
        raise SeriesError(f"Series file {path} does not exist.") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise SeriesError(f"Series file {path} cannot be read as parquet: {error}") from error
    if missing := [name for name in columns if name not in table.column_names]:
        raise SeriesError(
            f"Series file {path} has columns {table.column_names} but no {missing}.",
            hint="Run the stage that wrote it again.",
        )
    return table.select(columns).combine_chunks()
