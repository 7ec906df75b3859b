"""Which label a found interval gets.

Without labels, the one that its shape suggests. With labels, the one that this team gave to the
most similar intervals; a team that only ever says "anomaly" gets "anomaly".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsloop.annotations.examples import Example
from tsloop.errors import DetectorError
from tsloop.intervals import Basis, Interval
from tsloop.signals.shape import FEATURE_NAMES, describe_shape, shape_features

__all__ = ["LabelRule"]

NEIGHBOURS = 5
MAX_MEMORY = 2000
"""At most so many labelled intervals are remembered, the latest ones."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelRule:
    """The shapes of labelled intervals and their labels; the nearest five vote, nearer ones more.

    ``features`` has the shape ``(m, f)``, ``labels`` the length ``m``. Empty: shapes decide.
    """

    features: Values = field(default_factory=lambda: np.empty((0, len(FEATURE_NAMES))))
    labels: tuple[str, ...] = ()

    @classmethod
    def fit(cls, examples: Sequence[Example], values: Sequence[Values]) -> Self:
        """From examples and their filled values, in step."""
        rows: list[Values] = []
        labels: list[str] = []
        for example, x in zip(examples, values, strict=True):
            for interval in example.intervals:
                rows.append(shape_features(x, interval.start, interval.end + 1))
                labels.append(interval.label)
        if not rows:
            return cls()
        # Rounded so that what is saved as text is what was fitted.
        features = np.stack(rows[-MAX_MEMORY:]).round(6).astype(np.float64)
        return cls(features, tuple(labels[-MAX_MEMORY:]))

    def describe(self, values: Values, intervals: Sequence[Interval]) -> list[Interval]:
        """The intervals with label, reason and basis; ``values`` is the whole finite series."""
        out = []
        for interval in intervals:
            shape = describe_shape(values, interval.start, interval.end + 1)
            label = self._vote(values, interval) if self.labels else shape.label
            out.append(interval.replace(label=label, reason=shape.reason, basis=Basis.MODEL))
        return out

    def _vote(self, values: Values, interval: Interval) -> str:
        known = Counter(self.labels)
        if len(known) == 1:
            return self.labels[0]
        scale = self.features.std(axis=0)
        scale[scale < 1e-6] = 1.0
        wanted = shape_features(values, interval.start, interval.end + 1)
        distance = np.sqrt((((self.features - wanted) / scale) ** 2).sum(axis=1))
        votes: dict[str, float] = {}
        for place in np.argsort(distance, kind="stable")[:NEIGHBOURS].tolist():
            label = self.labels[place]
            votes[label] = votes.get(label, 0.0) + 1.0 / (1.0 + float(distance[place]))
        return max(sorted(votes), key=lambda label: (votes[label], known[label]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"features": self.features.tolist(), "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; tables of another shape are an error."""
        features = np.asarray(data["features"], dtype=np.float64).reshape(-1, len(FEATURE_NAMES))
        labels = tuple(str(label) for label in data["labels"])
        if len(labels) != len(features):
            raise DetectorError(
                f"A label rule has {len(features)} intervals but {len(labels)} labels."
            )
        return cls(features, labels)
