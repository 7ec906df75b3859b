"""What a detector learns from: labelled stretches of series."""

from __future__ import annotations

from dataclasses import dataclass

from tsloop.intervals import Interval
from tsloop.series.types import Series

__all__ = ["Example"]


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled stretch of a series: every anomaly in it is in ``intervals``.

    ``series`` holds only the rows of the stretch, and ``intervals`` count from its first row. No
    intervals means that a person looked and found nothing. ``split`` is ``train`` or ``valid``;
    ``replay`` marks an example that an earlier iteration had already, on whichever side.
    """

    series: Series
    intervals: tuple[Interval, ...]
    split: str = "train"
    replay: bool = False
    weight: float = 1.0
