"""What can be said of a set of labels without knowing the truth: ``quality.json``.

Counts, what changed since the iteration before, and what the checks found
(`tsloop.annotations.checks`). It is what a person should look at before training.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tsloop.annotations.checks.config import ChecksConfig
from tsloop.annotations.checks.findings import Finding, counted_by_check
from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Status, to_mask

__all__ = ["SCHEMA", "assess", "label_shares"]

SCHEMA = "tsloop.quality/2"


def assess(
    records: Mapping[str, AnnotationRecord],
    parent: Mapping[str, AnnotationRecord] | None,
    findings: Sequence[Finding],
    config: ChecksConfig,
) -> dict[str, Any]:
    """Counts and findings over the records of one snapshot, as plain values for JSON.

    ``parent`` are the records of the snapshot before this one.
    """
    return {
        "schema": SCHEMA,
        **_counts(records.values()),
        "checks": counted_by_check(findings, config),
        "findings": [finding.to_dict() for finding in findings],
        "labels": _per_label(records.values()),
        "basis": _per_basis(records.values()),
        "against_parent": _against_parent(records, parent),
    }


def label_shares(records: Iterable[AnnotationRecord]) -> dict[str, float]:
    """Share of each label among all intervals; empty where there are none."""
    counts = Counter(i.label for record in records for i in record.intervals)
    return {label: counts[label] / counts.total() for label in sorted(counts)}


def _counts(records: Iterable[AnnotationRecord]) -> dict[str, int]:
    held = list(records)
    return {
        "n_series": len(held),
        "n_ok": sum(record.result is Status.OK for record in held),
        "n_none": sum(record.result is Status.NONE for record in held),
        "n_intervals": sum(len(record.intervals) for record in held),
        "n_rows": sum(record.n_rows for record in held),
        "n_anomalous_rows": sum(
            int(to_mask(record.intervals, record.n_rows).sum()) for record in held
        ),
    }


def _per_label(records: Iterable[AnnotationRecord]) -> dict[str, Any]:
    held = list(records)
    shares = label_shares(held)
    lengths: dict[str, list[int]] = defaultdict(list)
    series: dict[str, set[str]] = defaultdict(set)
    for record in held:
        for interval in record.intervals:
            lengths[interval.label].append(len(interval))
            series[interval.label].add(record.series_id)
    return {
        label: {
            "intervals": len(lengths[label]),
            "series": len(series[label]),
            "rows": sum(lengths[label]),
            "median_length": float(np.median(lengths[label])),
            "share": shares[label],
        }
        for label in sorted(lengths)
    }


def _per_basis(records: Iterable[AnnotationRecord]) -> dict[str, int]:
    counts = Counter(str(i.basis or "unknown") for record in records for i in record.intervals)
    return dict(sorted(counts.items()))


def _against_parent(
    records: Mapping[str, AnnotationRecord], parent: Mapping[str, AnnotationRecord] | None
) -> dict[str, Any] | None:
    """What changed; ``distance`` is half the sum of the share changes (0 equal, 1 disjoint)."""
    if parent is None:
        return None
    now, before = label_shares(records.values()), label_shares(parent.values())
    changes = {key: now.get(key, 0.0) - before.get(key, 0.0) for key in sorted({*now, *before})}
    distance = sum(abs(change) for change in changes.values()) / 2 if now and before else None
    return {
        "new_series": sum(series_id not in parent for series_id in records),
        "corrected_series": sorted(
            key for key in records if key in parent and records[key] != parent[key]
        ),
        "share_changes": changes,
        "distance": distance,
    }
