"""Yahoo S5, and any other folder of CSV files with a time, a value and a column of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from tsloop.series.raw import RawSeries
from tsloop.sources._labelled_rows import intervals_of_rows, text_labels
from tsloop.sources.benchmarks.base import (
    CSV,
    Benchmark,
    csv_columns,
    csv_table,
    numbered_times,
)

__all__ = ["Yahoo"]

_TIMES = ("timestamp", "timestamps", "time", "date", "datetime")
_VALUES = ("value", "values", "data")
_LABELS = ("is_anomaly", "anomaly", "label", "labels", "is_outlier", "anomaly_label")
_FIRST_EPOCH = 100_000_000
"""Smaller whole numbers count samples: as seconds they would lie before March 1973."""


class Yahoo(Benchmark):
    """CSV files at any depth; those without the three columns are skipped."""

    kind: ClassVar[str] = "yahoo"

    def find(self) -> dict[str, Callable[[], RawSeries]]:
        found: dict[str, Callable[[], RawSeries]] = {}
        for path in self.files(*CSV):
            columns = csv_columns(path)
            picked = [_first(columns, names) for names in (_TIMES, _VALUES, _LABELS)]
            if "" in picked:
                wanted = ("time", "value", "label")[picked.index("")]
                self.skipped[self.label(path)] = f"no column for the {wanted}"
                continue
            name = f"yahoo/{self.label(path)}"
            found[name] = partial(self._read, name, path, *picked)
        return found

    def _read(self, name: str, path: Path, time: str, value: str, label: str) -> RawSeries:
        table = csv_table(path)
        times = table.column(time)
        numbered = _counts_samples(times)
        return RawSeries(
            name,
            numbered_times(table.num_rows, self.config.step_s) if numbered else times,
            table.column(value),
            zone=self.config.zone,
            intervals=intervals_of_rows(text_labels(table.column(label))),
            timestamp_column=time,
            value_column=value,
            meta={"file": path.name, **({"times": "numbered"} if numbered else {})},
        )


def _first(columns: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in columns), "")


def _counts_samples(times: Any) -> bool:
    try:
        numbers = pc.cast(times, pa.int64())
    except pa.ArrowInvalid:
        return False
    largest = pc.max(numbers).as_py()
    return largest is not None and largest < _FIRST_EPOCH
