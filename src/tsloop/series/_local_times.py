"""Local wall-clock times to UTC; what a clock change repeats or skips is never guessed."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from tsloop.series._repairs import RepairLog, refuse
from tsloop.series.policies import PrepareConfig
from tsloop.series.raw import RawSeries

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Times", "to_utc"]

Times = npt.NDArray[np.int64]
_MISSING = np.iinfo(np.int64).min


def to_utc(
    raw: RawSeries, local_ns: Times, zone: str, config: PrepareConfig, log: RepairLog
) -> Times:
    """UTC nanoseconds of wall-clock nanoseconds in ``zone``, shape ``(n,)``."""
    if zone == "UTC":
        return local_ns
    import pandas as pd

    index = pd.DatetimeIndex(local_ns.astype("datetime64[ns]"))
    tz = zoneinfo.ZoneInfo(zone)

    def localise(
        first_pass: bool, nonexistent: Literal["NaT", "shift_backward"] = "NaT"
    ) -> pd.DatetimeIndex:
        ambiguous = np.full(len(index), first_pass)
        return index.tz_localize(tz, ambiguous=ambiguous, nonexistent=nonexistent)

    first = _nanoseconds(localise(True))
    second = _nanoseconds(localise(False))
    skipped = first == _MISSING
    repeated = first != second
    if skipped.any():
        if config.dst_missing == "error":
            row = int(np.argmax(skipped))
            what = f"local time {index[row]} does not exist in {zone}: a clock change skips it"
            hint = "Set prepare.dst_missing=shift, or source.zone to the right zone."
            refuse(raw, row, raw.timestamp_column, what, hint)
        # The last instant before the change, and the wall clock then: from there on the old
        # offset counts, as in a logger whose clock was not changed.
        before = localise(True, "shift_backward")
        shifted = _nanoseconds(before) + (local_ns - _nanoseconds(before.tz_localize(None)))
        first[skipped] = second[skipped] = shifted[skipped]
        log.add("dst_missing", skipped, "read with the offset before the clock change")
    if not repeated.any():
        return first
    if config.dst_repeated == "error":
        row = int(np.argmax(repeated))
        what = f"local time {index[row]} happens twice in {zone}: a clock change repeats it"
        hint = "Set prepare.dst_repeated=first, second or order."
        refuse(raw, row, raw.timestamp_column, what, hint)
    log.add("dst_repeated", repeated, f"resolved by {config.dst_repeated!r}")
    if config.dst_repeated == "order":
        return np.where(_second_pass(raw, local_ns, repeated), second, first)
    return first if config.dst_repeated == "first" else second


def _second_pass(
    raw: RawSeries, local_ns: Times, repeated: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Rows of the second pass: those after the clock goes back within a run of repeated times."""
    second = np.zeros(len(local_ns), dtype=bool)
    rows = np.flatnonzero(repeated)
    for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
        back = np.flatnonzero(np.diff(local_ns[run]) <= 0)
        if len(back) != 1:
            what = "cannot tell the two passes of a repeated hour apart by their order"
            hint = "Set prepare.dst_repeated=first or second."
            refuse(raw, int(run[0]), raw.timestamp_column, what, hint)
        second[run[back[0] + 1 :]] = True
    return second


def _nanoseconds(index: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    """Nanoseconds since the epoch; of UTC where the index has a zone."""
    return np.asarray(index.to_numpy(dtype="datetime64[ns]"), dtype=np.int64)
