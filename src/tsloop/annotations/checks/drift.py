"""Whether new labels are distributed like those of the iterations before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tsloop.annotations.checks.findings import Finding
from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Status

__all__ = ["Drift", "drift", "label_counts", "label_drift"]


@dataclass(frozen=True, slots=True)
class Drift:
    """How two groups of labels differ in one respect.

    ``distance`` is half the sum of the absolute changes of the shares (0 equal, 1 disjoint),
    ``p_value`` that of a chi-squared test, and ``changes`` the share of each kind, before and now.
    """

    distance: float
    p_value: float
    changes: Mapping[str, tuple[float, float]]

    @property
    def largest(self) -> str:
        """The kind whose share changed most, in words."""
        name = max(self.changes, key=lambda key: abs(self.changes[key][1] - self.changes[key][0]))
        before, now = self.changes[name]
        return f"{name} {before:.0%} → {now:.0%}"


def label_counts(records: Iterable[AnnotationRecord]) -> Counter[str]:
    """How often each label is used."""
    return Counter(i.label for record in records for i in record.intervals)


def label_drift(now: Mapping[str, int], before: Mapping[str, int]) -> Drift | None:
    """Compare two sets of counts; ``None`` where one of them is empty."""
    from scipy.stats import chi2_contingency

    kinds = sorted({*now, *before})
    table = np.array([[group.get(kind, 0) for kind in kinds] for group in (now, before)], float)
    totals = table.sum(axis=1, keepdims=True)
    if not totals.all():
        return None
    shares = table / totals
    p_value = float(chi2_contingency(table).pvalue) if len(kinds) > 1 else 1.0
    return Drift(
        float(np.abs(shares[0] - shares[1]).sum() / 2),
        p_value,
        {kind: (float(shares[1, k]), float(shares[0, k])) for k, kind in enumerate(kinds)},
    )


def drift(
    fresh: Iterable[AnnotationRecord],
    earlier: Iterable[AnnotationRecord],
    max_distance: float,
    max_p_value: float,
) -> Iterator[Finding]:
    """Kinds of labels, and series without any, whose shares moved by more than chance explains."""
    new, old = list(fresh), list(earlier)
    for what, compared in (
        ("kinds of labels", label_drift(label_counts(new), label_counts(old))),
        ("series without an anomaly", label_drift(_results(new), _results(old))),
    ):
        if compared is None or compared.p_value > max_p_value:
            continue
        if compared.distance > max_distance:
            yield Finding(
                "drift",
                "",
                f"{what} differ from those of earlier iterations by {compared.distance:.2f} "
                f"(p = {compared.p_value:.2g}); most: {compared.largest}",
            )


def _results(records: Iterable[AnnotationRecord]) -> Counter[str]:
    return Counter(
        "without" if record.result is Status.NONE else "with anomalies" for record in records
    )
