"""Small files written so that a reader never sees half of one.

Everything is written to a temporary sibling, flushed to the disk and renamed. The bytes depend on
the content alone: sorted keys, ``\\n``, UTF-8, no NaN.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tsloop.errors import TsloopError

__all__ = [
    "dump_json",
    "fresh_dir",
    "read_json",
    "read_jsonl",
    "sha256_file",
    "sha256_tree",
    "write_bytes_atomic",
    "write_json",
    "write_jsonl",
    "write_text_atomic",
]


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Replace the file's content in one step; the directory is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    """`write_bytes_atomic` for UTF-8 text."""
    write_bytes_atomic(path, text.encode("utf-8"))


def dump_json(value: Any) -> str:
    """One line of JSON with sorted keys; NaN and infinities are a `ValueError`."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(", ", ": ")
    )


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON (indented, sorted keys, final newline)."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, indent=2)
    write_text_atomic(path, text + "\n")


def read_json(path: Path) -> Any:
    """Parse a JSON file; a missing or broken file is a `TsloopError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TsloopError(f"File {path} does not exist.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TsloopError(f"File {path} is not valid JSON: {error}.") from error


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    write_text_atomic(path, "".join(dump_json(row) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Parse every line; a broken line is a `TsloopError` that names file and line."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise TsloopError(f"File {path} does not exist.") from None
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TsloopError(f"{path}, line {number} is not valid JSON: {error}.") from error
        if not isinstance(row, dict):
            raise TsloopError(f"{path}, line {number} is not a JSON object: {line[:60]!r}.")
        rows.append(row)
    return rows


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_tree(directory: Path) -> str:
    """Hex SHA-256 over the relative names and contents of all files below a directory."""
    digest = hashlib.sha256()
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        digest.update(path.relative_to(directory).as_posix().encode("utf-8") + b"\0")
        digest.update(bytes.fromhex(sha256_file(path)))
    return digest.hexdigest()


@contextlib.contextmanager
def fresh_dir(path: Path) -> Iterator[Path]:
    """Fill a temporary sibling; on success it takes the place of ``path``, on error it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        if path.is_dir():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
