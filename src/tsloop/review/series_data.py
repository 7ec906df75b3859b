"""What the chart draws: few points that show what many rows show, each a real sample.

Arrays in answers are parallel: ``row`` (of the stored series), ``t_ms`` (milliseconds since the
epoch, UTC) and ``y``, with ``None`` for a gap.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from tsloop.errors import ReviewInvalidError
from tsloop.series.reduce import m4_positions
from tsloop.series.store import SeriesEntry
from tsloop.series.types import Series

__all__ = ["View", "days", "heat", "reduced", "scores_view", "summary", "view_of"]

NS_PER_MS = 1_000_000
NS_PER_DAY = 86_400_000_000_000
MAX_GAPS = 1000
MIN_PX = 16

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """Rows ``start..end`` (inclusive) of a series, shown by ``rows``."""

    series: Series
    start: int
    end: int
    rows: Rows

    @property
    def exact(self) -> bool:
        """Whether every row is there."""
        return len(self.rows) == self.end - self.start + 1

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "start": self.start,
            "end": self.end,
            "n_rows": self.end - self.start + 1,
            "exact": self.exact,
            **points(self.series.timestamps[self.rows], self.series.values[self.rows], self.rows),
        }

    def to_bytes(self) -> bytes:
        """The same, little endian: u32 points, exact, start, end; f64 t_ms; f64 y; u32 row."""
        times = self.series.timestamps[self.rows] / NS_PER_MS
        values = self.series.values[self.rows]
        head = struct.pack("<IIII", len(self.rows), int(self.exact), self.start, self.end)
        parts = (times.astype("<f8"), values.astype("<f8"), self.rows.astype("<u4"))
        return head + b"".join(part.tobytes() for part in parts)


def points(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.floating[Any]], rows: Rows
) -> dict[str, Any]:
    """Parallel lists for JSON, which knows no NaN."""
    plain = values.astype(np.float64).tolist()
    return {
        "row": rows.tolist(),
        "t_ms": (times / NS_PER_MS).tolist(),
        "y": [None if v != v else v for v in plain],
    }


def reduced(values: npt.NDArray[np.floating[Any]], px: int, max_points: int = 60000) -> Rows:
    """About four rows per pixel: spikes and gaps of a single row stay."""
    n_out = 4 * max(MIN_PX, px)
    found = m4_positions(np.asarray(values, dtype=np.float64), n_out)
    while len(found) > max_points and n_out > 4 * MIN_PX:  # many gaps: fewer, wider buckets
        n_out = max(4 * MIN_PX, n_out // 8 * 4)
        found = m4_positions(np.asarray(values, dtype=np.float64), n_out)
    return found


def view_of(
    series: Series,
    *,
    start: int | None = None,
    end: int | None = None,
    t0_ms: float | None = None,
    t1_ms: float | None = None,
    px: int = 1200,
    max_points: int = 60000,
) -> View:
    """The rows of a viewport with one sample beyond each side, so that lines reach its edges.

    Times win over rows. A viewport beside the series gives its nearest samples.
    """
    last = len(series) - 1
    if t0_ms is not None and t1_ms is not None:
        if t0_ms > t1_ms:
            raise _backwards("t0_ms", t0_ms, t1_ms)
        limits = np.clip([t0_ms * NS_PER_MS, t1_ms * NS_PER_MS], -9.2e18, 9.2e18).astype(np.int64)
        low = int(np.searchsorted(series.timestamps, limits[0], side="left"))
        high = int(np.searchsorted(series.timestamps, limits[1], side="right")) - 1
    else:
        low, high = 0 if start is None else start, last if end is None else end
        if low > high:
            raise _backwards("start", low, high)
    low, high = max(0, min(low, last)) - 1, min(last, max(high, 0)) + 1
    low, high = max(0, low), min(last, high)
    rows = reduced(series.values[low : high + 1], px, max_points) + low
    return View(series, low, high, rows)


def _backwards(field: str, low: float, high: float) -> ReviewInvalidError:
    return ReviewInvalidError(f"{field}: the view starts at {low} and ends at {high}.", field=field)


def scores_view(
    series: Series, scores: npt.NDArray[np.float32], start: int, end: int, px: int, max_points: int
) -> dict[str, Any]:
    """Scores of rows ``start..end``; peaks of one row stay."""
    part = scores[start : end + 1]
    rows = reduced(part, px, max_points) + start
    return points(series.timestamps[rows], scores[rows], rows)


def heat(scores: npt.NDArray[np.float32], n_buckets: int) -> list[float | None]:
    """The largest score in each of ``n_buckets`` equal stretches of rows."""
    n = len(scores)
    edges = np.unique(np.linspace(0, n, min(n_buckets, n) + 1).astype(np.int64))
    largest = np.fmax.reduceat(scores, edges[:-1]).astype(np.float64)
    return [None if v != v else round(v, 5) for v in largest.tolist()]


def summary(entry: SeriesEntry, series: Series, key: str) -> dict[str, Any]:
    """What is known of a series without drawing it."""
    missing = np.isnan(series.values)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], missing.astype(np.int8), [0]))))
    gaps = [[int(a), int(b) - 1] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    some = not missing.all()
    return {
        "key": key,
        "series_id": entry.id,
        "group": entry.group,
        "role": str(entry.role),
        "unit": entry.unit,
        "zone": entry.zone,
        "n_rows": entry.n_rows,
        "t_start_ms": entry.t_start / NS_PER_MS,
        "t_end_ms": entry.t_end / NS_PER_MS,
        "step_ms": entry.step_ns / NS_PER_MS,
        "n_missing": entry.n_missing,
        "sha256": entry.sha256,
        "value_min": float(np.nanmin(series.values)) if some else None,
        "value_max": float(np.nanmax(series.values)) if some else None,
        "gaps": gaps[:MAX_GAPS],
        "n_gaps": len(gaps),
    }


def days(
    series: Series, start: int, end: int, n: int, px: int, max_points: int
) -> list[dict[str, Any]]:
    """The same local hours on other days, moved onto the view: nearest days first.

    A day is a day of the calendar in the zone of the series, also where clocks change.
    """
    zone = ZoneInfo(series.zone)
    t_start, t_end = int(series.timestamps[start]), int(series.timestamps[end])
    found: list[dict[str, Any]] = []
    for offset in _offsets(series, t_start, t_end, n):
        shift_start = _other_day(t_start, offset, zone)
        shift = shift_start - t_start
        low = int(np.searchsorted(series.timestamps, t_start + shift, side="left"))
        high = int(np.searchsorted(series.timestamps, t_end + shift, side="right"))
        if high - low < 2:
            continue
        rows = reduced(series.values[low:high], px, max_points // max(1, n)) + low
        found.append(
            {
                "offset": offset,
                **points(series.timestamps[rows] - shift, series.values[rows], rows),
            }
        )
        if len(found) == n:
            break
    return found


def _offsets(series: Series, t_start: int, t_end: int, n: int) -> Sequence[int]:
    """Days before and after that the series can show, the nearest (and earlier) ones first."""
    before = (t_start - int(series.timestamps[0])) // NS_PER_DAY + 1
    after = (int(series.timestamps[-1]) - t_end) // NS_PER_DAY + 1
    near = [-d for d in range(1, min(before, 4 * n) + 1)]
    near += list(range(1, min(after, 4 * n) + 1))
    return sorted(near, key=lambda d: (abs(d), d))


def _other_day(t_ns: int, offset: int, zone: ZoneInfo) -> int:
    """The same wall-clock time ``offset`` calendar days later, in UTC nanoseconds."""
    seconds, rest = divmod(t_ns, 1_000_000_000)
    local = datetime.fromtimestamp(seconds, zone).replace(fold=0)
    moved = (local.replace(tzinfo=None) + timedelta(days=offset)).replace(tzinfo=zone)
    return round(moved.timestamp()) * 1_000_000_000 + rest
