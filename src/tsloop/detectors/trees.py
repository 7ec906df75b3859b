"""Gradient-boosted trees as plain arrays, with a predictor that needs nothing but numpy.

scikit-learn fits the trees; what is kept and saved are arrays, so that no pickle is ever written or
loaded, and so that the same bytes predict the same on every version of scikit-learn.

The predictor follows C. Lucchese et al., "QuickScorer" (SIGIR 2015): instead of walking down each
tree row by row, every test that sends a row to the right strikes the leaves on its left from a bit
field; the row's leaf is the leftmost one that is left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsloop.errors import DetectorError

__all__ = ["MAX_LEAVES", "Bins", "TreeTable"]

MAX_EDGES = 200
"""Bins per feature; scikit-learn takes up to 255 distinct values as they are."""

MAX_LEAVES = 32
"""The bits of a bit field."""

_BLOCK = 8192  # rows at a time: the columns of a block stay in the cache

Table = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Bins:
    """At most `MAX_EDGES` sorted float32 edges for each feature.

    scikit-learn finds weighted quantiles slowly (nine tenths of a fit); on codes it need not.
    """

    edges: tuple[npt.NDArray[np.float32], ...]

    @classmethod
    def of(cls, features: Table) -> Self:
        """Evenly spaced quantiles of each column that are values of the column."""
        shares = np.linspace(0.0, 1.0, MAX_EDGES)
        cuts = np.quantile(features, shares, axis=0, method="lower")
        return cls(tuple(np.unique(column).astype(np.float32) for column in cuts.T))

    def codes(self, features: Table) -> Table:
        """Whole numbers as float32: ``code <= c`` holds exactly where ``value <= edges[c]``."""
        codes = [
            np.searchsorted(edges, column, side="left")
            for edges, column in zip(self.edges, features.T, strict=True)
        ]
        return np.stack(codes, axis=1).astype(np.float32)


@dataclass(frozen=True)
class TreeTable:
    """Trees of a binary classifier.

    One entry per inner node: ``tree``, ``feature``, ``threshold`` (a row goes left where
    ``value <= threshold``) and ``struck`` (uint32, the bits of the leaves below its left child).
    ``leaves`` has the shape ``(trees, most leaves)``, in order from left to right, and holds what
    a tree adds to the log odds, which begin at ``baseline``.
    """

    tree: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    struck: npt.NDArray[np.uint32]
    leaves: npt.NDArray[np.float64]
    baseline: float
    n_features: int

    def __post_init__(self) -> None:
        sizes = {len(self.tree), len(self.feature), len(self.threshold), len(self.struck)}
        if len(sizes) != 1 or self.leaves.ndim != 2 or self.leaves.shape[1] > MAX_LEAVES:
            raise DetectorError("The arrays of a tree table do not fit together.")
        if len(self.tree) and (
            self.tree.min() < 0
            or self.tree.max() >= len(self.leaves)
            or self.feature.min() < 0
            or self.feature.max() >= self.n_features
            or (np.diff(self.tree) < 0).any()
        ):
            raise DetectorError("A tree table names trees or features that it does not have.")

    @classmethod
    def from_sklearn(cls, model: Any, bins: Bins) -> Self:
        """Of a binary ``HistGradientBoostingClassifier`` that was fitted on ``bins.codes(…)``.

        The table takes the features themselves: codes are translated back to thresholds.
        """
        parts: list[tuple[int, int, np.float32, int]] = []
        leaves = np.zeros((len(model._predictors), MAX_LEAVES))
        for number, (predictor,) in enumerate(model._predictors):
            nodes = predictor.nodes
            found: list[float] = []
            _walk(nodes, 0, number, bins, parts, found)
            leaves[number, : len(found)] = found
        order = sorted(parts, key=lambda part: part[:2])
        return cls(
            tree=np.array([p[0] for p in order], dtype=np.int32),
            feature=np.array([p[1] for p in order], dtype=np.int32),
            threshold=np.array([p[2] for p in order], dtype=np.float32),
            struck=np.array([p[3] for p in order], dtype=np.uint32),
            leaves=leaves,
            baseline=float(np.ravel(model._baseline_prediction)[0]),
            n_features=len(bins.edges),
        )

    def log_odds(self, features: Table) -> npt.NDArray[np.float64]:
        """Shape ``(n,)``; ``features`` is finite float32 of the shape ``(n, n_features)``."""
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise DetectorError(
                f"The trees were fitted on {self.n_features} features, got {features.shape}.",
                hint="Fit again: the features of this version differ.",
            )
        out = np.empty(len(features))
        for begin in range(0, len(features), _BLOCK):
            out[begin : begin + _BLOCK] = self._block(features[begin : begin + _BLOCK])
        return out

    def probability(self, features: Table) -> npt.NDArray[np.float64]:
        """Probability of an anomaly per row, shape ``(n,)``, in [0, 1]."""
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(self.log_odds(features), -500.0, 500.0))))

    def _block(self, features: Table) -> npt.NDArray[np.float64]:
        columns = np.ascontiguousarray(features.T)
        n = columns.shape[1]
        total = np.full(n, self.baseline)
        right = np.empty(n, dtype=bool)
        bits = np.empty(n, dtype=np.uint32)
        firsts = np.searchsorted(self.tree, np.arange(len(self.leaves) + 1))
        for number in range(len(self.leaves)):
            gone = np.zeros(n, dtype=np.uint32)
            for node in range(firsts[number], firsts[number + 1]):
                np.greater(columns[self.feature[node]], self.threshold[node], out=right)
                np.multiply(right, self.struck[node], out=bits)
                np.bitwise_or(gone, bits, out=gone)
            # The bits below the lowest zero, counted: the place of the leftmost leaf left over.
            place = np.bitwise_count(gone & ~(gone + np.uint32(1)))
            total += self.leaves[number][place]
        return total

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything as named arrays, for a safetensors file."""
        return {
            "tree": self.tree,
            "feature": self.feature,
            "threshold": self.threshold,
            "struck": self.struck,
            "leaves": self.leaves,
            "baseline": np.array([self.baseline]),
            "n_features": np.array([self.n_features], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> Self:
        """The inverse of `arrays`."""
        return cls(
            tree=arrays["tree"].astype(np.int32, casting="safe"),
            feature=arrays["feature"].astype(np.int32, casting="safe"),
            threshold=arrays["threshold"].astype(np.float32, casting="safe"),
            struck=arrays["struck"].astype(np.uint32, casting="safe"),
            leaves=arrays["leaves"].astype(np.float64, casting="safe"),
            baseline=float(arrays["baseline"][0]),
            n_features=int(arrays["n_features"][0]),
        )


def _walk(
    nodes: npt.NDArray[Any],
    index: int,
    tree: int,
    bins: Bins,
    parts: list[tuple[int, int, np.float32, int]],
    leaves: list[float],
) -> int:
    """Collect inner nodes and leaves from left to right; returns the bits of the leaves below."""
    node = nodes[index]
    if node["is_leaf"]:
        if len(leaves) == MAX_LEAVES:
            raise DetectorError(f"A tree has more than {MAX_LEAVES} leaves.")
        leaves.append(float(node["value"]))
        return 1 << (len(leaves) - 1)
    left = _walk(nodes, int(node["left"]), tree, bins, parts, leaves)
    feature = int(node["feature_idx"])
    parts.append((tree, feature, bins.edges[feature][int(node["num_threshold"])], left))
    return left | _walk(nodes, int(node["right"]), tree, bins, parts, leaves)
