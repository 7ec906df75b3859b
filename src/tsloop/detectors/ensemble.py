"""Several detectors as one: a weighted mean of their scores."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsloop.annotations.examples import Example
from tsloop.detectors.base import Progress, no_progress
from tsloop.detectors.common import LocatingDetector
from tsloop.detectors.factory import build, check_at_least, check_choice, config_of
from tsloop.detectors.files import load_detector
from tsloop.errors import ConfigError, ModelFileError, TsloopError
from tsloop.evaluation.thresholds import OBJECTIVES
from tsloop.files import read_json, write_json
from tsloop.series.types import Series

__all__ = ["EnsembleConfig", "EnsembleDetector"]

Scores = npt.NDArray[np.float64]

WEIGHTS = "weights.json"
STEPS = 4
"""Weights are multiples of one over this."""
DISTRUST = 0.2
"""Weights chosen on few labels are partly luck: moving all weight between members must be worth so
much more than equal weights (see `tsloop.detectors.edges.edge_worth`)."""


@dataclass(frozen=True)
class EnsembleConfig:
    """Settings of `EnsembleDetector`."""

    members: list[str] = field(default_factory=lambda: ["knn", "boosting", "residual"])
    """Detectors, by name or with settings: knn, adtk:method=seasonal …"""
    objective: str = "balanced"
    """What the threshold is chosen for: balanced, clicks or f1."""
    refine_edges: bool = True
    """Move the edges of found intervals where that pays on the labelled series."""

    def __post_init__(self) -> None:
        check_choice("ensemble.objective", self.objective, OBJECTIVES)
        check_at_least("len(ensemble.members)", len(self.members), 1)
        if len(set(self.members)) != len(self.members):
            raise ConfigError(f"ensemble.members names a detector twice: {self.members}.")


class EnsembleDetector(LocatingDetector):
    """The mean of the members' scores, with weights chosen on scores of groups left out.

    All members score on one scale (0.5 is their own threshold). Ranks are not averaged: some row
    of a clean series always ranks first. A weight may be 0; without labels all are equal. A series
    that one member cannot score is scored by the others.
    """

    name = "ensemble"
    config_class = EnsembleConfig
    trainable = True

    def __init__(self, config: EnsembleConfig | None = None) -> None:
        super().__init__(config)
        self.members = [_member(text) for text in self.config.members]
        self.weights = [1.0 / len(self.members)] * len(self.members)

    def score(self, series: Series) -> Scores:
        """Weighted mean over the members that can score the series; it fails where none can."""
        found: list[tuple[float, Scores]] = []
        reasons: list[str] = []
        for member, weight in zip(self.members, self.weights, strict=True):
            if weight > 0.0:
                try:
                    found.append((weight, member.score(series)))
                except TsloopError as error:
                    reasons.append(f"{member.name}: {error}")
        if not found:
            raise TsloopError(f"No member could score series {series.id!r}. {' '.join(reasons)}")
        return _mean([scores for _, scores in found], [weight for weight, _ in found])

    def fit(
        self,
        examples: Sequence[Example],
        parent: Self | None = None,
        *,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> dict[str, float]:
        """Fit every member (from the parent's member of the same place), then weights and rules."""
        began = time.perf_counter()
        figures: dict[str, float] = {}
        old = [None] * len(self.members) if parent is None else parent.members
        for number, (member, before) in enumerate(zip(self.members, old, strict=False), start=1):
            fitted = member.fit(
                examples, before if type(before) is type(member) else None, seed=seed
            )
            figures |= {f"{member.name}_{key}": value for key, value in fitted.items()}
            progress({"step": float(number), "share": number / len(self.members)})
        together = self._held_out(examples)
        used = [example for example, _ in together]
        self.weights = self._choose_weights(used, [scores for _, scores in together])
        mixed = [_mean(scores, self.weights) for _, scores in together]
        figures |= self.fit_rules(used, mixed)
        for member, weight in zip(self.members, self.weights, strict=True):
            figures[f"{member.name}_weight"] = weight
        figures["n_failed"] = float(len(examples) - len(used))
        figures["fit_seconds"] = time.perf_counter() - began
        return figures

    def _choose_weights(
        self, examples: Sequence[Example], scores: Sequence[Sequence[Scores]]
    ) -> list[float]:
        """The weights, in steps of a quarter, that are worth most; equal ones without an event."""
        n = len(self.members)
        equal = [1.0 / n] * n
        if n == 1 or not any(example.intervals for example in examples):
            return equal

        def worth(weights: Sequence[float]) -> float:
            mixed = [_mean(some, weights) for some in scores]
            step = sum(abs(w - e) for w, e in zip(weights, equal, strict=True)) / 2.0
            return self.find_rules(examples, mixed)[2] - DISTRUST * step

        grid = [
            [part / STEPS for part in parts]
            for parts in itertools.product(range(STEPS + 1), repeat=n)
            if sum(parts) == STEPS
        ]
        return max([equal, *grid], key=worth)

    def _held_out(self, examples: Sequence[Example]) -> list[tuple[Example, list[Scores]]]:
        """Examples that every member could score, with the members' held-out scores."""
        by_member = [{id(e): scores for e, scores in member.held_out} for member in self.members]
        return [
            (example, [known[id(example)] for known in by_member])
            for example in examples
            if all(id(example) in known for known in by_member)
        ]

    def save_weights(self, directory: Path) -> None:
        """Write ``weights.json`` and a complete directory for each member."""
        write_json(directory / WEIGHTS, {"weights": self.weights})
        for number, member in enumerate(self.members):
            place = directory / f"member-{number}"
            place.mkdir()
            member.save(place)

    def load_weights(self, directory: Path) -> None:
        """The inverse of `save_weights`."""
        data: dict[str, Any] = read_json(directory / WEIGHTS)
        self.weights = [float(weight) for weight in data["weights"]]
        if len(self.weights) != len(self.members):
            raise ModelFileError(
                f"{directory} has {len(self.weights)} weights for {len(self.members)} members."
            )
        for number, expected in enumerate(self.members):
            member = load_detector(directory / f"member-{number}")
            if type(member) is not type(expected) or not isinstance(member, LocatingDetector):
                raise ModelFileError(
                    f"Member {number} of {directory} is {member.name!r}, not {expected.name!r}."
                )
            self.members[number] = member


def _member(text: str) -> LocatingDetector:
    member = build(config_of(text))
    if not isinstance(member, LocatingDetector) or isinstance(member, EnsembleDetector):
        raise ConfigError(
            f"{text!r} cannot be a member of an ensemble: it offers no held-out scores.",
            hint="Use knn, boosting, residual, forest or adtk.",
        )
    return member


def _mean(scores: Sequence[Scores], weights: Sequence[float]) -> Scores:
    total = sum(weights)
    mixed = sum((w / total) * s for w, s in zip(weights, scores, strict=True))
    # The mean of numbers in [0, 1] lies there too, but for the rounding of the weights.
    return np.clip(np.asarray(mixed, dtype=np.float64), 0.0, 1.0)
