"""TSB-AD: CSV files with a column ``Label``; names tell collection, group and training rows.

A file of TSB-AD-M gives one series for each of its columns. Its labels speak of all of them
together, so a column may be labelled where nothing can be seen in it; the metadata say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from tsloop.errors import SourceError
from tsloop.series.raw import RawSeries
from tsloop.sources._labelled_rows import intervals_of_rows, text_labels
from tsloop.sources.benchmarks.base import (
    CSV,
    Benchmark,
    csv_columns,
    csv_table,
    numbered_times,
)

__all__ = ["TsbAd"]

_NAME = re.compile(r"(\d+)_(.+?)_id_(\d+)_(.+)_tr_(\d+)_1st_(\d+)", re.IGNORECASE)
_TIMES = ("timestamp", "time", "index", "")


class TsbAd(Benchmark):
    """A folder with files of TSB-AD-U or TSB-AD-M, at any depth."""

    kind: ClassVar[str] = "tsb_ad"

    def find(self) -> dict[str, Callable[[], RawSeries]]:
        found: dict[str, Callable[[], RawSeries]] = {}
        for path in self.files(*CSV):
            match = _NAME.fullmatch(self.label(path).rpartition("/")[2])
            columns = [*csv_columns(path)] if match else []
            if match is None or "label" not in columns:
                self.skipped[path.name] = "no name of TSB-AD, or no column Label"
                continue
            values = [name for name in columns if name not in (*_TIMES, "label")]
            for column in values:
                name = f"tsb_ad/{match[0]}" + (f"/{column}" if len(values) > 1 else "")
                found[name] = partial(self._read, name, path, match, column, len(values))
        return found

    def _read(
        self, name: str, path: Path, match: re.Match[str], column: str, n_columns: int
    ) -> RawSeries:
        table = csv_table(path)
        meta: dict[str, Any] = {
            "file": path.name,
            "collection": match[2],
            "train_rows": int(match[5]),
            "times": "numbered",
        }
        if n_columns > 1:
            meta["truth"] = f"of all {n_columns} columns together"
        intervals = intervals_of_rows(text_labels(table.column("label")))
        if intervals and max(interval.end for interval in intervals) < int(match[6]):
            raise SourceError(
                f"{path.name} says that its first anomaly is in row {match[6]}, but none is there.",
                hint="The file is cut; download it again.",
            )
        return RawSeries(
            name,
            numbered_times(table.num_rows, self.config.step_s),
            table.column(column),
            group=f"tsb_ad/{match[2]}_id_{match[3]}",
            intervals=intervals,
            meta=meta,
        )
