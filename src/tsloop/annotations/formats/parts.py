"""Judgements of windows become one judgement of their series, as far as they reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from tsloop.annotations.blind import BLIND
from tsloop.annotations.formats.binding import Bound
from tsloop.annotations.record import IMPORTED
from tsloop.intervals import Interval, Status, to_mask

__all__ = ["join_parts"]


def join_parts(bound: Iterable[Bound]) -> list[Bound]:
    """All windows of one series as one record, in the place of the first; others as they are.

    What stays doubtful: rows that no window shows, and windows that overlap and disagree.
    """
    groups: dict[object, list[Bound]] = {}
    for number, item in enumerate(bound):
        key = number if item.part is None else item.record.series_id
        groups.setdefault(key, []).append(item)
    return [_joined(items) if len(items) > 1 else items[0] for items in groups.values()]


def _joined(items: Sequence[Bound]) -> Bound:
    first = items[0]
    n_rows = first.record.n_rows
    judged, flagged = np.zeros(n_rows, dtype=bool), np.zeros(n_rows, dtype=bool)
    agree = True
    intervals: dict[tuple[int, int, str], Interval] = {}
    for item in items:
        begin, end = item.part or (0, n_rows - 1)
        rows = slice(begin, end + 1)
        mask = to_mask(item.record.intervals, n_rows)[rows]
        seen = judged[rows]
        agree &= bool((flagged[rows][seen] == mask[seen]).all())
        judged[rows] = True
        flagged[rows] |= mask
        for interval in item.record.intervals:
            intervals.setdefault((interval.start, interval.end, interval.label), interval)
    imported = {
        **first.record.extra[IMPORTED],
        "place": f"{first.record.extra[IMPORTED]['place']} and {len(items) - 1} more",
        "labels": [x for i in items for x in i.record.extra[IMPORTED].get("labels", [])],
    }
    kept = {key: value for key, value in imported.items() if value and key != BLIND}
    record = first.record.replace(
        result=Status.OK if intervals else Status.NONE,
        intervals=tuple(intervals.values()),
        overall={k: v for item in items for k, v in item.record.overall.items()},
        extra={IMPORTED: kept | _blind(items)},
    )
    doubts = {doubt for item in items for doubt in item.doubts if doubt != item.partial}
    if not judged.all():
        doubts.add(f"only {int(judged.sum())} of {n_rows} rows were judged")
    if not agree:
        doubts.add("windows that overlap disagree")
    return replace(
        first,
        record=record,
        proposed=any(item.proposed for item in items),
        doubts=tuple(sorted(doubts)),
        notes=tuple(dict.fromkeys(note for item in items for note in item.notes)),
        part=None,
    )


def _blind(items: Sequence[Bound]) -> dict[str, bool]:
    """What the windows say together of blindness: one that was proposed speaks for all."""
    said = {item.record.extra[IMPORTED].get(BLIND) for item in items}
    return {BLIND: False} if False in said else {BLIND: True} if said == {True} else {}
