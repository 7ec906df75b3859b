"""Files with a label in each row, and files in which each row says to which series it belongs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsloop.intervals import Basis, Interval

__all__ = ["intervals_of_rows", "rows_of", "series_names", "text_labels"]

_NOTHING = frozenset({"0", "0.0", "false", "normal", "none", "no", "-"})
_ANOMALY = frozenset({"1", "1.0", "true", "yes"})


def series_names(table: Any, column: str) -> list[str]:
    """The series of a long table, in the order of their names."""
    names = pc.unique(table.column(column).cast(pa.string()))
    return sorted(str(name) for name in names.to_pylist() if name)


def rows_of(table: Any, column: str, name: str) -> Any:
    """The rows of one series of a long table, in their order."""
    return table.filter(pc.equal(table.column(column).cast(pa.string()), name))


def text_labels(column: Any) -> list[str | None]:
    """Labels of the rows: ``None`` where nothing is said, ``""`` where it is normal, else an id.

    Marks (1, true, yes) are the label ``anomaly``; zeros and words for "nothing" are normal.
    """
    cells = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    known: dict[Any, str | None] = {}
    for value in pc.unique(cells).to_pylist():
        text = "" if value is None else str(value).strip()
        word = text.lower()
        if not text or word == "nan":
            known[value] = None
        else:
            known[value] = "" if word in _NOTHING else "anomaly" if word in _ANOMALY else text
    return [known[value] for value in cells.to_pylist()]


def intervals_of_rows(labels: list[str | None]) -> tuple[Interval, ...] | None:
    """Runs of one label over adjacent rows; ``None`` where no row says anything.

    Two events of one label that touch become one: such a file cannot tell them apart.
    """
    if all(label is None for label in labels):
        return None
    names = np.array([label or "" for label in labels], dtype=object)
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    ends = np.r_[starts[1:], len(names)] - 1
    return tuple(
        Interval(int(start), int(end), names[start], basis=Basis.IMPORTED)
        for start, end in zip(starts, ends, strict=True)
        if names[start]
    )
