"""The KPIs of the AIOps challenge: long CSV files with ``timestamp,value,label,KPI ID``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from tsloop.series.raw import RawSeries
from tsloop.sources._labelled_rows import intervals_of_rows, rows_of, series_names, text_labels
from tsloop.sources.benchmarks.base import CSV, Benchmark, BenchmarkConfig, csv_columns, csv_table

__all__ = ["Kpi"]

_ID = "kpi id"


class Kpi(Benchmark):
    """Files of the challenge; a KPI that is in two of them is two series of one group."""

    kind: ClassVar[str] = "kpi"

    def __init__(self, config: BenchmarkConfig) -> None:
        super().__init__(config)
        self._kept = threading.local()

    def find(self) -> dict[str, Callable[[], RawSeries]]:
        found: dict[str, Callable[[], RawSeries]] = {}
        for path in self.files(".hdf", ".h5", ".hdf5"):
            self.skipped[path.name] = "HDF is not read; save it as CSV with the same columns"
        for path in self.files(*CSV):
            if missing := {"timestamp", "value", _ID} - {*csv_columns(path)}:
                self.skipped[path.name] = f"no column {sorted(missing)}"
                continue
            for kpi in series_names(csv_table(path), _ID):
                name = f"kpi/{self.label(path)}/{kpi}"
                found[name] = partial(self._read, name, path, kpi)
        return found

    def _read(self, name: str, path: Path, kpi: str) -> RawSeries:
        table = rows_of(self._table(path), _ID, kpi)
        labelled = "label" in table.column_names
        return RawSeries(
            name,
            table.column("timestamp"),
            table.column("value"),
            group=f"kpi/{kpi}",
            zone=self.config.zone,
            intervals=intervals_of_rows(text_labels(table.column("label"))) if labelled else None,
            meta={"file": path.name, "kpi": kpi},
        )

    def batches(self, names: Sequence[str]) -> Sequence[Sequence[str]]:
        """The KPIs of one file together, so that it is read once."""
        by_file: dict[str, list[str]] = {}
        for name in names:
            by_file.setdefault(name.rpartition("/")[0], []).append(name)
        return [*by_file.values()]

    def _table(self, path: Path) -> Any:
        """The whole file; each thread keeps the last one."""
        if getattr(self._kept, "path", None) != path:
            self._kept.path = self._kept.table = None
            self._kept.table = csv_table(path)
            self._kept.path = path
        return self._kept.table
