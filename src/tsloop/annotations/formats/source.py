"""A foreign file: its bytes as text, as JSON or as lines, and its neighbours."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tsloop.errors import AnnotationError
from tsloop.lenient import CutDict, CutList, read_fragments

__all__ = ["MAX_BYTES", "Source"]

MAX_BYTES = 1 << 30
"""Files beyond a gigabyte are no labels."""


@dataclass(frozen=True)
class Source:
    """A file to be read: where it lies and its bytes. ``label`` is how messages call it."""

    path: Path
    data: bytes = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Source:
        """Read a file; one that is missing or too large is an `AnnotationError`."""
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise AnnotationError(f"{path} has {size} bytes; labels are never that large.")
            return cls(path, path.read_bytes())
        except OSError as error:
            raise AnnotationError(f"{path} cannot be read: {error.strerror}.") from error

    @property
    def label(self) -> str:
        """The file's name."""
        return self.path.name

    @cached_property
    def text(self) -> str:
        """The file as text; UTF-8, with or without byte order mark, else GB 18030."""
        for encoding in ("utf-8-sig", "gb18030"):
            try:
                return self.data.decode(encoding)
            except UnicodeDecodeError:
                continue
        raise AnnotationError(f"{self.path} is no text: neither UTF-8 nor GB 18030.")

    @cached_property
    def repairs(self) -> tuple[str, ...]:
        """What had to be mended before the content could be read."""
        found = ["byte order mark"] if self.data.startswith(b"\xef\xbb\xbf") else []
        try:
            self.data.decode("utf-8")
        except UnicodeDecodeError:
            found.append("read as GB 18030")
        if self._json[1]:
            found.append("almost-JSON: " + self._json[1])
        return tuple(found)

    @cached_property
    def json(self) -> Any:
        """The parsed document, or ``None`` where there is none.

        Almost-JSON (an ellipsis in a list, trailing commas) is read too, and is in ``repairs``; a
        document whose end is missing is not: what is cut off would be lost.
        """
        return self._json[0]

    @cached_property
    def _json(self) -> tuple[Any, str]:
        if self.path.suffix.lower() in (".csv", ".jsonl"):
            return None, ""
        try:
            text = self.text
            return json.loads(text), ""
        except AnnotationError:
            return None, ""
        except (ValueError, RecursionError):
            pass
        if not text.lstrip().startswith(("[", "{")):
            return None, ""
        fragments = read_fragments(text)
        if len(fragments) != 1 or isinstance(fragments[0].value, CutDict | CutList):
            return None, ""
        return fragments[0].value, ", ".join(sorted(fragments[0].kinds)) or "repaired"

    @cached_property
    def rows(self) -> list[tuple[int, str]]:
        """Non-empty lines with their numbers."""
        lines = self.text.split("\n")
        return [(n, line.rstrip("\r")) for n, line in enumerate(lines, start=1) if line.strip()]

    @cached_property
    def header(self) -> tuple[str, ...]:
        """The cells of the first line of a CSV file; empty for other files."""
        if self.path.suffix.lower() != ".csv":
            return ()
        import csv

        first = self.data[:65536].split(b"\n", 1)[0].decode("utf-8-sig", "replace")
        return tuple(next(csv.reader([first.rstrip("\r")]), []))

    def place(self, number: int, what: str = "record") -> str:
        """``file, record 3``."""
        return f"{self.label}, {what} {number}"

    def neighbour(self, name: str) -> Source | None:
        """A file beside this one, if it is there."""
        path = self.path.with_name(name)
        return Source.open(path) if path.is_file() else None
