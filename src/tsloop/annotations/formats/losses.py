"""What a format cannot carry: computed from its declaration, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.annotations.blind import BLIND, Blindness, blindness
from tsloop.annotations.fitting import SeriesLookup
from tsloop.annotations.formats.base import Bases, Holds, Join
from tsloop.annotations.record import DRAFT, IMPORTED, AnnotationRecord
from tsloop.intervals import Basis, Interval, Status
from tsloop.labels import LabelSet

__all__ = ["GENERAL", "Loss", "held_part", "losses_of", "what_is_lost", "why_unwritable"]

GENERAL = "anomaly"
"""The label of an interval whose kind nobody said."""

_SHOWN = 5
_SUBSTANCE = ("none", "intervals", "labels", "overall", "proposals")


@dataclass(frozen=True, slots=True)
class Loss:
    """A part of the records that a format does not carry.

    ``substance`` says that the judgement itself changes: intervals, labels, "none", attributes of
    the whole series, or a proposal that would come back as a judgement. The rest is about who said
    it, when and why.
    """

    part: str
    count: int
    example: str
    substance: bool

    def __str__(self) -> str:
        return f"{self.part}: {self.count} (first: {self.example})"


def held_part(
    record: AnnotationRecord, holds: Holds, label_set: LabelSet
) -> AnnotationRecord | None:
    """The record reduced to what a format holds; ``None`` where nothing of it is left.

    Writing and reading it back gives the same record, but for the provenance in ``extra``.
    """
    if record.result is Status.NONE and not holds.none:
        return None
    intervals = [_held_interval(interval, record, holds) for interval in record.intervals]
    held = AnnotationRecord(
        record.series_id,
        record.series_sha256,
        record.n_rows,
        record.result,
        record.label_set,
        tuple(_join(intervals, holds.join)),
        overall=_known_overall(record, label_set) if holds.overall else {},
        author=record.author if holds.author else "",
        time=record.time if holds.time else "",
        extra=record.extra,
    )
    return _remembered(held, record)


def losses_of(records: Iterable[AnnotationRecord], holds: Holds, label_set: LabelSet) -> list[Loss]:
    """Everything that the held parts lack, by kind, those of substance first."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for record in records:
        for part, count in _lost(record, holds, label_set).items():
            if count:
                counts[part] += count
                examples.setdefault(part, record.series_id)
    ordered = sorted(counts, key=lambda part: (part not in _SUBSTANCE, part))
    return [Loss(part, counts[part], examples[part], part in _SUBSTANCE) for part in ordered]


def what_is_lost(holds: Holds) -> list[str]:
    """What a format cannot hold, in words: for people who choose one, and for the docs."""
    bases = {
        Bases.IMPORTED: "that an interval is a model's proposal",
        Bases.MODEL: "that somebody judged it",
        Bases.BY_RECORD: "proposals beside judgements in one record",
        Bases.BY_INTERVAL: "",
    }
    join = {
        Join.NOTHING: "",
        Join.OVERLAPPING: "overlaps within a label (joined)",
        Join.TOUCHING: "overlaps and touching intervals within a label (joined)",
    }
    fine = {
        0: "",
        1: "",
        1000: "records with times below 1 µs (left out)",
        10**6: "records with times below 1 ms (left out)",
    }
    said = [
        "" if holds.none else '"no anomaly"',
        "" if holds.labels else "labels",
        join[holds.join],
        "" if holds.mixed_overlaps else "records with overlaps of two labels (left out)",
        "" if holds.overall else "attributes",
        bases[holds.bases],
        "" if holds.origins or holds.bases is Bases.MODEL else "what was drawn, accepted or edited",
        fine[holds.resolution_ns],
        "" if holds.scores else "scores",
        "" if holds.reasons else "reasons",
        "" if holds.author else "author",
        "" if holds.time else "time",
    ]
    return [part for part in said if part]


def why_unwritable(record: AnnotationRecord, holds: Holds, store: SeriesLookup) -> str:
    """Why a format cannot express a record at all; empty where it can, perhaps with losses.

    The record must be in rows of the stored series.
    """
    clashes = [] if holds.mixed_overlaps else list(_mixed_overlaps(record))
    if clashes:
        shown = "; ".join(
            f"[{one.start}, {one.end}] {one.label} overlaps [{other.start}, {other.end}] "
            f"{other.label}"
            for one, other in clashes[:_SHOWN]
        )
        more = f"; … and {len(clashes) - _SHOWN} more" if len(clashes) > _SHOWN else ""
        return shown + more
    if holds.resolution_ns > 1:
        stamps = _stamps(record, holds, store)
        if len(fine := stamps[stamps % holds.resolution_ns != 0]):
            return f"the time {fine[0]} ns is finer than it can write"
    return ""


def _remembered(held: AnnotationRecord, record: AnnotationRecord) -> AnnotationRecord:
    """The held part, marked as not blind where its intervals no longer show it."""
    if blindness(record) is not Blindness.NO or blindness(held) is Blindness.NO:
        return held
    imported = held.extra.get(IMPORTED)
    known = dict(imported) if isinstance(imported, Mapping) else {}
    return held.replace(extra={**held.extra, IMPORTED: {**known, BLIND: False}})


def _held_interval(interval: Interval, record: AnnotationRecord, holds: Holds) -> Interval:
    return Interval(
        interval.start,
        interval.end,
        interval.label if holds.labels else GENERAL,
        score=interval.score if holds.scores else None,
        reason=interval.reason if holds.reasons else "",
        basis=_held_basis(interval, record, holds),
        t_start=interval.t_start,
        t_end=interval.t_end,
    )


def _held_basis(interval: Interval, record: AnnotationRecord, holds: Holds) -> Basis:
    proposal = interval.basis is Basis.MODEL
    model = {
        Bases.IMPORTED: False,
        Bases.MODEL: True,
        Bases.BY_INTERVAL: interval.basis is Basis.MODEL,
        Bases.BY_RECORD: DRAFT in record.extra
        or all(item.basis is Basis.MODEL for item in record.intervals),
    }[holds.bases]
    if model:
        return Basis.MODEL
    return (interval.basis or Basis.IMPORTED) if holds.origins and not proposal else Basis.IMPORTED


def _known_overall(record: AnnotationRecord, label_set: LabelSet) -> dict[str, Any]:
    """Attributes and values that the label set defines; others have no name to write."""
    known = {(a.id, value.id) for a in label_set.attributes for value in a.values}
    return {key: value for key, value in record.overall.items() if (key, value) in known}


def _join(intervals: Sequence[Interval], join: Join) -> list[Interval]:
    """Intervals of one label joined where they overlap (or touch); the first one's fields stay."""
    ordered = sorted(intervals, key=lambda i: (i.start, i.end, i.label))
    if join is Join.NOTHING:
        return ordered
    reach = 1 if join is Join.TOUCHING else 0
    out: list[Interval] = []
    last: dict[str, int] = {}
    for interval in ordered:
        at = last.get(interval.label)
        if at is None or interval.start > out[at].end + reach:
            last[interval.label] = len(out)
            out.append(interval)
            continue
        held = out[at]
        scores = [score for score in (held.score, interval.score) if score is not None]
        final = interval if interval.end > held.end else held
        out[at] = held.replace(
            end=final.end, t_end=final.t_end, score=max(scores) if scores else None
        )
    return out


def _lost(record: AnnotationRecord, holds: Holds, label_set: LabelSet) -> Counter[str]:
    held = held_part(record, holds, label_set)
    lost: Counter[str] = Counter()
    if held is None:
        return Counter({"none": 1})
    intervals = record.intervals
    lost["intervals"] = len(intervals) - len(held.intervals)
    lost["labels"] = 0 if holds.labels else sum(i.label != GENERAL for i in intervals)
    lost["overall"] = len(record.overall) - len(held.overall)
    lost["reasons"] = 0 if holds.reasons else sum(bool(i.reason) for i in intervals)
    lost["scores"] = 0 if holds.scores else sum(i.score is not None for i in intervals)
    changed = [i.basis for i in intervals if i.basis not in (None, _held_basis(i, record, holds))]
    # A model's proposal that would come back as somebody's judgement.
    lost["proposals"] = changed.count(Basis.MODEL)
    lost["proposals"] += DRAFT in record.extra and holds.bases is Bases.IMPORTED
    lost["bases"] = len(changed) - changed.count(Basis.MODEL)
    lost["authors"] = sum(bool(i.author) for i in intervals)
    lost["authors"] += bool(record.author) and not holds.author
    lost["times"] = sum(bool(i.time) for i in intervals)
    lost["times"] += bool(record.time) and not holds.time
    lost["comments"] = int(bool(record.comment))
    lost["revisions"] = int(record.revision > 1)
    lost["queue rows"] = int(record.queue is not None)
    lost["other keys"] = len(set(record.extra) - {"imported", DRAFT})
    return lost


def _mixed_overlaps(record: AnnotationRecord) -> Iterator[tuple[Interval, Interval]]:
    """Pairs of intervals of different labels that share a row."""
    reach: list[Interval] = []
    for interval in record.intervals:  # sorted by start
        reach = [other for other in reach if other.end >= interval.start]
        yield from ((other, interval) for other in reach if other.label != interval.label)
        reach.append(interval)


def _stamps(record: AnnotationRecord, holds: Holds, store: SeriesLookup) -> npt.NDArray[np.int64]:
    """The times that a format would write of a record."""
    stamps = store[record.series_id].timestamps
    if holds.inline:
        return stamps
    return stamps[[row for interval in record.intervals for row in (interval.start, interval.end)]]
