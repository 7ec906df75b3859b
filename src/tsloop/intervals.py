"""Intervals and detections: the values that every room passes around.

An interval counts rows of the *stored, full-resolution* series, zero-based and inclusive on both
ends: one point is ``start == end``. Its true timestamps ride along where they are known, so that
the same event can be found again after the series was thinned or extended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsloop.errors import AnnotationError

__all__ = [
    "Basis",
    "Detection",
    "Interval",
    "Status",
    "from_mask",
    "merge_close",
    "to_mask",
]


class Basis(StrEnum):
    """Where an interval comes from."""

    HUMAN = "human"
    ACCEPTED = "accepted"
    EDITED = "edited"
    MODEL = "model"
    IMPORTED = "imported"
    SIMULATED = "simulated"

    @property
    def proposed(self) -> bool:
        """Whether a model's proposal came first, so that the interval was not drawn blind."""
        return self in (Basis.ACCEPTED, Basis.EDITED, Basis.MODEL)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Rows ``start..end`` (zero-based, inclusive) of one stored series.

    ``label`` is an id of the project's label set, ``score`` a confidence in [0, 1], ``t_start`` and
    ``t_end`` the UTC timestamps of the two rows in nanoseconds, ``time`` the moment of the decision
    as ISO 8601 in UTC.
    """

    start: int
    end: int
    label: str = "anomaly"
    score: float | None = None
    reason: str = ""
    basis: Basis | None = None
    author: str = ""
    time: str = ""
    t_start: int | None = None
    t_end: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise AnnotationError(
                f"Interval [{self.start}, {self.end}] is not valid: "
                "rows are zero-based and the end is inclusive, so 0 <= start <= end must hold."
            )

    def __len__(self) -> int:
        return self.end - self.start + 1

    def overlap(self, other: Interval) -> int:
        """Number of rows in both."""
        return max(0, min(self.end, other.end) - max(self.start, other.start) + 1)

    def iou(self, other: Interval) -> float:
        """Intersection over union of the two row sets, in [0, 1]."""
        shared = self.overlap(other)
        return shared / (len(self) + len(other) - shared)

    def replace(self, **changes: Any) -> Interval:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; fields that hold their default are left out."""
        out: dict[str, Any] = {"start": self.start, "end": self.end, "label": self.label}
        for field in dataclasses.fields(self)[3:]:
            value = getattr(self, field.name)
            if value != field.default:
                out[field.name] = str(value) if isinstance(value, Basis) else value
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; an unknown key is an error."""
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise AnnotationError(f"Unknown interval keys {unknown}; known are {sorted(known)}.")
        values = dict(data)
        if values.get("basis") is not None:
            values["basis"] = Basis(values["basis"])
        return cls(**values)


class Status(StrEnum):
    """The three-valued result: a failure is never the same as "looked and found nothing"."""

    OK = "ok"
    NONE = "none"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector says of one series.

    ``ok`` has intervals, ``none`` has none, ``failed`` has a reason and no intervals.
    """

    status: Status
    intervals: tuple[Interval, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.status is Status.OK) != bool(self.intervals):
            raise AnnotationError(
                f"A detection with status {self.status!s} cannot have "
                f"{len(self.intervals)} intervals: only 'ok' has some."
            )
        if self.status is Status.FAILED and not self.reason:
            raise AnnotationError("A failed detection must say why: give a reason.")

    @classmethod
    def of(cls, intervals: Iterable[Interval]) -> Self:
        """``ok`` with these intervals (sorted), or ``none`` where there are none."""
        found = tuple(sorted(intervals, key=lambda i: (i.start, i.end, i.label)))
        return cls(Status.OK if found else Status.NONE, found)

    @classmethod
    def failed(cls, reason: str) -> Self:
        """A failure with its reason."""
        return cls(Status.FAILED, (), reason)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "status": str(self.status),
            "intervals": [interval.to_dict() for interval in self.intervals],
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(
            Status(data["status"]),
            tuple(Interval.from_dict(item) for item in data["intervals"]),
            data.get("reason", ""),
        )


def to_mask(intervals: Iterable[Interval], n_rows: int) -> npt.NDArray[np.bool_]:
    """Shape ``(n_rows,)``: true on every covered row. An interval outside the rows is an error."""
    mask = np.zeros(n_rows, dtype=bool)
    for interval in intervals:
        if interval.end >= n_rows:
            raise AnnotationError(
                f"Interval [{interval.start}, {interval.end}] lies outside the {n_rows} rows."
            )
        mask[interval.start : interval.end + 1] = True
    return mask


def from_mask(mask: npt.NDArray[np.bool_], label: str = "anomaly") -> list[Interval]:
    """The runs of true rows, in order. A single true row becomes ``start == end``."""
    padded = np.concatenate(([False], np.asarray(mask, dtype=bool), [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [
        Interval(int(start), int(stop) - 1, label)
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    ]


def merge_close(intervals: Sequence[Interval], gap: int) -> list[Interval]:
    """Join intervals that lie at most ``gap`` rows apart; the first one's fields stay.

    Overlapping and touching intervals are joined for every ``gap >= 0``; the score of a joined
    interval is the largest of its parts.
    """
    merged: list[Interval] = []
    for interval in sorted(intervals, key=lambda i: (i.start, i.end)):
        if merged and interval.start - merged[-1].end - 1 <= gap:
            last = merged[-1]
            scores = [s for s in (last.score, interval.score) if s is not None]
            merged[-1] = last.replace(
                end=max(last.end, interval.end), score=max(scores) if scores else None
            )
        else:
            merged.append(interval)
    return merged
