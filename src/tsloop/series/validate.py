"""From a series as found to a `Series`: declared repairs, or an error that names the cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.intervals import Interval
from tsloop.series._numbers import parse_values
from tsloop.series._repairs import Repair, RepairLog, refuse
from tsloop.series._times import parse_times
from tsloop.series.policies import PrepareConfig
from tsloop.series.raw import RawSeries
from tsloop.series.types import Series

__all__ = ["Repair", "Rows", "Validated", "validate"]

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Validated:
    """A validated series, its truth in its own rows (``None``: unknown), and what was repaired."""

    series: Series
    intervals: tuple[Interval, ...] | None
    repairs: tuple[Repair, ...]


def validate(raw: RawSeries, config: PrepareConfig) -> Validated:
    """Parse and check one series; raises `SeriesValidationError` for what is not declared."""
    log = RepairLog(raw.id)
    _check_length(raw, config, len(raw))
    times, zone, facts = parse_times(raw, config, log)
    values = parse_values(raw, config, log)
    times, values, row_map = _in_order(raw, config, log, times, values)
    _check_length(raw, config, len(times))
    finite = values[~np.isnan(values)]
    constant = len(finite) == 0 or bool(finite.min() == finite.max())
    if constant and config.constant == "error":
        what = "no value at all" if len(finite) == 0 else f"every value is {finite[0]:g}"
        refuse(raw, None, raw.value_column, what, "Set prepare.constant=keep to keep it.")
    meta = {**raw.meta, "time": facts}
    if constant:
        meta["constant"] = True
    series = Series(
        raw.id, times, values, group=raw.group, role=raw.role, unit=raw.unit, zone=zone, meta=meta
    )
    truth = None
    if raw.intervals is not None:
        mapped = _map_truth(raw, raw.intervals, row_map, series.timestamps)
        truth = tuple(sorted(mapped, key=lambda i: (i.start, i.end, i.label)))
    return Validated(series, truth, tuple(log.repairs))


def _check_length(raw: RawSeries, config: PrepareConfig, n_rows: int) -> None:
    if n_rows < config.min_rows:
        what = f"{n_rows} rows are fewer than {config.min_rows}"
        refuse(raw, None, raw.value_column, what, "Set prepare.min_rows lower, or leave it out.")


def _in_order(
    raw: RawSeries,
    config: PrepareConfig,
    log: RepairLog,
    times: Rows,
    values: npt.NDArray[np.float64],
) -> tuple[Rows, npt.NDArray[np.float64], Rows]:
    """Strictly increasing times, their values, and for each raw row its new row or -1."""
    steps = np.diff(times)
    if (steps > 0).all():
        return times, values, np.arange(len(times))
    order = np.arange(len(times))
    if (steps < 0).any():
        _check_sorted(raw, config, log, times)
        order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    repeats = np.concatenate(([False], np.diff(times) == 0))
    position = np.cumsum(~repeats) - 1  # new row of each sorted row
    if repeats.any():
        _check_unique(raw, config, log, order, repeats)
        times, values, lost = _merge(config.duplicates, times, values, repeats)
        position = np.where(lost, -1, position)
    row_map = np.empty(len(order), dtype=np.int64)
    row_map[order] = position
    return times, values, row_map


def _check_sorted(raw: RawSeries, config: PrepareConfig, log: RepairLog, times: Rows) -> None:
    backwards = np.concatenate(([False], times[1:] < np.maximum.accumulate(times)[:-1]))
    if config.unsorted == "error":
        row = int(np.argmax(backwards))
        what = f"{raw.timestamps[row].as_py()!r} is earlier than a row before it"
        hint = "Set prepare.unsorted=sort to sort by time."
        refuse(raw, row, raw.timestamp_column, what, hint)
    log.add("unsorted", backwards, "sorted by time")


def _check_unique(
    raw: RawSeries,
    config: PrepareConfig,
    log: RepairLog,
    order: Rows,
    repeats: npt.NDArray[np.bool_],
) -> None:
    found = np.zeros(len(order), dtype=bool)
    found[order[repeats]] = True
    if config.duplicates == "error":
        row = int(np.argmax(found))
        what = f"{raw.timestamps[row].as_py()!r} was there before"
        hint = "Set prepare.duplicates=first, last or mean."
        refuse(raw, row, raw.timestamp_column, what, hint)
    log.add("duplicates", found, f"kept the {config.duplicates} of each timestamp")


def _merge(
    policy: str,
    times: Rows,
    values: npt.NDArray[np.float64],
    repeats: npt.NDArray[np.bool_],
) -> tuple[Rows, npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """One row per timestamp; which sorted rows are lost (with ``mean`` every row lives on)."""
    starts = np.flatnonzero(~repeats)
    stops = np.append(starts[1:], len(times))
    lost = np.zeros(len(times), dtype=bool)
    if policy == "mean":
        finite = ~np.isnan(values)
        sums = np.add.reduceat(np.where(finite, values, 0.0), starts)
        counts = np.add.reduceat(finite.astype(np.int64), starts)
        kept = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        # A row that stands alone keeps its bits: no division touches it.
        alone = stops - starts == 1
        kept[alone] = values[starts[alone]]
        return times[starts], kept, lost
    chosen = starts if policy == "first" else stops - 1
    lost[:] = True
    lost[chosen] = False
    return times[starts], values[chosen], lost


def _map_truth(
    raw: RawSeries, intervals: Iterable[Interval], row_map: Rows, times: Rows
) -> list[Interval]:
    """Intervals in raw rows to intervals in the rows of the validated series.

    Sorting may tear an interval apart: then each piece becomes an interval of its own.
    """
    mapped: list[Interval] = []
    for interval in intervals:
        place = f"the truth interval [{interval.start}, {interval.end}]"
        if interval.end >= len(row_map):
            what = f"{place} lies outside the {len(row_map)} rows"
            refuse(raw, interval.start, raw.value_column, what, "Mend the source's intervals.")
        rows = row_map[interval.start : interval.end + 1]
        rows = np.unique(rows[rows >= 0])
        if len(rows) == 0:
            what = f"{place} loses all its rows to the repair of repeated timestamps"
            hint = "Set prepare.duplicates=mean, which keeps every row's place."
            refuse(raw, interval.start, raw.timestamp_column, what, hint)
        for piece in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            start, end = int(piece[0]), int(piece[-1])
            mapped.append(
                interval.replace(
                    start=start, end=end, t_start=int(times[start]), t_end=int(times[end])
                )
            )
    return mapped
