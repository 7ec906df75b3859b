"""Excel workbooks as tables; cells keep the kind that the workbook gives them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tsloop.errors import MissingExtraError, SourceError
from tsloop.series.raw import as_column

__all__ = ["read_xlsx", "read_xlsx_header"]


def read_xlsx_header(path: Path, sheet: str, max_bytes: int) -> list[str]:
    """The column names: the first row of the sheet ("": the first sheet)."""
    for row in _rows(path, sheet, max_bytes):
        return _names(path, row)
    raise SourceError(f"{path.name} is empty.", hint="Remove it, or choose another source.sheet.")


def read_xlsx(path: Path, sheet: str, max_bytes: int) -> Any:
    """All rows below the header as an arrow table; empty rows at the end are none."""
    rows = _rows(path, sheet, max_bytes)
    names = _names(path, next(rows, ()))
    cells: list[list[Any]] = [[] for _ in names]
    filled = 0
    for row in rows:
        padded = (*row, *[None] * (len(names) - len(row)))
        for column, cell in zip(cells, padded, strict=False):
            column.append(cell)
        filled = len(cells[0]) if any(cell is not None for cell in row) else filled
    return pa.table({name: as_column(c[:filled]) for name, c in zip(names, cells, strict=True)})


def _rows(path: Path, sheet: str, max_bytes: int) -> Iterator[tuple[Any, ...]]:
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ModuleNotFoundError as error:
        raise MissingExtraError("openpyxl", "excel") from error
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > max_bytes:
                raise SourceError(
                    f"{path.name} holds more than {max_bytes:,} bytes "
                    f"(source.max_bytes={max_bytes}).",
                    hint="Raise it, or convert the file to parquet.",
                )
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (OSError, zipfile.BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise SourceError(f"{path.name} is not a readable workbook: {error}.") from error
    try:
        if sheet and sheet not in book.sheetnames:
            raise SourceError(
                f"{path.name} has no sheet {sheet!r}; it has {book.sheetnames}.",
                hint="Set source.sheet to one of them.",
            )
        yield from book[sheet or book.sheetnames[0]].iter_rows(values_only=True)
    finally:
        book.close()


def _names(path: Path, row: tuple[Any, ...]) -> list[str]:
    names = ["" if cell is None else str(cell).strip() for cell in row]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise SourceError(
            f"{path.name} has no column names in its first row.",
            hint="Name the columns, or choose another source.sheet.",
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SourceError(
            f"{path.name} has columns of one name: {doubled}.", hint="Rename them in the file."
        )
    return names
