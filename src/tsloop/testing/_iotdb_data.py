"""What the small IoTDB server holds: columns under paths, and blocks of their rows as bytes."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Column", "Database", "SqlError", "nodes_of", "pack_block", "spelled"]

_TYPES = {"BOOLEAN": 0, "INT32": 1, "INT64": 2, "FLOAT": 3, "DOUBLE": 4, "TEXT": 5}
_WIRE = {"INT32": ">i4", "INT64": ">i8", "FLOAT": ">f4", "DOUBLE": ">f8"}
_ENCODING = {"BOOLEAN": 0, "INT32": 1, "FLOAT": 1, "INT64": 2, "DOUBLE": 2, "TEXT": 3}
_NODE = re.compile(r"`((?:[^`]|``)+)`|([A-Za-z0-9_*\u2e80-\u9fff]+)")
_WORD = re.compile(r"[A-Za-z0-9_\u2e80-\u9fff]+")


class SqlError(Exception):
    """A statement that the server refuses, with the code of its status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Column:
    """Rows of one measurement: strictly increasing times, values without nulls."""

    times: npt.NDArray[np.int64]
    values: npt.NDArray[Any]
    kind: str


def nodes_of(path: str) -> tuple[str, ...]:
    """Names of the nodes; a wildcard outside back-ticks is marked with a leading NUL."""
    nodes: list[str] = []
    place = 0
    while place <= len(path):
        match = _NODE.match(path, place)
        if match is None:
            raise SqlError(700, f"line 1:{place} mismatched input in path {path!r}")
        quoted, plain = match.groups()
        name = quoted.replace("``", "`") if quoted else plain
        nodes.append("\0" + name if not quoted and "*" in name else name)
        place = match.end()
        if place < len(path) and path[place] != ".":
            raise SqlError(700, f"line 1:{place} extraneous input in path {path!r}")
        place += 1
    return tuple(nodes)


def spelled(nodes: tuple[str, ...]) -> str:
    """A path as the server writes it: back-ticks where a node is no plain word."""
    return ".".join(
        node if _WORD.fullmatch(node) and not node.isdigit() else _quoted(node) for node in nodes
    )


def _quoted(node: str) -> str:
    return "`" + node.replace("`", "``") + "`"


class Database:
    """Columns by the nodes of their path."""

    def __init__(self) -> None:
        self.columns: dict[tuple[str, ...], Column] = {}

    def add(self, path: str, column: Column) -> None:
        """Put a column under a path."""
        if (np.diff(column.times) <= 0).any() or len(column.times) != len(column.values):
            raise ValueError(f"{path}: times must increase, one for each value.")
        self.columns[nodes_of(path)] = column

    def matching(self, path: str) -> list[tuple[tuple[str, ...], Column]]:
        """Columns that a path with wildcards means, in the order of their paths."""
        wanted = nodes_of(path)
        return [(n, c) for n, c in sorted(self.columns.items()) if _matches(wanted, n)]


def _matches(wanted: tuple[str, ...], nodes: tuple[str, ...]) -> bool:
    if not wanted:
        return not nodes
    head, rest = wanted[0], wanted[1:]
    if head == "\0**":
        return any(_matches(rest, nodes[n:]) for n in range(1, len(nodes) + 1))
    if not nodes or not _matches_node(head, nodes[0]):
        return False
    return _matches(rest, nodes[1:])


def _matches_node(wanted: str, node: str) -> bool:
    if not wanted.startswith("\0"):
        return wanted == node
    return re.fullmatch(".*".join(map(re.escape, wanted[1:].split("*"))), node) is not None


def pack_block(times: npt.NDArray[np.int64], columns: list[tuple[str, npt.NDArray[Any]]]) -> bytes:
    """Rows as the server sends them: a header, the time column, and the value columns."""
    kinds = [kind for kind, _ in columns]
    header = struct.pack(">i", len(columns)) + bytes(_TYPES[kind] for kind in kinds)
    header += struct.pack(">i", len(times)) + bytes([2, *(_ENCODING[kind] for kind in kinds)])
    body = b"".join(_pack(kind, values) for kind, values in [("INT64", times), *columns])
    return header + body


def _pack(kind: str, values: npt.NDArray[Any]) -> bytes:
    """A column: a byte that says whether there are nulls, their bits, the values that are none."""
    nulls = np.array([value is None for value in values]) if values.dtype == object else None
    if nulls is None or not nulls.any():
        head, dense = b"\0", values
    else:
        head, dense = b"\1" + np.packbits(nulls).tobytes(), values[~nulls]
    if kind == "BOOLEAN":
        full = np.array([bool(value) for value in values], bool)
        return head + np.packbits(full).tobytes()
    if kind == "TEXT":
        texts = [str(value).encode("utf-8") for value in dense]
        return head + b"".join(struct.pack(">i", len(text)) + text for text in texts)
    return head + np.asarray(dense, _WIRE[kind]).tobytes()
