"""What the detectors of this room share: decision, edges and labels are fitted in one place."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsloop.annotations.examples import Example
from tsloop.detectors.base import Detector, Progress, no_progress
from tsloop.detectors.edges import EdgeRule, edge_worth, fit_edges
from tsloop.detectors.files import read_manifest, unfitted, write_manifest
from tsloop.detectors.labelling import LabelRule
from tsloop.errors import DetectorError, ModelFileError, TsloopError
from tsloop.evaluation.thresholds import Decision, fit_decision, label_free_decision
from tsloop.files import read_json, write_json
from tsloop.intervals import Interval
from tsloop.series.types import Series

__all__ = ["LocatingDetector", "SignalDetector", "usable_values"]

Scores = npt.NDArray[np.float64]
STATE = "state.json"
MIN_EDGE_EVENTS = 3
"""With fewer labelled events the edge rule keeps its defaults."""


def usable_values(series: Series, min_rows: int) -> Scores:
    """The values with gaps bridged; too short or all missing is an error, never a quiet zero."""
    present = int(np.count_nonzero(~np.isnan(series.values)))
    if present < min_rows and len(series) and present:
        raise DetectorError(
            f"Series {series.id!r} has {present} values: this detector needs at least {min_rows}."
        )
    if not len(series):
        raise DetectorError(f"Series {series.id!r} has no rows: there is nothing to score.")
    return series.filled()


class LocatingDetector(Detector):
    """A detector with a fitted decision, an edge rule and a label rule.

    The configuration has ``objective`` (see `tsloop.evaluation.thresholds`) and ``refine_edges``.
    """

    def __init__(self, config: Any = None) -> None:
        self.config = self.config_class() if config is None else config
        self.decision: Decision = label_free_decision()
        self.edges: EdgeRule | None = EdgeRule() if self.config.refine_edges else None
        self.labels = LabelRule()
        self.held_out: list[tuple[Example, Scores]] = []
        """After `fit`: the examples that could be scored, with scores that did not learn from
        their group. Not saved."""

    def describe(
        self, series: Series, scores: Scores, intervals: Sequence[Interval]
    ) -> Sequence[Interval]:
        """Refined edges, labels and reasons."""
        values = series.filled()
        return self.labels.describe(values, self.refine(values, scores, intervals))

    def refine(
        self, values: Scores, scores: Scores, intervals: Sequence[Interval]
    ) -> Sequence[Interval]:
        """The intervals with their edges moved by the edge rule; overlaps are joined."""
        if self.edges is None:
            return intervals
        return [
            part.replace(score=float(scores[part.start : part.end + 1].max()))
            for part in self.edges.apply(values, intervals)
        ]

    def fit_rules(self, examples: Sequence[Example], scores: Sequence[Scores]) -> dict[str, float]:
        """Choose decision, edges and labels from examples and their (out-of-fold) scores.

        Without examples everything returns to the label-free rules. Returns the figures of `fit`.
        """
        self.held_out = list(zip(examples, scores, strict=True))
        if not examples:
            self.decision = label_free_decision()
            self.edges = EdgeRule() if self.config.refine_edges else None
            self.labels = LabelRule()
            return _figures(examples, self.decision)
        self.decision, self.edges, _ = self.find_rules(examples, scores)
        values = [example.series.filled() for example in examples]
        self.labels = LabelRule.fit(examples, values)
        return _figures(examples, self.decision)

    def find_rules(
        self, examples: Sequence[Example], scores: Sequence[Scores]
    ) -> tuple[Decision, EdgeRule | None, float]:
        """Decision and edge rule for examples (at least one) and their scores.

        The last value is what both are worth on these examples: see
        `tsloop.detectors.edges.edge_worth`.
        """
        values = [example.series.filled() for example in examples]
        truths = [list(example.intervals) for example in examples]
        groups = [example.series.group for example in examples]
        decision = fit_decision(scores, truths, groups, objective=self.config.objective)
        found = [decision.apply(s) for s in scores]
        edges: EdgeRule | None = None
        if self.config.refine_edges:
            enough = sum(map(len, truths)) >= MIN_EDGE_EVENTS and any(found)
            edges = fit_edges(values, found, truths) if enough else EdgeRule()
        return decision, edges, edge_worth(edges, values, found, truths)

    def rules_to_dict(self) -> dict[str, Any]:
        """Edge rule and label rule as plain values (the decision is in ``detector.json``)."""
        return {
            "edges": None if self.edges is None else self.edges.to_dict(),
            "labels": self.labels.to_dict(),
        }

    def set_rules(self, data: Mapping[str, Any]) -> None:
        """The inverse of `rules_to_dict`."""
        edges = data["edges"]
        self.edges = None if edges is None else EdgeRule.from_dict(edges)
        self.labels = LabelRule.from_dict(data["labels"])

    def save(self, directory: Path) -> None:
        """Write ``state.json``, what `save_weights` adds, and ``detector.json`` over both."""
        write_json(directory / STATE, self.rules_to_dict())
        self.save_weights(directory)
        write_manifest(self, directory)

    def save_weights(self, directory: Path) -> None:
        """Write further files; the default has none."""

    def load_weights(self, directory: Path) -> None:
        """Read what `save_weights` wrote, after its hashes were checked."""

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote; see `tsloop.detectors.files` for what is refused."""
        detector = unfitted(read_manifest(directory, cls))
        if not isinstance(detector, cls):  # pragma: no cover - read_manifest has checked it
            raise ModelFileError(f"{directory} does not hold a {cls.name!r} detector.")
        try:
            detector.set_rules(read_json(directory / STATE))
            detector.load_weights(directory)
        except ModelFileError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, TsloopError) as error:
            raise ModelFileError(f"{directory} is damaged: {error!r}.") from error
        return detector


class SignalDetector(LocatingDetector):
    """A detector whose scores need no labels: `fit` chooses decision, edges and labels only."""

    @abstractmethod
    def score(self, series: Series) -> Scores:
        """Anomaly score per row, shape ``(n,)``, in [0, 1]."""

    def fit(
        self,
        examples: Sequence[Example],
        parent: Self | None = None,
        *,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> dict[str, float]:
        """Choose the rules from all examples (also replayed ones); ``parent`` has nothing to add.

        Examples that cannot be scored are left out and counted in ``n_failed``.
        """
        began = time.perf_counter()
        usable: list[Example] = []
        scores: list[Scores] = []
        for number, example in enumerate(examples, start=1):
            try:
                scores.append(self.score(example.series))
                usable.append(example)
            except TsloopError:
                pass  # counted below: n_failed is what is missing
            progress({"step": float(number), "share": number / len(examples)})
        figures = self.fit_rules(usable, scores)
        figures["n_failed"] = float(len(examples) - len(usable))
        figures["fit_seconds"] = time.perf_counter() - began
        return figures


def _figures(examples: Sequence[Example], decision: Decision) -> dict[str, float]:
    return {
        "n_examples": float(len(examples)),
        "n_events": float(sum(len(example.intervals) for example in examples)),
        "n_groups": float(len({example.series.group for example in examples})),
        "threshold_hi": decision.hi,
        "threshold_lo": decision.lo,
        "label_free": float(decision.rule == "label-free"),
    }
