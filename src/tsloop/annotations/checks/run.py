"""All checks of one set of labels, in one pass over what is needed of the series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tsloop.annotations.checks.config import ChecksConfig, action_of
from tsloop.annotations.checks.contents import (
    Fingerprints,
    duplicates,
    fingerprint,
    near_duplicates,
    near_gold,
)
from tsloop.annotations.checks.drift import drift
from tsloop.annotations.checks.edges import TEXTURE_GROUPS, far_edges
from tsloop.annotations.checks.findings import Finding, ordered, stopping
from tsloop.annotations.checks.records import (
    NORMAL_GROUP,
    contradictions,
    merged_overlaps,
    one_row_intervals,
    overlaps,
    unknown_attributes,
)
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.labels import LabelSet
from tsloop.series.types import Series

__all__ = ["Material", "check_labels", "refuse"]

_SHOWN = 5


@dataclass
class Material:
    """What the checks look at.

    ``records`` are those that count, fitted to their series (series id → record), ``earlier`` those
    of the iteration before, ``fresh`` the ids that this iteration labelled, ``gold`` the gold
    series. Series are shown one by one (`see`), so that none has to be kept.
    """

    label_set: LabelSet
    config: ChecksConfig = field(default_factory=ChecksConfig)
    records: Mapping[str, AnnotationRecord] = field(default_factory=dict)
    earlier: Mapping[str, AnnotationRecord] = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()
    merged: Sequence[Mapping[str, Any]] = ()
    gold: Mapping[str, Series] = field(default_factory=dict)
    fingerprints: dict[str, Any] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)
    """What was found elsewhere: agreement, bounds, leakage."""

    def see(self, series: Series, record: AnnotationRecord) -> None:
        """Look at the values of a series: its shape, and the edges of its (fitted) labels."""
        if series.id not in self.fingerprints:
            self.fingerprints[series.id] = fingerprint(series)
        if record.intervals and action_of(self.config, "far_edges") != "off":
            rows, share = self.config.edge_rows, self.config.edge_share
            level = [i for i in record.intervals if self._is_about_level(i.label)]
            if level and not np.isnan(series.values).all():
                self.found += far_edges(series.id, series.filled(), level, rows, share)

    def _is_about_level(self, label: str) -> bool:
        known = label in self.label_set
        return not known or self.label_set[label].group not in (*TEXTURE_GROUPS, NORMAL_GROUP)


def check_labels(material: Material) -> list[Finding]:
    """The findings of every check that is not off, in the order of `CHECKS`."""
    config = material.config
    return ordered(f for f in _all(material) if action_of(config, f.check) != "off")


def refuse(findings: Iterable[Finding], config: ChecksConfig, iteration: str) -> None:
    """Raise `AnnotationError` where a check that is set to ``stop`` has found something."""
    fatal = stopping(findings, config)
    if fatal:
        shown = "; ".join(f"{f.check}: {f}" for f in fatal[:_SHOWN])
        more = f"; … and {len(fatal) - _SHOWN} more" if len(fatal) > _SHOWN else ""
        raise AnnotationError(
            f"{len(fatal)} findings in the labels must be mended before anything is trained on "
            f"them: {shown}{more}.",
            hint=f"See all: tsloop labels check {iteration}. To go on regardless: "
            f"tsloop configure checks.{fatal[0].check}=warn",
        )


def _all(material: Material) -> Iterator[Finding]:
    records, label_set, config = material.records, material.label_set, material.config
    prints: Fingerprints = material.fingerprints
    yield from material.found
    yield from contradictions(records.values(), label_set)
    yield from merged_overlaps(material.merged)
    yield from overlaps(records.values(), label_set)
    yield from one_row_intervals(records.values(), label_set)
    yield from unknown_attributes(records.values(), label_set)
    yield from duplicates(records)
    yield from near_duplicates(records, prints, config.near_identical)
    yield from near_gold(records, prints, material.gold, config.near_identical)
    fresh = [records[name] for name in sorted(material.fresh) if name in records]
    yield from drift(fresh, material.earlier.values(), config.max_drift, config.max_p_value)
