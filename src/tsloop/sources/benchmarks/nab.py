"""The Numenta anomaly benchmark: CSV files, and windows or points in JSON beside them.

Its windows are zones of tolerance around the labels, wider than the events: good for hits and
misses, unfit for the overlap of intervals. What was read is in the metadata (``truth``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tsloop.errors import SourceError, TsloopError
from tsloop.files import read_json
from tsloop.intervals import Basis, Interval
from tsloop.series.raw import RawSeries
from tsloop.sources.benchmarks.base import CSV, Benchmark, csv_table

__all__ = ["Nab"]

_KINDS = {"windows": "combined_windows", "points": "combined_labels"}
_TRUTH = {"windows": "tolerance_window", "points": "point"}


class Nab(Benchmark):
    """A checkout of NAB, or its ``data`` with the JSON file beside or above it."""

    kind: ClassVar[str] = "nab"

    def find(self) -> dict[str, Callable[[], RawSeries]]:
        labels_file = self._labels_file()
        try:
            labels = read_json(labels_file)
        except TsloopError as error:
            raise SourceError(str(error)) from error
        if not isinstance(labels, dict):
            raise SourceError(f"{labels_file} is not a JSON object of file → windows.")
        by_key = {self._key(path): path for path in self.files(*CSV)}
        for key in labels:
            if key not in by_key:
                self.skipped[key] = f"{labels_file.name} names it, but it is not there"
        return {
            f"nab/{key.removesuffix('.csv')}": partial(self._read, key, path, labels.get(key))
            for key, path in by_key.items()
        }

    def _labels_file(self) -> Path:
        name = _KINDS[self.config.truth]
        places = [self.root, self.root / "labels", self.root.parent, self.root.parent / "labels"]
        found = [path for place in places for path in sorted(place.glob(f"*{name}*.json"))]
        if not found:
            raise SourceError(
                f"{self.root} has no {name}.json, in it, in its labels/ or beside it.",
                hint="Give the folder of a NAB checkout.",
            )
        return found[0]

    def _key(self, path: Path) -> str:
        parts = path.relative_to(self.root).parts
        return "/".join(parts[1:] if parts[0] == "data" else parts).removesuffix(".gz")

    def _read(self, key: str, path: Path, marks: Any) -> RawSeries:
        table = csv_table(path)
        if missing := {"timestamp", "value"} - {*table.column_names}:
            raise SourceError(f"{path} has no column {sorted(missing)}.")
        stamps = table.column("timestamp").combine_chunks()
        return RawSeries(
            f"nab/{key.removesuffix('.csv')}",
            stamps,
            table.column("value"),
            zone=self.config.zone,
            intervals=None if marks is None else _intervals(key, _instants(key, stamps), marks),
            meta={"file": key, "truth": _TRUTH[self.config.truth]},
        )


def _instants(key: str, texts: Any) -> Any:
    """Times to the microsecond: windows are written with more digits than the rows."""
    try:
        return np.array(texts.to_pylist(), "datetime64[us]")
    except ValueError as error:
        raise SourceError(f"{key}: {error}.", hint="Mend the stamp in the file.") from error


def _intervals(key: str, times: Any, marks: Any) -> tuple[Interval, ...]:
    """Rows of the marks: ``[first, last]`` both included, or single stamps."""
    intervals = []
    for mark in marks:
        first, last = (mark, mark) if isinstance(mark, str) else mark
        rows = [_row(key, times, stamp) for stamp in (first, last)]
        intervals.append(Interval(rows[0], rows[1], basis=Basis.IMPORTED))
    return tuple(sorted(intervals))


def _row(key: str, times: Any, stamp: str) -> int:
    rows = np.flatnonzero(times == np.datetime64(stamp, "us"))
    if not len(rows):
        raise SourceError(
            f"{key}: the label {stamp!r} is no row of the file.",
            hint="The labels belong to another version of the data.",
        )
    return int(rows[0])
