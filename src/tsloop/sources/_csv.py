"""CSV files as text: nothing is guessed beyond the byte order mark and the delimiter.

Every cell stays the text that was found; turning text into times and numbers is the business of
`tsloop.series.validate`, which can name the row.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from tsloop.errors import SourceError

__all__ = ["MOST_BYTES", "CsvFormat", "is_text", "read_csv", "read_header", "refuse_newlines"]

MOST_BYTES = 2**31 - 2
"""A CSV file is decoded and parsed whole: no more than a text column of arrow can count."""

_HEAD_BYTES = 1 << 18
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DATA_CELL = re.compile(
    r"\s*([+-]?\d+([.,]\d*)?([eE][+-]?\d+)?|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*|)\s*$"
)


@dataclass(frozen=True)
class CsvFormat:
    """How the files are written; see `FolderConfig` for the meaning of the fields."""

    encoding: str = ""
    delimiter: str = ""
    has_header: bool = True
    max_bytes: int = 2_000_000_000


def read_header(path: Path, fmt: CsvFormat) -> list[str]:
    """The column names, read from the beginning of the file; without a header "0", "1", …"""
    head, whole = _load(path, fmt, _HEAD_BYTES)
    text = _decode(path, head, fmt, partial=not whole)
    return _names(path, *_first_line(path, text, fmt), fmt)


def read_csv(path: Path, fmt: CsvFormat) -> Any:
    """All rows as an arrow table of text columns; row 0 is the first row below the header."""
    data, whole = _load(path, fmt, fmt.max_bytes)
    if not whole:
        raise SourceError(
            f"{path.name} holds more than {fmt.max_bytes:,} bytes "
            f"(source.max_bytes={fmt.max_bytes}).",
            hint=f"Raise it (to {MOST_BYTES} at most), or split the file, or write it as parquet, "
            "which is read in pieces.",
        )
    text = _decode(path, data, fmt, partial=False)
    cells, delimiter = _first_line(path, text[:_HEAD_BYTES], fmt)
    names = _names(path, cells, delimiter, fmt)
    table = _parse(path, text.encode("utf-8"), len(names), delimiter, fmt)
    return table.rename_columns(names)


def _load(path: Path, fmt: CsvFormat, limit: int) -> tuple[bytes, bool]:
    """Up to ``limit`` unpacked bytes, and whether that is all of them."""
    try:
        with path.open("rb") as packed:
            stream = gzip.GzipFile(fileobj=packed) if path.suffix.lower() == ".gz" else packed
            data = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path.name} cannot be read: {error}.") from error
    if not data:
        raise SourceError(f"{path.name} is empty.", hint="Remove it, or narrow source.pattern.")
    return data[:limit], len(data) <= limit


def _decode(path: Path, data: bytes, fmt: CsvFormat, partial: bool) -> str:
    """Byte order mark, else UTF-8, else the declared encoding, else an error."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _strict(path, data[len(mark) :], name, partial)
    try:
        return _incremental(data, "utf-8", partial)
    except UnicodeDecodeError as error:
        if fmt.encoding:
            return _strict(path, data, fmt.encoding, partial)
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"{path.name}, line {line}: the bytes are not UTF-8 (0x{data[error.start]:02x}).",
            hint="Set source.encoding, for example to gb18030 or latin-1.",
        ) from error


def _strict(path: Path, data: bytes, encoding: str, partial: bool) -> str:
    try:
        return _incremental(data, encoding, partial)
    except LookupError:
        raise SourceError(
            f"source.encoding={encoding!r} is not an encoding.", hint="Try gb18030 or utf-16."
        ) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"{path.name}, line {line}: the bytes are not {encoding} ({error.reason}).",
            hint="Set source.encoding to the encoding of the file.",
        ) from error


def _incremental(data: bytes, encoding: str, partial: bool) -> str:
    """A beginning may end in the middle of a character."""
    return codecs.getincrementaldecoder(encoding)("strict").decode(data, final=not partial)


def _first_line(path: Path, text: str, fmt: CsvFormat) -> tuple[list[str], str]:
    """Cells of the first line that is not blank, and the delimiter."""
    if "\0" in text:
        raise SourceError(
            f"{path.name} is not text: it holds NUL characters.",
            hint="UTF-16 without a byte order mark needs source.encoding=utf-16-le.",
        )
    body = text.lstrip("\r\n")
    line = body.splitlines()[0] if body else ""
    if not line.strip():
        raise SourceError(f"{path.name} has no first line.", hint="Remove the file.")
    delimiter = fmt.delimiter or max("\t;,", key=line.count)
    if delimiter not in line:
        raise SourceError(
            f"{path.name} has one column ({line[:40]!r}); a series needs a time and a value.",
            hint="Set source.delimiter if the columns are separated by another sign.",
        )
    cells = next(csv.reader(io.StringIO(body, newline=None), delimiter=delimiter))
    return cells, delimiter


def _names(path: Path, cells: list[str], delimiter: str, fmt: CsvFormat) -> list[str]:
    if not fmt.has_header:
        return [str(number) for number in range(len(cells))]
    names = [cell.strip() for cell in cells]
    if all(_DATA_CELL.match(name) for name in names):
        raise SourceError(
            f"{path.name} has no header: its first line is {delimiter.join(names)[:60]!r}.",
            hint="Set source.has_header=false; the columns are then called 0, 1, …",
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SourceError(
            f"{path.name} has columns of one name: {doubled}.", hint="Rename them in the file."
        )
    return names


def _parse(path: Path, data: bytes, n_columns: int, delimiter: str, fmt: CsvFormat) -> Any:
    first_row = 2 if fmt.has_header else 1
    ragged: list[str] = []

    def on_ragged(row: Any) -> str:
        ragged.append(
            f"{path.name}, row {row.number - first_row}: {row.actual_columns} cells "
            f"where the first line has {row.expected_columns}: {row.text[:60]!r}."
        )
        return "error"

    names = [f"f{number}" for number in range(n_columns)]
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(data),
            pa_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            pa_csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=b'"' in data,
                invalid_row_handler=on_ragged,
            ),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        what = ragged[0] if ragged else f"{path.name} is not valid CSV: {error}."
        hint = "Mend the row in the file."
        if delimiter == ",":
            hint += " With decimal commas the columns need another sign between them, as ';'."
        raise SourceError(what, hint=hint) from error
    return table.slice(1) if fmt.has_header else table


def is_text(name: str) -> bool:
    """Whether a file name can be written as UTF-8 (bytes of unknown encoding cannot)."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def refuse_newlines(file: str, column: str, cells: Any) -> None:
    """Refuse a text column in which a quoted cell swallowed the rows below it."""
    if not pa.types.is_string(cells.type):
        return
    broken = pc.index(pc.match_substring(cells, "\n"), True).as_py()
    if broken >= 0:
        raise SourceError(
            f"{file}, row {broken}, column {column!r}: a quoted cell runs over several lines.",
            hint="A quotation mark is missing, or the wrong column is read.",
        )
