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
SHAPE_VOTES = 2.0
"""Votes of the shape: what intervals of that shape are called; a close neighbour has nearly 1."""
OWN_NAME = 6.0
"""The shape's own name counts like so many labelled intervals of that name."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelRule:
    """Labelled intervals: features ``(m, f)``, shapes by rule and team's labels, each of length m.

    The nearest five vote, nearer ones more, and so does the shape: by what intervals of that shape
    were called so far and, where the team uses the built-in labels, by its own name. Without any
    labelled interval the shape decides.
    """

    features: Values = field(default_factory=lambda: np.empty((0, len(FEATURE_NAMES))))
    shapes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def fit(cls, examples: Sequence[Example], values: Sequence[Values]) -> Self:
        """From examples and their filled values, in step."""
        rows: list[Values] = []
        shapes: list[str] = []
        labels: list[str] = []
        for example, x in zip(examples, values, strict=True):
            for interval in example.intervals:
                rows.append(shape_features(x, interval.start, interval.end + 1))
                shapes.append(describe_shape(x, interval.start, interval.end + 1).label)
                labels.append(interval.label)
        if not rows:
            return cls()
        # Rounded so that what is saved as text is what was fitted.
        features = np.stack(rows[-MAX_MEMORY:]).round(6).astype(np.float64)
        return cls(features, tuple(shapes[-MAX_MEMORY:]), tuple(labels[-MAX_MEMORY:]))

    def describe(self, values: Values, intervals: Sequence[Interval]) -> list[Interval]:
        """The intervals with label, reason and basis; ``values`` is the whole finite series."""
        out = []
        for interval in intervals:
            shape = describe_shape(values, interval.start, interval.end + 1)
            label = self._vote(values, interval, shape.label) if self.labels else shape.label
            out.append(interval.replace(label=label, reason=shape.reason, basis=Basis.MODEL))
        return out

    def _vote(self, values: Values, interval: Interval, shape: str) -> str:
        known = Counter(self.labels)
        if len(known) == 1:
            return self.labels[0]
        scale = self.features.std(axis=0)
        scale[scale < 1e-6] = 1.0
        wanted = shape_features(values, interval.start, interval.end + 1)
        distance = np.sqrt((((self.features - wanted) / scale) ** 2).mean(axis=1))
        votes: dict[str, float] = {}
        for place in np.argsort(distance, kind="stable")[:NEIGHBOURS].tolist():
            label = self.labels[place]
            votes[label] = votes.get(label, 0.0) + 1.0 / (1.0 + float(distance[place]))
        for label, share in self._called(shape).items():
            votes[label] = votes.get(label, 0.0) + SHAPE_VOTES * share
        return max(sorted(votes), key=lambda label: (votes[label], known[label]))

    def _called(self, shape: str) -> dict[str, float]:
        """Shares of the labels that intervals of this shape have, its own name included."""
        counts: dict[str, float] = {}
        for rule, label in zip(self.shapes, self.labels, strict=True):
            if rule == shape:
                counts[label] = counts.get(label, 0.0) + 1.0
        if set(self.labels) & set(self.shapes):
            counts[shape] = counts.get(shape, 0.0) + OWN_NAME
        total = sum(counts.values())
        return {label: count / total for label, count in counts.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "features": self.features.tolist(),
            "shapes": list(self.shapes),
            "labels": list(self.labels),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; tables of another shape are an error."""
        features = np.asarray(data["features"], dtype=np.float64).reshape(-1, len(FEATURE_NAMES))
        shapes, labels = (tuple(str(x) for x in data[key]) for key in ("shapes", "labels"))
        if not len(labels) == len(shapes) == len(features):
            raise DetectorError(
                f"A label rule has {len(features)} intervals but {len(labels)} labels."
            )
        return cls(features, shapes, labels)
