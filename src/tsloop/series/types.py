"""One time series: true timestamps, values, and gaps that stay gaps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.errors import SeriesError, SeriesValidationError

__all__ = ["Role", "Series"]


class Role(StrEnum):
    """What a series may be used for."""

    POOL = "pool"  # may be labelled and trained on
    GOLD = "gold"  # only ever scored
    SPARE = "spare"  # unlabelled use only


@dataclass(frozen=True, eq=False)
class Series:
    """A univariate series.

    ``timestamps`` is int64, shape ``(n,)``: nanoseconds since the epoch, UTC, strictly increasing.
    ``values`` is float64, shape ``(n,)``: NaN is a missing sample, infinities are refused.
    ``zone`` is the IANA time zone in which people read it; ``group`` ties together series that must
    not be split between training and test (one machine, one KPI family).
    """

    id: str
    timestamps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    group: str = ""
    role: Role = Role.POOL
    unit: str = ""
    zone: str = "UTC"
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        timestamps = np.ascontiguousarray(self.timestamps, dtype=np.int64)
        values = np.ascontiguousarray(self.values, dtype=np.float64)
        if not self.id:
            raise SeriesError("A series needs a non-empty id.")
        if timestamps.ndim != 1 or timestamps.shape != values.shape:
            raise SeriesError(
                f"Series {self.id!r}: timestamps {timestamps.shape} and values {values.shape} "
                "must be one-dimensional and of one length."
            )
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values))[0])
            raise SeriesValidationError(
                f"Series {self.id!r} holds an infinite value in row {row}.",
                row=row,
                column="value",
                hint="Set prepare.infinite=gap to read it as missing.",
            )
        steps = np.diff(timestamps)
        if (steps <= 0).any():
            row = int(np.flatnonzero(steps <= 0)[0]) + 1
            raise SeriesValidationError(
                f"Series {self.id!r}: the timestamp in row {row} is not after the one before it.",
                row=row,
                column="timestamp",
            )
        timestamps.flags.writeable = False
        values.flags.writeable = False
        object.__setattr__(self, "timestamps", timestamps)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "group", self.group or self.id)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def sha256(self) -> str:
        """Hash of the content (timestamps and values, not the name): same data, same hash."""
        digest = hashlib.sha256(self.timestamps.astype("<i8").tobytes())
        # All NaNs count as one: their payload bits carry no meaning.
        values = np.where(np.isnan(self.values), np.nan, self.values)
        digest.update(values.astype("<f8").tobytes())
        return digest.hexdigest()

    @cached_property
    def step_ns(self) -> int:
        """The usual (median) distance of two rows in nanoseconds; 0 for fewer than two rows."""
        return int(np.median(np.diff(self.timestamps))) if len(self) > 1 else 0

    def window(self, start: int, stop: int) -> Series:
        """Rows ``start..stop-1`` as a series of the same id."""
        return Series(
            self.id,
            self.timestamps[start:stop],
            self.values[start:stop],
            group=self.group,
            role=self.role,
            unit=self.unit,
            zone=self.zone,
            meta=self.meta,
        )

    def filled(self) -> npt.NDArray[np.float64]:
        """The values with gaps bridged linearly, for algorithms that cannot see NaN.

        A series without a single finite value is an error: nothing could be scored honestly.
        """
        missing = np.isnan(self.values)
        if not missing.any():
            return self.values
        if missing.all():
            raise SeriesError(f"Series {self.id!r} has no value at all: there is nothing to score.")
        rows = np.arange(len(self))
        return np.interp(rows, rows[~missing], self.values[~missing])
