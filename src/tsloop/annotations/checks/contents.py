"""Content that comes twice: copies labelled in two ways, and gold among what is trained on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tsloop.annotations.checks.findings import Finding
from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Interval
from tsloop.series.types import Series

__all__ = [
    "Fingerprints",
    "duplicates",
    "fingerprint",
    "near_duplicates",
    "near_gold",
    "values_sha256",
]

Fingerprints = Mapping[str, npt.NDArray[np.float32]]
"""Series id → `fingerprint`."""

SAME_PLACE = 0.5
"""IoU from which two labels say the same."""

_POINTS = 512


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


def values_sha256(series: Series) -> str:
    """Hash of the values alone: a series that was stored again under other times keeps it.

    Empty where the series is constant or has no value: such series are alike by chance.
    """
    values = series.values
    known = values[~np.isnan(values)]
    if not len(known) or known.min() == known.max():
        return ""
    clean = np.where(np.isnan(values), np.nan, values) + 0.0  # one NaN, one zero
    return hashlib.sha256(clean.astype("<f8").tobytes()).hexdigest()


def duplicates(records: Mapping[str, AnnotationRecord]) -> Iterator[Finding]:
    """Series of equal content whose labels differ."""
    by_content: dict[str, list[str]] = defaultdict(list)
    for series_id, record in sorted(records.items()):
        by_content[record.series_sha256].append(series_id)
    for ids in by_content.values():
        for other in ids[1:]:
            if not _agree(records[ids[0]], records[other]):
                differs = _against(records[other], records[ids[0]])
                what = f"has the content of {ids[0]}, but {differs}"
                yield Finding("duplicates", other, what)


def near_duplicates(
    records: Mapping[str, AnnotationRecord], fingerprints: Fingerprints, alike: float
) -> Iterator[Finding]:
    """Pairs of different but nearly equal content whose labels differ."""
    for ids in _by_length(records, fingerprints):
        shapes = np.stack([fingerprints[series_id] for series_id in ids])
        for a in range(len(ids) - 1):
            similar = shapes[a + 1 :] @ shapes[a]
            for b in (np.flatnonzero(similar >= alike) + a + 1).tolist():
                first, second = records[ids[a]], records[ids[b]]
                if first.series_sha256 != second.series_sha256 and not _agree(first, second):
                    what = (
                        f"resembles {ids[a]} ({similar[b - a - 1]:.4f}), but "
                        f"{_against(second, first)}"
                    )
                    yield Finding("near_duplicates", ids[b], what)


def near_gold(
    records: Mapping[str, AnnotationRecord],
    fingerprints: Fingerprints,
    gold: Mapping[str, Series],
    alike: float,
) -> Iterator[Finding]:
    """Labelled series that nearly are a gold series."""
    shapes = [(name, len(series), fingerprint(series)) for name, series in sorted(gold.items())]
    for series_id, record in sorted(records.items()):
        for name, n_rows, shape in shapes:
            if series_id in fingerprints and n_rows == record.n_rows and name != series_id:
                similarity = float(fingerprints[series_id] @ shape)
                if similarity >= alike:
                    what = f"resembles the gold series {name} ({similarity:.4f})"
                    yield Finding("near_gold", series_id, what)


def _by_length(
    records: Mapping[str, AnnotationRecord], fingerprints: Fingerprints
) -> list[list[str]]:
    by_length: dict[int, list[str]] = defaultdict(list)
    for series_id in sorted(records):
        if series_id in fingerprints:
            by_length[records[series_id].n_rows].append(series_id)
    return [ids for _, ids in sorted(by_length.items())]


def _agree(first: AnnotationRecord, second: AnnotationRecord) -> bool:
    """Whether two judgements of one content say the same: equal labels, each at the same place."""
    if _label_list(first) != _label_list(second):
        return False
    return all(_has_match(i, second.intervals) for i in first.intervals) and all(
        _has_match(i, first.intervals) for i in second.intervals
    )


def _against(own: AnnotationRecord, other: AnnotationRecord) -> str:
    """In words how two records differ."""
    mine, yours = _label_list(own), _label_list(other)
    if mine == yours:
        return "the labels lie at other places"
    return f"is labelled {', '.join(mine) or 'none'}, not {', '.join(yours) or 'none'}"


def _has_match(interval: Interval, others: Sequence[Interval]) -> bool:
    return any(o.label == interval.label and interval.iou(o) >= SAME_PLACE for o in others)


def _label_list(record: AnnotationRecord) -> list[str]:
    return sorted(interval.label for interval in record.intervals)
