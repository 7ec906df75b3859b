"""A second journal of the same series: what two people have in common, and whether it is enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tsloop.annotations.checks.config import ChecksConfig
from tsloop.annotations.checks.findings import Finding
from tsloop.annotations.fitting import SeriesLookup, fit_record, stored_series
from tsloop.annotations.journal import read_journal
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.evaluation.agreement import Agreement, Reading, compare_readings
from tsloop.labels import LabelSet

__all__ = ["first_judgements", "low_agreement", "paired_readings", "second_opinions"]


def first_judgements(records: Iterable[AnnotationRecord]) -> dict[str, AnnotationRecord]:
    """The record of the lowest revision for each series, sorted by id.

    Later ones are corrections, often made when both had been compared: they would agree too well.
    """
    found: dict[str, AnnotationRecord] = {}
    for record in records:
        held = found.get(record.series_id)
        if held is None or record.revision < held.revision:
            found[record.series_id] = record
    return dict(sorted(found.items()))


def paired_readings(
    first: Mapping[str, AnnotationRecord],
    second: Mapping[str, AnnotationRecord],
    groups: Mapping[str, str] | None = None,
) -> list[Reading]:
    """The series that both have labelled, by id; other content or another set is an error.

    ``groups`` (series id → group) tie series together for the intervals of the figures.
    """
    readings = []
    for series_id in sorted(set(first) & set(second)):
        one, other = first[series_id], second[series_id]
        for what in ("series_sha256", "n_rows", "label_set"):
            mine, yours = getattr(one, what), getattr(other, what)
            if mine != yours:
                raise AnnotationError(
                    f"Two people labelled series {series_id!r}, but not the same thing: "
                    f"{what} is {mine} and {yours}.",
                    hint="Let both label the series as it is stored now.",
                )
        group = (groups or {}).get(series_id, "")
        readings.append(Reading(series_id, one.n_rows, one.intervals, other.intervals, group))
    return readings


def second_opinions(
    journal: Path,
    second: Path,
    store: SeriesLookup,
    label_set: LabelSet,
    config: ChecksConfig,
) -> Iterator[Finding]:
    """Where the two journals do not agree as `checks.min_kappa` asks; both must fit the store."""
    one, other = (
        {
            series_id: fit_record(record, stored_series(record, store), label_set).record
            for series_id, record in first_judgements(read_journal(path)).items()
        }
        for path in (journal, second)
    )
    groups = {series_id: str(store.entries[series_id].group) for series_id in one}
    found = compare_readings(paired_readings(one, other, groups), iou=config.match_iou)
    yield from low_agreement(found, config.min_kappa)


def low_agreement(found: Agreement, min_kappa: float) -> Iterator[Finding]:
    """A finding where Cohen's kappa over all rows stays below what is asked for."""
    kappa = found.overall.kappa
    if kappa.value is None or kappa.value >= min_kappa:
        return
    between = ""
    if kappa.low is not None and kappa.high is not None:
        between = f" ({kappa.low:.2f} to {kappa.high:.2f})"
    events = found.overall.event_f1.value
    matched = "" if events is None else f", event match {events:.2f}"
    yield Finding(
        "agreement",
        "",
        f"kappa is {kappa.value:.2f}{between} over {found.n_series} series{matched}; "
        f"at least {min_kappa:g} is asked for",
    )
