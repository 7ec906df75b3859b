"""What every validation step shares: the log of repairs, and errors that name the cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tsloop.errors import SeriesValidationError
from tsloop.series.raw import RawSeries

__all__ = ["Repair", "RepairLog", "refuse"]


@dataclass(frozen=True)
class Repair:
    """One kind of declared repair in one series: how many rows, and the first of them.

    Rows are zero-based and count the raw table, without its header.
    """

    series_id: str
    kind: str
    count: int
    first_row: int
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """A row of ``repairs.jsonl``."""
        row = {"series_id": self.series_id, "kind": self.kind, "count": self.count}
        return {**row, "first_row": self.first_row, "detail": self.detail}


@dataclass
class RepairLog:
    """Collects the repairs of one series."""

    series_id: str
    repairs: list[Repair] = field(default_factory=list)

    def add(self, kind: str, rows: npt.NDArray[np.bool_], detail: str = "") -> None:
        """Record that the rows that are true were repaired; none is no repair."""
        if rows.any():
            first, count = int(np.argmax(rows)), int(np.count_nonzero(rows))
            self.repairs.append(Repair(self.series_id, kind, count, first, detail))


def refuse(raw: RawSeries, row: int | None, column: str, what: str, hint: str = "") -> NoReturn:
    """Raise `SeriesValidationError` for a cell; ``row=None`` means the series as a whole."""
    origin = f" ({raw.meta['file']})" if "file" in raw.meta else ""
    place = "" if row is None else f", row {row}, column {column!r}"
    raise SeriesValidationError(
        f"Series {raw.id!r}{origin}{place}: {what}.",
        row=row,
        column=column,
        hint=hint,
        series_id=raw.id,
        reason=what,
    )
