"""The served model's contract: a table of samples in, a table of detections out.

In: columns ``timestamp``, ``value`` and, for several series, ``series_id``. Timestamps are ISO 8601
text or datetimes; without a zone they are UTC. A missing value is a gap.

Out: one row per interval (``status`` = ``ok``), or one row per series that has none (``none``) or
could not be judged (``failed``, with the reason). ``start`` and ``end`` count the rows of that
series in the input, from zero, both included; ``t_start`` and ``t_end`` are ISO 8601 in UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsloop.detectors.base import Detector
from tsloop.errors import SeriesError, SeriesValidationError, TsloopError
from tsloop.intervals import Detection
from tsloop.series.types import Series

__all__ = ["ONLY_SERIES", "OUTPUT_COLUMNS", "detect_frame", "detection_rows", "input_example"]

OUTPUT_COLUMNS = (
    "series_id",
    "status",
    "start",
    "end",
    "t_start",
    "t_end",
    "label",
    "score",
    "reason",
)
ONLY_SERIES = "series"
"""Id of the series of a table without ``series_id``."""


def detect_frame(detector: Detector, frame: pd.DataFrame) -> pd.DataFrame:
    """Detections of every series of the table, in the order in which the series appear.

    A table without the columns, or with numeric timestamps, is a `SeriesError`; a fault within one
    series makes that series ``failed`` and leaves the others alone.
    """
    _check_columns(frame)
    rows: list[dict[str, Any]] = []
    for series_id, part in _by_series(frame):
        try:
            series = _series(series_id, part)
        except TsloopError as error:
            rows += detection_rows(None, Detection.failed(str(error)), series_id)
        else:
            rows += detection_rows(series, detector.detect(series), series_id)
    # Plain objects: an absent number is None (null in JSON), never NaN.
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=object) for name in OUTPUT_COLUMNS}
    )


def detection_rows(
    series: Series | None, detection: Detection, series_id: str = ""
) -> list[dict[str, Any]]:
    """The output rows of one series; ``series`` gives the timestamps, where it could be read."""
    name = series_id or (series.id if series is not None else "")
    blank = dict.fromkeys(OUTPUT_COLUMNS)
    if not detection.intervals:
        return [
            {**blank, "series_id": name, "status": str(detection.status)}
            | {"reason": detection.reason}
        ]
    return [
        {
            "series_id": name,
            "status": str(detection.status),
            "start": int(found.start),
            "end": int(found.end),
            "t_start": _stamp(series, found.start),
            "t_end": _stamp(series, found.end),
            "label": found.label,
            "score": None if found.score is None else float(found.score),
            "reason": found.reason,
        }
        for found in detection.intervals
    ]


def input_example() -> pd.DataFrame:
    """A few rows as the model takes them."""
    stamps = [f"2024-01-01T00:{minute:02d}:00Z" for minute in range(5)]
    values = [1.0, 1.1, 0.9, 7.5, 1.0]
    return pd.DataFrame({"timestamp": stamps, "value": values, "series_id": ["pump-1"] * 5})


def _check_columns(frame: pd.DataFrame) -> None:
    missing = [name for name in ("timestamp", "value") if name not in frame.columns]
    if missing:
        raise SeriesError(
            f"The input has no column {' and '.join(missing)}; it has {list(map(str, frame))}.",
            hint="Send timestamp, value and, for several series, series_id.",
        )
    stamps = frame["timestamp"]
    if pd.api.types.is_numeric_dtype(stamps) and len(stamps):
        raise SeriesError(
            f"The timestamps are numbers (first: {stamps.iloc[0]}), whose unit nobody can know.",
            hint="Send ISO 8601 text; with pandas: to_json(orient='split', date_format='iso')",
        )


def _by_series(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    if "series_id" not in frame.columns:
        if len(frame):
            yield ONLY_SERIES, frame
        return
    if frame["series_id"].isna().any():
        row = int(np.flatnonzero(frame["series_id"].isna())[0])
        raise SeriesError(f"Row {row} has no series_id.", hint="Give every row one, or none.")
    for series_id, part in frame.groupby("series_id", sort=False):
        yield str(series_id), part


def _series(series_id: str, part: pd.DataFrame) -> Series:
    return Series(series_id, _timestamps(part["timestamp"]), _values(part["value"]))


def _timestamps(column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    """Nanoseconds in UTC; the first cell that is no time is a `SeriesValidationError`."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "O":
        for row, cell in enumerate(column):
            if isinstance(cell, bool | int | float) or cell is None:
                raise SeriesValidationError(
                    f"The timestamp in row {row} is {cell!r}, not a time.",
                    row=row,
                    column="timestamp",
                )
    try:
        stamps = pd.to_datetime(column, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise SeriesValidationError(
            f"A timestamp cannot be read as ISO 8601: {error}", column="timestamp"
        ) from error
    if stamps.isna().any():
        row = int(np.flatnonzero(stamps.isna())[0])
        raise SeriesValidationError(
            f"The timestamp in row {row} is missing.", row=row, column="timestamp"
        )
    naive = stamps.dt.tz_convert(None).to_numpy()
    return naive.astype("datetime64[ns]").astype(np.int64)


def _values(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Float64 with NaN for gaps; the first cell that is no number is a `SeriesValidationError`."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    values = np.empty(len(column))
    for row, cell in enumerate(column):
        if cell is None or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)):
            values[row] = np.nan
        elif isinstance(cell, int | float | np.number) and not isinstance(cell, bool):
            values[row] = float(cell)
        else:
            raise SeriesValidationError(
                f"The value in row {row} is {cell!r}, not a number.", row=row, column="value"
            )
    return values


def _stamp(series: Series | None, row: int) -> str | None:
    if series is None:
        return None
    stamp = pd.Timestamp(int(series.timestamps[row]), unit="ns", tz="UTC")
    return stamp.isoformat().replace("+00:00", "Z")
