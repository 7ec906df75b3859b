"""What a detector said of many series: ``detections.jsonl`` and ``scores.parquet``.

One line and one row group per series, in the order in which they were added. A series whose
scoring failed has a line (with the reason) and no row group.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tsloop.errors import DetectorError
from tsloop.files import read_jsonl, write_jsonl
from tsloop.intervals import Detection

__all__ = [
    "DETECTIONS",
    "SCORES",
    "PredictionReader",
    "PredictionWriter",
    "read_all_scores",
    "read_detections",
    "read_scores",
]

DETECTIONS = "detections.jsonl"
SCORES = "scores.parquet"

_SCHEMA = pa.schema(
    [("series_id", pa.dictionary(pa.int32(), pa.string())), ("score", pa.float32())]
)


class PredictionWriter:
    """Collects the predictions of one detector in a directory; use it as a context manager.

    The caller adds series in a fixed order (sorted by id), so that the same predictions give the
    same bytes. Without errors both files are complete when the context ends.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._rows: list[dict[str, Any]] = []
        self._seen: set[str] = set()
        self._n_groups = 0
        directory.mkdir(parents=True, exist_ok=True)
        self._parquet = pq.ParquetWriter(directory / SCORES, _SCHEMA, compression="zstd")

    def add(
        self,
        series_id: str,
        series_sha256: str,
        detection: Detection,
        scores: npt.NDArray[np.floating[Any]] | None,
    ) -> None:
        """Add one series; ``scores`` has one value per row, or is ``None`` where scoring failed."""
        if series_id in self._seen:
            raise DetectorError(f"Series {series_id!r} was predicted twice.")
        group = None
        if scores is not None and len(scores):
            group = self._n_groups
            self._n_groups += 1
            self._write_group(series_id, np.asarray(scores, dtype=np.float32))
        self._seen.add(series_id)
        row = {"series_id": series_id, "series_sha256": series_sha256, "row_group": group}
        self._rows.append(row | detection.to_dict())

    def close(self) -> None:
        """Finish both files."""
        self._parquet.close()
        write_jsonl(self.directory / DETECTIONS, self._rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._parquet.close()

    def _write_group(self, series_id: str, scores: npt.NDArray[np.float32]) -> None:
        codes = pa.array(np.zeros(len(scores), dtype=np.int32))
        names = pa.DictionaryArray.from_arrays(codes, pa.array([series_id]))
        table = pa.table({"series_id": names, "score": scores}, schema=_SCHEMA)
        self._parquet.write_table(table, row_group_size=len(scores))


class PredictionReader:
    """Predictions of one directory, whose detections are read once and scores on demand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        rows = _rows(directory)
        self.detections = {row["series_id"]: Detection.from_dict(row) for row in rows}
        self.sha256 = {row["series_id"]: str(row["series_sha256"]) for row in rows}
        self._groups: dict[str, int | None] = {row["series_id"]: row["row_group"] for row in rows}

    def scores(self, series_id: str) -> npt.NDArray[np.float32] | None:
        """Scores of one series, shape ``(n,)``; ``None`` where it was not predicted or failed."""
        group = self._groups.get(series_id)
        if group is None:
            return None
        with pq.ParquetFile(self.directory / SCORES) as file:
            return _read_group(file, group)


def read_detections(directory: Path) -> dict[str, Detection]:
    """Detections by series id, in the order of the file."""
    return {row["series_id"]: Detection.from_dict(row) for row in _rows(directory)}


def read_scores(directory: Path, series_id: str) -> npt.NDArray[np.float32] | None:
    """Scores of one series, shape ``(n,)``; ``None`` where its scoring failed.

    A series that was not predicted is a `DetectorError`. For many series `read_all_scores` is
    faster.
    """
    for row in _rows(directory):
        if row["series_id"] == series_id:
            with pq.ParquetFile(directory / SCORES) as file:
                return _read_group(file, row["row_group"])
    raise DetectorError(f"There is no prediction of series {series_id!r} in {directory}.")


def read_all_scores(directory: Path) -> dict[str, npt.NDArray[np.float32] | None]:
    """Scores of every predicted series by id, ``None`` where its scoring failed."""
    with pq.ParquetFile(directory / SCORES) as file:
        return {row["series_id"]: _read_group(file, row["row_group"]) for row in _rows(directory)}


def _read_group(file: pq.ParquetFile, group: int | None) -> npt.NDArray[np.float32] | None:
    if group is None:
        return None
    column = file.read_row_group(group, columns=["score"]).column("score")
    return np.asarray(column.to_numpy(), dtype=np.float32)


def _rows(directory: Path) -> list[dict[str, Any]]:
    path = directory / DETECTIONS
    rows = read_jsonl(path)
    for number, row in enumerate(rows, start=1):
        missing = {"series_id", "series_sha256", "row_group", "status", "intervals"} - set(row)
        if missing:
            raise DetectorError(f"{path}, line {number} lacks {sorted(missing)}.")
    return rows
