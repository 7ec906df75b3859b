"""Look-alikes of one labelled stretch over many series, nearest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsloop.errors import ReviewInvalidError
from tsloop.review.material import Material, series_key
from tsloop.review.series_data import points, reduced
from tsloop.series.types import Series
from tsloop.signals.mass import best_matches, mass

__all__ = ["Match", "find_similar"]

MIN_WIDTH = 4
"""Shorter stretches look like everything."""
MAX_WIDTH = 20_000
PER_SERIES = 5
SKETCH_PX = 16
MIN_ROOM = 12
"""Rows around a match in its picture: one row alone would show nothing."""


@dataclass(frozen=True, slots=True)
class Match:
    """Rows ``start..end`` of a series; ``distance`` is per row: 0 same shape, 1.41 unrelated."""

    series_id: str
    start: int
    end: int
    distance: float

    def sketch(self, series: Series) -> dict[str, Any]:
        """A small picture of the rows and some around them, as parallel lists."""
        room = max(MIN_ROOM, (self.end - self.start) // 4)
        low, high = max(0, self.start - room), min(len(series), self.end + 1 + room)
        rows = reduced(series.values[low:high], SKETCH_PX, 100) + low
        return {
            "key": series_key(self.series_id),
            "series_id": self.series_id,
            "start": self.start,
            "end": self.end,
            "distance": round(self.distance, 5),
            **points(series.timestamps[rows], series.values[rows], rows),
        }


def find_similar(
    material: Material, series: Series, start: int, end: int, pool: Sequence[str], limit: int
) -> list[Match]:
    """Windows of the pool that look like rows ``start..end``, but for those that overlap them.

    A stretch of fewer than 4 rows is widened, since an outline needs some rows around it.
    """
    low, high = _widened(start, end, len(series))
    query = series.filled()[low : high + 1]
    width = len(query)
    found: list[Match] = []
    for series_id in pool:
        other = material.series(series_id)
        distances = mass(query, other.values) / np.sqrt(width)
        if series_id == series.id:
            distances[max(0, low - width + 1) : high + 1] = np.inf
        found += [
            Match(series_id, first, first + width - 1, distance)
            for first, distance in best_matches(distances, width, min(limit, PER_SERIES))
        ]
    # Back to the size that was asked for.
    inset_low, inset_high = start - low, high - end
    found.sort(key=lambda match: (match.distance, match.series_id, match.start))
    return [
        Match(m.series_id, m.start + inset_low, m.end - inset_high, m.distance)
        for m in found[:limit]
    ]


def _widened(start: int, end: int, n_rows: int) -> tuple[int, int]:
    width = end - start + 1
    if width > MAX_WIDTH:
        raise ReviewInvalidError(
            f"end: a stretch of {width} rows is longer than {MAX_WIDTH}.", field="end"
        )
    if width >= MIN_WIDTH:
        return start, end
    more = MIN_WIDTH
    return max(0, start - more), min(n_rows - 1, end + more)
