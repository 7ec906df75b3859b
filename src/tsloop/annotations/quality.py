"""What can be said of a set of labels without knowing the truth: ``quality.json``.

Nothing here is an error; it is what a person should look at before training.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Interval, Status, to_mask
from tsloop.labels import LabelSet
from tsloop.series.types import Series

__all__ = ["SCHEMA", "assess", "fingerprint", "label_shares"]

SCHEMA = "tsloop.quality/1"

INTERVAL_GROUPS = ("drift", "shape")
"""Label groups whose events last: one single row is suspicious."""

NEAR_IDENTICAL = 0.9995
"""Correlation from which two series of one length count as the same content."""

_POINTS = 512


def assess(
    records: Mapping[str, AnnotationRecord],
    label_set: LabelSet,
    parent: Mapping[str, AnnotationRecord] | None = None,
    fingerprints: Mapping[str, npt.NDArray[np.float32]] | None = None,
) -> dict[str, Any]:
    """Counts and findings over the records of one snapshot, as plain values for JSON.

    ``parent`` are the records of the snapshot before this one. ``fingerprints`` (series id →
    `fingerprint`) are needed to find near-identical series; without them none is reported.
    """
    return {
        "schema": SCHEMA,
        **_counts(records.values()),
        "labels": _per_label(records.values()),
        "basis": _per_basis(records.values()),
        "against_parent": _against_parent(records, parent),
        "contradictions": _contradictions(records.values()),
        "one_row_intervals": _one_row(records.values(), label_set),
        "duplicates": _duplicates(records),
        "near_duplicates": _near_duplicates(records, fingerprints or {}),
        "unknown_attributes": _unknown_attributes(records.values(), label_set),
    }


def fingerprint(series: Series) -> npt.NDArray[np.float32]:
    """The shape of a series: up to 512 of its samples, centred and of length one; float32.

    Zeros where the series is constant or has no value: such series resemble nothing.
    """
    values = series.values
    if not np.isfinite(values).any():
        return np.zeros(_POINTS, dtype=np.float32)
    rows = np.unique(np.linspace(0, len(values) - 1, _POINTS).round().astype(int))
    sampled = np.zeros(_POINTS)
    sampled[: len(rows)] = series.filled()[rows]
    sampled[: len(rows)] -= sampled[: len(rows)].mean()
    scale = float(np.abs(sampled).max())
    if scale == 0.0:
        return np.zeros(_POINTS, dtype=np.float32)
    sampled /= scale
    return (sampled / np.linalg.norm(sampled)).astype(np.float32)


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


def _contradictions(records: Iterable[AnnotationRecord]) -> list[dict[str, Any]]:
    """Places where two labels claim mostly the same rows (IoU of at least one half)."""
    found: list[dict[str, Any]] = []
    for record in records:
        for first, second in combinations(record.intervals, 2):
            if first.label != second.label and first.iou(second) >= 0.5:
                found.append(
                    {
                        "series_id": record.series_id,
                        "start": max(first.start, second.start),
                        "end": min(first.end, second.end),
                        "labels": sorted((first.label, second.label)),
                    }
                )
    return found


def _one_row(records: Iterable[AnnotationRecord], label_set: LabelSet) -> list[dict[str, Any]]:
    lasting = {label.id for label in label_set.labels if label.group in INTERVAL_GROUPS}
    return [
        {"series_id": record.series_id, "row": interval.start, "label": interval.label}
        for record in records
        for interval in record.intervals
        if interval.label in lasting and len(interval) == 1
    ]


def _duplicates(records: Mapping[str, AnnotationRecord]) -> list[dict[str, Any]]:
    by_content: dict[str, list[str]] = defaultdict(list)
    for series_id, record in records.items():
        by_content[record.series_sha256].append(series_id)
    return [
        {
            "series": sorted(ids),
            "agree": all(_agree(records[ids[0]], records[other]) for other in ids[1:]),
        }
        for _, ids in sorted(by_content.items())
        if len(ids) > 1
    ]


def _near_duplicates(
    records: Mapping[str, AnnotationRecord],
    fingerprints: Mapping[str, npt.NDArray[np.float32]],
) -> list[dict[str, Any]]:
    """Pairs of different but near-identical content whose labels differ."""
    by_length: dict[int, list[str]] = defaultdict(list)
    for series_id in sorted(records):
        if series_id in fingerprints:
            by_length[records[series_id].n_rows].append(series_id)
    found: list[dict[str, Any]] = []
    for _, ids in sorted(by_length.items()):
        shapes = np.stack([fingerprints[series_id] for series_id in ids])
        for a in range(len(ids) - 1):
            similar = shapes[a + 1 :] @ shapes[a]
            for b in (np.flatnonzero(similar >= NEAR_IDENTICAL) + a + 1).tolist():
                first, second = records[ids[a]], records[ids[b]]
                if first.series_sha256 != second.series_sha256 and not _agree(first, second):
                    found.append(
                        {
                            "series": [ids[a], ids[b]],
                            "similarity": round(float(similar[b - a - 1]), 4),
                            "labels": [_label_list(first), _label_list(second)],
                        }
                    )
    return found


def _agree(first: AnnotationRecord, second: AnnotationRecord) -> bool:
    """Whether two judgements of one content say the same: equal labels, each at the same place."""
    if _label_list(first) != _label_list(second):
        return False
    return all(_has_match(i, second.intervals) for i in first.intervals) and all(
        _has_match(i, first.intervals) for i in second.intervals
    )


def _has_match(interval: Interval, others: Sequence[Interval]) -> bool:
    return any(o.label == interval.label and interval.iou(o) >= 0.5 for o in others)


def _label_list(record: AnnotationRecord) -> list[str]:
    return sorted(interval.label for interval in record.intervals)


def _unknown_attributes(
    records: Iterable[AnnotationRecord], label_set: LabelSet
) -> list[dict[str, Any]]:
    known = {a.id: {value.id for value in a.values} for a in label_set.attributes}
    return [
        {"series_id": record.series_id, "attribute": key, "value": record.overall[key]}
        for record in records
        for key in sorted(record.overall)
        if record.overall[key] not in known.get(key, set())
    ]
