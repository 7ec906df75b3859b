"""How good a detector is on a set of series with known truth.

`score_series` boils one series down to plain numbers, `Scorecard` pools them: events, rows and
clicks are added up over series, ranking metrics are averaged over the series that have an anomaly.
A series on which the detector failed stays in every denominator: its events are missed, its ranking
metrics are zero, and it is not counted as a clean series without a false alarm. A figure that has
no meaning is left out of ``metrics`` and explained in ``undefined``; there is no NaN.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tsloop.errors import EvaluationError
from tsloop.evaluation.affiliation import affiliation
from tsloop.evaluation.bootstrap import MIN_GROUPS, group_bootstrap
from tsloop.evaluation.clicks import Clicks, count_clicks
from tsloop.evaluation.matching import match_events
from tsloop.evaluation.measures import COLUMNS, MEASURES, NO_POSITIVES
from tsloop.evaluation.points import auc_pr, best_point_f1, point_counts, pr_curve
from tsloop.evaluation.vus import vus_pr, vus_window
from tsloop.intervals import Detection, Interval, Status, to_mask

__all__ = ["Scorecard", "SeriesScore", "count_table", "pr_curve", "score_series"]

Scores = npt.NDArray[np.floating[Any]]

LABEL_COLUMNS = ("n_events", "n_found", "n_predicted", "n_right")


@dataclass(frozen=True)
class SeriesScore:
    """Plain numbers of one series; ``counts`` holds every column of the measures but ``n_series``.

    ``labels`` maps a label to its true events, how many of them were found (under any label), its
    predicted events, and how many of those met a true event. ``truth`` is a fingerprint of the true
    events and the number of rows: scores of different truths are never compared.
    """

    series_id: str
    group: str
    status: str
    n_rows: int
    truth: str
    counts: dict[str, float]
    labels: dict[str, list[int]] = field(default_factory=dict)
    clicks: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(**data)


def score_series(
    series_id: str,
    group: str,
    truth: Sequence[Interval],
    detection: Detection,
    scores: Scores | None,
    n_rows: int,
    *,
    labels: bool = False,
) -> SeriesScore:
    """Compare a detection (and its scores, one per row) with the true events of a series.

    ``labels`` counts a click for every wrong label. ``scores`` may be ``None`` where the detector
    failed; of a detector that answers without scores, the ranking metrics are undefined.
    """
    _check(series_id, truth, detection, scores, n_rows)
    found = list(detection.intervals)
    failed = detection.status is Status.FAILED
    matching = match_events(truth, found)
    clicks = count_clicks(truth, found, labels=labels, matching=matching)
    counts = dict.fromkeys(COLUMNS[1:], 0.0) | {
        "n_failed": float(failed),
        "n_events": float(len(truth)),
        "n_predicted": float(len(found)),
        "found": float(len(matching.pairs)),
        "found_iou30": float(len(match_events(truth, found, 0.3).pairs)),
        "found_iou50": float(len(match_events(truth, found, 0.5).pairs)),
        "label_right": float(sum(truth[t].label == found[p].label for t, p in matching.pairs)),
        "clicks": float(clicks.total),
    }
    mask = to_mask(truth, n_rows)
    rows = point_counts(mask, to_mask(found, n_rows))
    counts |= {
        "point_hits": float(rows.hits),
        "point_false": float(rows.false),
        "point_missed": float(rows.missed),
    }
    if truth:
        counts |= _ranking(mask, scores, failed) | _affiliation(truth, found, n_rows)
    elif not failed:
        counts |= {"n_clean": 1.0, "clean_alarms": float(len(found))}
    return SeriesScore(
        series_id,
        group,
        str(detection.status),
        n_rows,
        _fingerprint(truth, n_rows),
        counts,
        _label_counts(truth, found, matching.pairs),
        dataclasses.asdict(clicks),
    )


def _check(
    series_id: str,
    truth: Sequence[Interval],
    detection: Detection,
    scores: Scores | None,
    n_rows: int,
) -> None:
    for what, intervals in (("true", truth), ("predicted", detection.intervals)):
        if intervals and (last := max(i.end for i in intervals)) >= n_rows:
            raise EvaluationError(
                f"Series {series_id!r} has {n_rows} rows, but a {what} event ends at row {last}.",
                hint="Was it predicted or labelled on another version of the series?",
            )
    if scores is not None and np.shape(scores) != (n_rows,):
        raise EvaluationError(
            f"Series {series_id!r} has {n_rows} rows, but its scores have the shape "
            f"{np.shape(scores)}.",
            hint="Predict again: dvc repro.",
        )


def _ranking(mask: npt.NDArray[np.bool_], scores: Scores | None, failed: bool) -> dict[str, float]:
    if failed:
        return {"n_ranked": 1.0}  # and zero in every ranking metric
    if scores is None:
        return {"n_unscored": 1.0}
    return {
        "n_ranked": 1.0,
        "vus_pr": vus_pr(mask, scores, vus_window(len(mask))),
        "auc_pr": auc_pr(mask, scores),
        "point_best_f1": best_point_f1(mask, scores),
    }


def _affiliation(
    truth: Sequence[Interval], found: Sequence[Interval], n_rows: int
) -> dict[str, float]:
    near = affiliation(truth, found, n_rows)
    counts = {"n_recall": 1.0, "affiliation_recall": near.recall}
    if near.precision is not None:
        counts |= {"n_precision": 1.0, "affiliation_precision": near.precision}
    return counts


def _label_counts(
    truth: Sequence[Interval], found: Sequence[Interval], pairs: Iterable[tuple[int, int]]
) -> dict[str, list[int]]:
    names = sorted({i.label for i in truth} | {i.label for i in found})
    table = {name: [0] * len(LABEL_COLUMNS) for name in names}
    for event in truth:
        table[event.label][0] += 1
    for event in found:
        table[event.label][2] += 1
    for t, p in pairs:
        table[truth[t].label][1] += 1
        table[found[p].label][3] += 1
    return table


def _fingerprint(truth: Sequence[Interval], n_rows: int) -> str:
    events = sorted((i.start, i.end, i.label) for i in truth)
    return hashlib.sha256(json.dumps([n_rows, events]).encode()).hexdigest()[:16]


def count_table(series: Sequence[SeriesScore]) -> npt.NDArray[np.float64]:
    """Shape ``(n_series, len(COLUMNS))``: what the measures and the bootstrap work on."""
    rows = [[1.0, *(score.counts[name] for name in COLUMNS[1:])] for score in series]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(COLUMNS))


@dataclass(frozen=True)
class Scorecard:
    """Pooled figures, what is undefined and why, bootstrap intervals, and their parts.

    ``metrics`` maps a figure to a finite number, ``undefined`` a missing one to its reason (the key
    ``intervals`` says why there are none), ``intervals`` to the 95 % bounds over groups.
    ``per_label`` has recall by the true label and precision by the predicted one, ``per_group`` the
    figures of each group, ``clicks`` the kinds of work that the clicks are made of.
    """

    metrics: dict[str, float]
    undefined: dict[str, str]
    intervals: dict[str, tuple[float, float]]
    per_label: dict[str, dict[str, float]]
    per_group: dict[str, dict[str, float]]
    clicks: Clicks
    series: tuple[SeriesScore, ...]

    @classmethod
    def of(cls, series: Sequence[SeriesScore], n_bootstrap: int = 1000, seed: int = 0) -> Self:
        """Pool the series; ``n_bootstrap=0`` leaves the intervals out."""
        ordered = tuple(sorted(series, key=lambda s: (s.series_id, s.truth)))
        table = count_table(ordered)
        metrics, undefined = _figures(table)
        groups = [score.group for score in ordered]
        intervals, reason = _intervals(table, groups, n_bootstrap, seed)
        if reason:
            undefined["intervals"] = reason
        per_group = {
            name: _figures(table[[group == name for group in groups]])[0]
            for name in sorted(set(groups))
        }
        clicks = sum((Clicks(**score.clicks) for score in ordered), Clicks())
        return cls(metrics, undefined, intervals, _per_label(ordered), per_group, clicks, ordered)

    @property
    def truth(self) -> tuple[tuple[str, str, str], ...]:
        """What was scored: (series id, group, fingerprint of the truth) of every series."""
        return tuple((s.series_id, s.group, s.truth) for s in self.series)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "metrics": self.metrics,
            "undefined": self.undefined,
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "per_label": self.per_label,
            "per_group": self.per_group,
            "clicks": dataclasses.asdict(self.clicks),
            "series": [score.to_dict() for score in self.series],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(
            dict(data["metrics"]),
            dict(data["undefined"]),
            {name: (low, high) for name, (low, high) in data["intervals"].items()},
            {name: dict(figures) for name, figures in data["per_label"].items()},
            {name: dict(figures) for name, figures in data["per_group"].items()},
            Clicks(**data["clicks"]),
            tuple(SeriesScore.from_dict(score) for score in data["series"]),
        )


def _figures(table: npt.NDArray[np.float64]) -> tuple[dict[str, float], dict[str, str]]:
    sums = table.sum(axis=0, keepdims=True)
    unscored = int(sums[0, COLUMNS.index("n_unscored")])
    metrics, undefined = {}, {}
    for name, measure in MEASURES.items():
        value = float(measure(sums)[0])
        if np.isfinite(value):
            metrics[name] = value
        elif unscored and name in ("vus_pr", "auc_pr", "point_best_f1"):
            undefined[name] = f"undefined: {unscored} series have no scores"
        else:
            undefined[name] = measure.undefined
    return metrics, undefined


def _intervals(
    table: npt.NDArray[np.float64], groups: Sequence[str], n_bootstrap: int, seed: int
) -> tuple[dict[str, tuple[float, float]], str]:
    """Bounds of every figure that has some, or the reason why there are none."""
    if not n_bootstrap:
        return {}, "not computed: n_bootstrap is 0"
    n_groups = len(set(groups))
    if n_groups < MIN_GROUPS:
        return {}, f"undecided: {n_groups} groups, at least {MIN_GROUPS} are needed"
    bounds = {}
    for name, measure in MEASURES.items():
        if measure.interval:
            estimate = group_bootstrap(table, groups, measure, n_bootstrap=n_bootstrap, seed=seed)
            if estimate.low is not None and estimate.high is not None:
                bounds[name] = (estimate.low, estimate.high)
    return bounds, "" if bounds else NO_POSITIVES


def _per_label(series: Sequence[SeriesScore]) -> dict[str, dict[str, float]]:
    sums: dict[str, list[int]] = {}
    for score in series:
        for name, counts in score.labels.items():
            before = sums.get(name, [0] * len(LABEL_COLUMNS))
            sums[name] = [a + b for a, b in zip(before, counts, strict=True)]
    table = {}
    for name in sorted(sums):
        figures = {c: float(n) for c, n in zip(LABEL_COLUMNS, sums[name], strict=True)}
        if figures["n_events"]:
            figures["event_recall"] = figures["n_found"] / figures["n_events"]
        if figures["n_predicted"]:
            figures["event_precision"] = figures["n_right"] / figures["n_predicted"]
        table[name] = figures
    return table
