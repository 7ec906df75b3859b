"""Gradient boosting over point features: the supervised peer of the neural model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsloop.annotations.examples import Example
from tsloop.detectors.base import Progress, no_progress
from tsloop.detectors.common import LocatingDetector, usable_values
from tsloop.detectors.factory import check_at_least, check_choice
from tsloop.detectors.sampling import group_folds, sample_rows
from tsloop.detectors.trees import MAX_LEAVES, Bins, TreeTable
from tsloop.errors import ConfigError, DetectorError, ModelFileError, TsloopError
from tsloop.evaluation.thresholds import OBJECTIVES
from tsloop.files import read_json, write_bytes_atomic, write_json
from tsloop.series.types import Series
from tsloop.signals.features import point_features
from tsloop.signals.knn import knn_distance
from tsloop.signals.robust import robust_z, squash

__all__ = ["BoostingConfig", "BoostingDetector", "boosting_features"]

Scores = npt.NDArray[np.float64]
Table = npt.NDArray[np.float32]

TREES = "trees.safetensors"
BLEND = "blend.json"
BLENDS = (0.25, 0.0, 0.5, 0.75, 1.0)
"""Shares of the trees in the score, most trusted first."""
DISTRUST = 0.2
"""Trees that have seen few groups look better on the next ones than they are: each step away from
the first blend must be worth so much times its length (see `tsloop.detectors.edges.edge_worth`)."""


@dataclass(frozen=True)
class BoostingConfig:
    """Settings of `BoostingDetector`."""

    trees: int = 100
    """Boosting rounds."""
    leaves: int = 15
    """Leaves per tree, at most 32."""
    learning_rate: float = 0.08
    """Share of each tree's answer that is used."""
    min_rows_per_leaf: int = 20
    """A leaf holds at least so many training rows."""
    l2: float = 1.0
    """Shrinks the values of leaves."""
    feature_share: float = 0.3
    """Share of the features that each split may choose from."""
    negatives_per_series: int = 1000
    """Quiet rows sampled from each labelled series."""
    positives_per_series: int = 2000
    """Anomalous rows taken from each labelled series at most."""
    max_rows: int = 40000
    """With many series, fewer quiet rows are taken from each, so that the fit stays this small."""
    event_balance: float = 1.0
    """1: every event weighs the same; 0: every anomalous row does."""
    positive_share: float = 0.3
    """Weight of all anomalous rows, as a share of the weight of all quiet rows."""
    folds: int = 4
    """Groups are split into so many folds; thresholds see only scores of groups left out."""
    blend: bool = True
    """Average with the nearest-neighbour score, with a weight chosen out of fold."""
    objective: str = "balanced"
    """What the threshold is chosen for: balanced, clicks or f1."""
    refine_edges: bool = True
    """Move the edges of found intervals where that pays on the labelled series."""

    def __post_init__(self) -> None:
        check_choice("boosting.objective", self.objective, OBJECTIVES)
        for key in ("trees", "min_rows_per_leaf", "negatives_per_series", "positives_per_series"):
            check_at_least(f"boosting.{key}", getattr(self, key), 1)
        check_at_least("boosting.folds", self.folds, 2)
        check_at_least("boosting.leaves", self.leaves, 2)
        if self.leaves > MAX_LEAVES:
            raise ConfigError(f"boosting.leaves is {self.leaves}, but at most {MAX_LEAVES} fit.")
        if not 0.0 < self.feature_share <= 1.0:
            raise ConfigError(f"boosting.feature_share is {self.feature_share}, not in (0, 1].")


def boosting_features(values: Scores) -> tuple[Table, Scores]:
    """Features of every row, shape ``(n, f)``, and the nearest-neighbour score, shape ``(n,)``."""
    distance = knn_distance(values)
    base = squash(distance)
    sigmas = np.clip(robust_z(distance), -5.0, 50.0)
    share = (np.argsort(np.argsort(distance, kind="stable"), kind="stable") + 0.5) / len(values)
    extra = np.column_stack((base, sigmas, share)).astype(np.float32)
    return np.concatenate((point_features(values)[0], extra), axis=1), base


class BoostingDetector(LocatingDetector):
    """Classifies rows by boosted trees over `boosting_features`, blended with the kNN score.

    ``config`` is a `BoostingConfig`. Thresholds, blend and edges are chosen from scores of groups
    that the trees did not see. Without a labelled event (in the examples or in the parent) it
    answers with the nearest-neighbour score alone, and ``figures["fallback"]`` is 1.
    """

    name = "boosting"
    config_class = BoostingConfig
    trainable = True
    min_rows = 16

    def __init__(self, config: BoostingConfig | None = None) -> None:
        super().__init__(config)
        self.trees: TreeTable | None = None
        self.weight = 0.0
        """Share of the trees in the score; the rest is the nearest-neighbour score."""

    def score(self, series: Series) -> Scores:
        """Blend of the trees' probability and the nearest-neighbour score."""
        table, base = boosting_features(usable_values(series, self.min_rows))
        return self._blend(self.trees, self.weight, table, base)

    def fit(
        self,
        examples: Sequence[Example],
        parent: Self | None = None,
        *,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> dict[str, float]:
        """Grow the trees anew from all examples; ``parent`` serves where these have no event."""
        began = time.perf_counter()
        usable, tables, bases = _prepare(examples)
        self.trees, self.weight = None, 0.0
        figures: dict[str, float] = {"fallback": 1.0}
        rng = np.random.default_rng(seed)
        folds = group_folds(usable, self.config.folds, rng)
        outside = self._out_of_fold(usable, tables, folds, seed, progress)
        self.trees = self._grow(usable, tables, seed)
        held_out = bases
        if self.trees is not None:
            figures = {"fallback": 0.0}
            held_out = self._choose_blend(usable, outside, bases)
        elif parent is not None and parent.trees is not None:
            self.trees, self.weight = parent.trees, parent.weight
            held_out = [
                self._blend(self.trees, self.weight, t, b)
                for t, b in zip(tables, bases, strict=True)
            ]
        figures |= self.fit_rules(usable, held_out)
        if not usable and parent is not None and self.trees is not None:
            self.decision = parent.decision
            self.set_rules(parent.rules_to_dict())
        figures |= {
            "n_failed": float(len(examples) - len(usable)),
            "trees_weight": self.weight,
            "fit_seconds": time.perf_counter() - began,
        }
        return figures

    def _grow(
        self, examples: Sequence[Example], tables: Sequence[Table], seed: int
    ) -> TreeTable | None:
        """Trees from these examples, or ``None`` where they hold no event."""
        config: BoostingConfig = self.config
        quota = max(100, config.max_rows // max(1, len(examples)))
        rows = sample_rows(
            tables,
            examples,
            np.random.default_rng(seed),
            positives_per_series=min(config.positives_per_series, quota),
            negatives_per_series=min(config.negatives_per_series, quota),
            event_balance=config.event_balance,
            positive_share=config.positive_share,
        )
        if rows is None:
            return None
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        bins = Bins.of(rows.features)
        codes = bins.codes(rows.features)
        model = HistGradientBoostingClassifier(
            max_iter=config.trees,
            max_leaf_nodes=config.leaves,
            learning_rate=config.learning_rate,
            min_samples_leaf=config.min_rows_per_leaf,
            l2_regularization=config.l2,
            max_features=config.feature_share,
            early_stopping=False,
            random_state=seed,
        )
        # So little data gains nothing from more threads, and waiting threads slow each other down.
        with threadpool_limits(1):
            model.fit(codes, rows.anomalous, sample_weight=rows.weights)
        trees = TreeTable.from_sklearn(model, bins)
        ours, theirs = trees.probability(rows.features[:256]), model.predict_proba(codes[:256])
        if not np.allclose(ours, theirs[:, 1], rtol=0.0, atol=1e-9):
            raise DetectorError(
                "The exported trees do not predict what scikit-learn's model does.",
                hint="Install the scikit-learn version of the constraints file.",
            )
        return trees

    def _out_of_fold(
        self,
        examples: Sequence[Example],
        tables: Sequence[Table],
        folds: Sequence[int],
        seed: int,
        progress: Progress,
    ) -> list[Scores | None]:
        """Probabilities of each example by trees that did not see its group.

        ``None`` where the other groups hold no event.
        """
        out: list[Scores | None] = [None] * len(examples)
        used = sorted(set(folds))
        for step, fold in enumerate(used if len(used) > 1 else [], start=1):
            rest = [i for i, f in enumerate(folds) if f != fold]
            trees = self._grow([examples[i] for i in rest], [tables[i] for i in rest], seed)
            for i in (i for i, f in enumerate(folds) if f == fold):
                out[i] = None if trees is None else trees.probability(tables[i])
            progress({"step": float(step), "share": step / (len(used) + 1)})
        return out

    def _choose_blend(
        self,
        examples: Sequence[Example],
        outside: Sequence[Scores | None],
        bases: Sequence[Scores],
    ) -> list[Scores]:
        """Set the blend's weight to the one that is worth most out of fold; return its scores."""

        def mixed(weight: float) -> list[Scores]:
            return [
                b if p is None else _mix(p, b, weight) for p, b in zip(outside, bases, strict=True)
            ]

        def worth(weight: float) -> float:
            return self.find_rules(examples, mixed(weight))[2] - DISTRUST * abs(weight - BLENDS[0])

        if not self.config.blend:
            self.weight = 1.0
        elif all(p is None for p in outside):
            self.weight = BLENDS[0]
        else:
            self.weight = max(BLENDS, key=worth)
        return mixed(self.weight)

    @staticmethod
    def _blend(trees: TreeTable | None, weight: float, table: Table, base: Scores) -> Scores:
        return base if trees is None else _mix(trees.probability(table), base, weight)

    def save_weights(self, directory: Path) -> None:
        """Write ``blend.json`` and, where there are trees, ``trees.safetensors``."""
        from safetensors.numpy import save

        write_json(directory / BLEND, {"weight": self.weight, "trees": self.trees is not None})
        if self.trees is not None:
            write_bytes_atomic(directory / TREES, save(self.trees.arrays()))

    def load_weights(self, directory: Path) -> None:
        """The inverse of `save_weights`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        blend: dict[str, Any] = read_json(directory / BLEND)
        self.weight = float(blend["weight"])
        if blend["trees"]:
            try:
                self.trees = TreeTable.from_arrays(load((directory / TREES).read_bytes()))
            except (SafetensorError, OSError) as error:
                raise ModelFileError(f"{directory / TREES} is damaged: {error}.") from error


def _prepare(examples: Sequence[Example]) -> tuple[list[Example], list[Table], list[Scores]]:
    """Examples that can be scored, with their features and nearest-neighbour scores."""
    usable: list[Example] = []
    tables: list[Table] = []
    bases: list[Scores] = []
    for example in examples:
        try:
            values = usable_values(example.series, BoostingDetector.min_rows)
        except TsloopError:
            continue  # counted in the figures as n_failed
        table, base = boosting_features(values)
        usable.append(example)
        tables.append(table)
        bases.append(base)
    return usable, tables, bases


def _mix(probability: Scores, base: Scores, weight: float) -> Scores:
    return weight * probability + (1.0 - weight) * base
