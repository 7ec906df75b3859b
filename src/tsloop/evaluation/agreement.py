"""How far two people agree on the same series: rows, events, labels, and where they do not.

Rows are compared by Cohen's kappa (agreement beyond what chance gives to two people who mark that
much), events by a one-to-one match from an IoU on. Series of one group are read by people in one
mood, so intervals come from the bootstrap over groups. Figures say nothing about who is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.evaluation.bootstrap import MIN_GROUPS, Estimate, group_bootstrap
from tsloop.evaluation.matching import match_events
from tsloop.intervals import Interval, to_mask

__all__ = ["Agreement", "Dispute", "LabelAgreement", "Reading", "compare_readings", "disputes"]

Floats = npt.NDArray[np.float64]

ANY = ""
"""The row of figures that leaves labels out of account."""
DISPUTES = ("only_first", "only_second", "edges", "label")


@dataclass(frozen=True, slots=True)
class Reading:
    """One series as two people labelled it, without seeing each other's labels."""

    series_id: str
    n_rows: int
    first: tuple[Interval, ...]
    second: tuple[Interval, ...]
    group: str = ""


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """The figures of one label, or of all together.

    ``kappa`` is over rows and undefined (its value ``None``) where nobody marked any or both marked
    all; ``event_f1`` is the share of events that have a partner: ``2 m / (n_first + n_second)``.
    """

    kappa: Estimate
    event_f1: Estimate
    n_first: int
    n_second: int
    n_matched: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "n_first": self.n_first,
            "n_second": self.n_second,
            "n_matched": self.n_matched,
            "kappa": _plain(self.kappa),
            "event_f1": _plain(self.event_f1),
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """``overall`` leaves labels out of account; ``labels`` has those that anybody used, sorted.

    ``same_label`` is the share of matched events to which both gave one label.
    """

    overall: LabelAgreement
    labels: dict[str, LabelAgreement]
    same_label: float | None
    n_series: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "n_series": self.n_series,
            "same_label": self.same_label,
            "overall": self.overall.to_dict(),
            "labels": {name: row.to_dict() for name, row in self.labels.items()},
        }


@dataclass(frozen=True, slots=True)
class Dispute:
    """Something that a third person has to decide.

    ``kind`` is ``only_first``, ``only_second``, ``edges`` (both mean one event, but their IoU is
    too small) or ``label`` (one place, two names). A side without an interval has ``None``.
    """

    series_id: str
    kind: str
    first: Interval | None
    second: Interval | None

    @property
    def span(self) -> tuple[int, int]:
        """First and last row that either of them marked."""
        held = [i for i in (self.first, self.second) if i is not None]
        return min(i.start for i in held), max(i.end for i in held)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "series_id": self.series_id,
            "kind": self.kind,
            "first": None if self.first is None else self.first.to_dict(),
            "second": None if self.second is None else self.second.to_dict(),
        }


def compare_readings(
    readings: Sequence[Reading],
    *,
    iou: float = 0.5,
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Agreement over all series that both have read; without any, every figure is undefined.

    Intervals need five groups that have the label (a reading without a group is one of its own).
    """
    used = sorted({i.label for r in readings for i in (*r.first, *r.second)})

    def figures(label: str) -> LabelAgreement:
        counts = np.array([_counts(r, label, iou) for r in readings]).reshape(-1, 7)
        groups = [reading.group or reading.series_id for reading in readings]
        first, second, matched = counts[:, 4:].sum(axis=0).astype(int).tolist()
        if not readings:
            return LabelAgreement(Estimate(None), Estimate(None), 0, 0, 0)
        used_in = {group for group, row in zip(groups, counts, strict=True) if row[4] or row[5]}
        kappa, event_f1 = (
            _told(
                group_bootstrap(
                    counts,
                    groups,
                    statistic,
                    n_bootstrap=n_bootstrap,
                    confidence=confidence,
                    seed=seed,
                ),
                len(used_in),
            )
            for statistic in (_kappa, _event_f1)
        )
        return LabelAgreement(kappa, event_f1, first, second, matched)

    return Agreement(
        figures(ANY), {label: figures(label) for label in used}, _same(readings, iou), len(readings)
    )


def disputes(readings: Iterable[Reading], *, iou: float = 0.5) -> list[Dispute]:
    """What the two do not agree on: for adjudication, by series and row."""
    found: list[Dispute] = []
    for reading in readings:
        found += _disputes(reading, iou)
    return sorted(found, key=lambda d: (d.series_id, d.span, DISPUTES.index(d.kind)))


def _disputes(reading: Reading, iou: float) -> Iterable[Dispute]:
    sure = match_events(reading.first, reading.second, iou)
    for a, b in sure.pairs:
        if reading.first[a].label != reading.second[b].label:
            yield Dispute(reading.series_id, "label", reading.first[a], reading.second[b])
    left = [reading.first[a] for a in sure.missed]
    right = [reading.second[b] for b in sure.false]
    loose = match_events(left, right)
    for a, b in loose.pairs:
        yield Dispute(reading.series_id, "edges", left[a], right[b])
    for a in loose.missed:
        yield Dispute(reading.series_id, "only_first", left[a], None)
    for b in loose.false:
        yield Dispute(reading.series_id, "only_second", None, right[b])


def _counts(reading: Reading, label: str, iou: float) -> list[float]:
    """Rows that both, the first, the second, nobody marked; events of each, and matched ones."""
    first, second = (
        [i for i in some if label in (ANY, i.label)] for some in (reading.first, reading.second)
    )
    one, other = to_mask(first, reading.n_rows), to_mask(second, reading.n_rows)
    both = int((one & other).sum())
    only_one, only_other = int(one.sum()) - both, int(other.sum()) - both
    neither = reading.n_rows - both - only_one - only_other
    matched = len(match_events(first, second, iou).pairs)
    return [both, only_one, only_other, neither, len(first), len(second), matched]


def _kappa(sums: Floats) -> Floats:
    both, one, other, neither = sums[:, :4].T
    total = np.maximum(both + one + other + neither, 1.0)
    observed = (both + neither) / total
    chance = ((both + one) * (both + other) + (neither + one) * (neither + other)) / total**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(chance < 1.0, (observed - chance) / (1.0 - chance), np.nan)


def _event_f1(sums: Floats) -> Floats:
    first, second, matched = sums[:, 4:].T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(first + second > 0, 2.0 * matched / (first + second), np.nan)


def _told(estimate: Estimate, n_groups: int) -> Estimate:
    """Without its interval where few groups have the label: the draws would hardly differ."""
    if n_groups >= MIN_GROUPS:
        return estimate
    return replace(estimate, low=None, high=None)


def _same(readings: Iterable[Reading], iou: float) -> float | None:
    pairs = [
        (reading.first[a].label, reading.second[b].label)
        for reading in readings
        for a, b in match_events(reading.first, reading.second, iou).pairs
    ]
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else None


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
