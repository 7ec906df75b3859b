"""Score the predictions of an iteration on gold: variants, their parents, trivial baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tsloop.annotations.gold import GoldSet
from tsloop.detectors.predictions import read_all_scores, read_detections
from tsloop.errors import EvaluationError
from tsloop.evaluation.baselines import predict_nothing, random_scores, value_threshold
from tsloop.evaluation.points import pr_curve
from tsloop.evaluation.scorecard import Scorecard, score_series
from tsloop.intervals import Detection, to_mask
from tsloop.loop.gate import GateConfig, Verdict, evaluate_gate
from tsloop.series.store import SeriesStore
from tsloop.series.types import Series

__all__ = ["Assessment", "assess"]

SCHEMA = "tsloop.scorecard/1"

Answer = tuple[Detection, npt.NDArray[Any] | None]


@dataclass
class Assessment:
    """Scorecards of one iteration on one version of gold."""

    gold: dict[str, Any]
    variants: dict[str, Scorecard] = field(default_factory=dict)
    parents: dict[str, Scorecard] = field(default_factory=dict)
    baselines: dict[str, Scorecard] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``reports/<it>/scorecard.json``."""
        return {
            "schema": SCHEMA,
            "gold": self.gold,
            "variants": {name: card.to_dict() for name, card in self.variants.items()},
            "parents": {name: card.to_dict() for name, card in self.parents.items()},
            "baselines": {name: card.to_dict() for name, card in self.baselines.items()},
            "verdicts": {name: verdict.to_dict() for name, verdict in self.verdicts.items()},
        }


def assess(
    store: SeriesStore,
    gold: GoldSet,
    predictions: Mapping[str, Path],
    parents: Mapping[str, Path],
    *,
    gate: GateConfig,
    n_bootstrap: int,
    seed: int,
    progress: Callable[[int, int, str], None],
) -> Assessment:
    """Score every variant and its parent on all gold series, and let the gate compare them.

    ``gold`` must be in rows of the stored series (`tsloop.annotations.gold.fit_gold`).
    ``predictions`` and ``parents`` map a variant to its prediction directory. A gold series that a
    directory does not hold is an error: a missing answer must not look like a good one.
    """
    result = Assessment(_describe_gold(gold))
    total = len(predictions) + len(parents) + 3
    done = 0

    def card(answers: Callable[[Series], Answer], what: str) -> Scorecard:
        nonlocal done
        done += 1
        progress(done, total, what)
        return _scorecard(store, gold, answers, n_bootstrap, seed)

    for name, directory in predictions.items():
        result.variants[name] = card(_answers(directory), name)
        result.curves[name] = _curve(store, gold, directory)
    for name, directory in parents.items():
        result.parents[name] = card(_answers(directory), f"parent {name}")
    result.baselines = {
        "nothing": card(lambda series: predict_nothing(len(series)), "nothing"),
        "random": card(lambda series: random_scores(len(series), seed), "random"),
        "value": card(value_threshold, "value"),
    }
    if gold.records:
        for name, own in result.variants.items():
            incumbent = result.parents.get(name)
            result.verdicts[name] = evaluate_gate(own, incumbent, gate, baselines=result.baselines)
    return result


def _describe_gold(gold: GoldSet) -> dict[str, Any]:
    return {
        "version": gold.version,
        "sha256": gold.sha256,
        "n_series": len(gold.records),
        "n_events": sum(len(record.intervals) for record in gold.records.values()),
    }


def _answers(directory: Path) -> Callable[[Series], Answer]:
    detections, scores = read_detections(directory), read_all_scores(directory)

    def answer(series: Series) -> Answer:
        if series.id not in detections:
            raise EvaluationError(
                f"{directory} has no answer for gold series {series.id!r}.",
                hint="Run: dvc repro",
            )
        return detections[series.id], scores[series.id]

    return answer


def _scorecard(
    store: SeriesStore,
    gold: GoldSet,
    answers: Callable[[Series], Answer],
    n_bootstrap: int,
    seed: int,
) -> Scorecard:
    scores = []
    for series_id, record in sorted(gold.records.items()):
        series = store[series_id]
        if record.series_sha256 != series.sha256:
            raise EvaluationError(
                f"Gold of series {series_id!r} was labelled on other content than the store has.",
                hint="Take it through `tsloop.annotations.gold.fit_gold` first.",
            )
        detection, values = answers(series)
        scores.append(
            score_series(
                series_id,
                series.group,
                list(record.intervals),
                detection,
                values,
                len(series),
                labels=True,
            )
        )
    return Scorecard.of(scores, n_bootstrap=n_bootstrap, seed=seed)


def _curve(store: SeriesStore, gold: GoldSet, directory: Path) -> list[tuple[float, float, float]]:
    """Threshold, precision, recall over the rows of all gold series that have scores."""
    masks, scores = [], []
    found = read_all_scores(directory)
    for series_id, record in sorted(gold.records.items()):
        values = found[series_id]
        if values is not None:
            masks.append(to_mask(record.intervals, store.entries[series_id].n_rows))
            scores.append(values)
    return pr_curve(scores, masks) if scores and any(mask.any() for mask in masks) else []
