"""How the decision rule is chosen: from labels where there are enough, else without them.

Objectives
    ``balanced`` (default)  event-F1 plus half the share of clicks saved (no worse than -1);
    ``clicks``              the share of clicks saved, ties to the better F1; where no threshold
                            pays, the rule rises above every score it has seen and stays silent;
    ``f1``                  event-F1 at any overlap.

Rules, recorded in ``Decision.rule``
    ``labels:groups``  at least 2 groups and 5 events: all series choose together;
    ``labels:time``    fewer, but events before and after a cut in time with a gap: what the
                       earlier parts choose must be no worse than the label-free rule on the later
                       ones, then all parts choose together;
    ``label-free``     everything else.

The best setting on a few labels is a matter of luck, so it is not taken. Every setting within the
larger of ``EVENT_CAUTION / events`` and ``GROUP_CAUTION / groups`` of the best counts as equally
good, and of those the one nearest to the label-free rule is chosen: few labels, or labels of few
groups, move the rule a little, many move it all the way. A setting that is not worth more than
silence (objective 0) is never chosen. What it is worth: docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tsloop.errors import EvaluationError
from tsloop.evaluation._search import EDGES, FLAGGED, FOUND, PREDICTED, Pool, Setting
from tsloop.evaluation.decision import Decision, Scores
from tsloop.intervals import Interval

__all__ = [
    "MIN_EVENTS",
    "MIN_GROUPS",
    "OBJECTIVES",
    "Decision",
    "Scores",
    "fit_decision",
    "label_free_decision",
    "tolerance",
]

OBJECTIVES = ("balanced", "clicks", "f1")
MIN_GROUPS = 2
"""Fewer groups than this say nothing about a group that was not seen."""
MIN_EVENTS = 5
EVENT_CAUTION = 2.5
GROUP_CAUTION = 0.5
"""Settings within the larger of ``EVENT_CAUTION / events`` and ``GROUP_CAUTION / groups`` count as
equally good."""

LABEL_FREE_SIGMAS = 9.0
"""More cautious than six (score 0.5): fewer clicks and a better F1 on the public collections."""
LABEL_FREE_RATIO = 0.6
LABEL_FREE_GAP = 10
MAX_FLAGGED_SHARE = 0.1
"""Anomalies are rare: a label-free rule that flags more rows than this is raised."""
MAX_FLAGGED_TIMES = 3.0
"""A fitted rule may flag that share, or this many times the rows of the true events."""

RATIOS = (1.0, 0.8, 0.6, 0.4)
GAPS = (0, 3, 10, 30)
LENGTHS = (1, 2, 4, 8)
CUT = 0.5
"""Where ``labels:time`` cuts each series; `CUT_GAP` of its rows after the cut belong to no part."""
CUT_GAP = 0.02

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def label_free_decision(
    scores: Sequence[Scores] = (), *, sigmas: float = LABEL_FREE_SIGMAS
) -> Decision:
    """The rule without labels: ``hi`` at so many robust sigmas, on the scale z / (z + 6).

    Six sigmas are a score of 0.5 and nine 0.6 (see `tsloop.signals.robust.squash`). ``scores`` (any
    number of series) only serve as a check: where more than a tenth of all rows reach ``hi``, they
    are not on that scale, and ``hi`` rises to their 90 % quantile.
    """
    if not sigmas > 0:
        raise EvaluationError(f"The label-free threshold needs sigmas > 0, got {sigmas}.")
    hi = sigmas / (sigmas + 6.0)
    if pooled := [np.asarray(s, dtype=np.float64) for s in scores if len(s)]:
        everything = np.concatenate(pooled)
        if np.mean(everything >= hi) > MAX_FLAGGED_SHARE:
            hi = max(hi, float(np.quantile(everything, 1.0 - MAX_FLAGGED_SHARE)))
    return Decision(hi=hi, lo=hi * LABEL_FREE_RATIO, merge_gap=LABEL_FREE_GAP)


def fit_decision(
    scores: Sequence[Scores],
    truths: Sequence[Sequence[Interval]],
    groups: Sequence[str],
    *,
    objective: str = "balanced",
    n_grid: int = 28,
    seed: int = 0,
) -> Decision:
    """Choose the decision for labelled series: their scores, true events and groups, in step.

    Scores of a detector that learned from these labels must be out-of-fold, or the threshold will
    be too high. Series without events take part: their false alarms count. The result depends on
    the input alone; ``seed`` is accepted for callers that pass one and changes nothing. ``n_grid``
    is the number of ``hi`` levels tried.
    """
    _check(scores, truths, groups, objective, n_grid)
    fallback = label_free_decision(scores)
    n_events = sum(len(truth) for truth in truths)
    if n_events >= MIN_EVENTS and len(set(groups)) >= MIN_GROUPS:
        caution = tolerance(n_events, len(set(groups)))
        chosen = _choose(scores, truths, objective, n_grid, caution)
        return replace(chosen, rule="labels:groups")
    earlier, later = _split_in_time(scores, truths)
    if not any(earlier[1]) or not any(later[1]):
        return fallback
    caution = tolerance(n_events, len(set(groups)))
    trial = _choose(*earlier, objective, n_grid, caution)
    pool = Pool.of(*later, max_gap=max(GAPS))
    tried = _objective(pool.counts([_setting(trial), _setting(fallback)]), pool.n_events, objective)
    if tried[0] < tried[1]:
        return fallback
    chosen = _choose(scores, truths, objective, n_grid, caution)
    return replace(chosen, rule="labels:time")


def tolerance(n_events: int, n_groups: int) -> float:
    """How much worse than the best a setting may look and still count as equally good."""
    return max(EVENT_CAUTION / n_events, GROUP_CAUTION / n_groups)


def _check(
    scores: Sequence[Scores],
    truths: Sequence[Sequence[Interval]],
    groups: Sequence[str],
    objective: str,
    n_grid: int,
) -> None:
    if objective not in OBJECTIVES:
        raise EvaluationError(
            f"Unknown threshold objective {objective!r}; it is one of {list(OBJECTIVES)}."
        )
    if not len(scores) == len(truths) == len(groups):
        raise EvaluationError(
            f"Got {len(scores)} score arrays, {len(truths)} truths and {len(groups)} groups: "
            "there must be one of each per series."
        )
    if n_grid < 2:
        raise EvaluationError(f"n_grid must be at least 2, got {n_grid}.")
    for number, (series, truth) in enumerate(zip(scores, truths, strict=True)):
        if not np.isfinite(series).all():
            raise EvaluationError(f"Series number {number} has scores that are not finite.")
        if truth and max(i.end for i in truth) >= len(series):
            raise EvaluationError(
                f"Series number {number} has a true event after its {len(series)} rows."
            )


Labelled = tuple[list[Scores], list[list[Interval]]]


def _split_in_time(
    scores: Sequence[Scores], truths: Sequence[Sequence[Interval]]
) -> tuple[Labelled, Labelled]:
    """Earlier and later part of every series; an event in the gap or across it belongs to none."""
    earlier: Labelled = ([], [])
    later: Labelled = ([], [])
    for series, truth in zip(scores, truths, strict=True):
        cut = int(len(series) * CUT)
        resume = cut + int(len(series) * CUT_GAP)
        earlier[0].append(series[:cut])
        earlier[1].append([i for i in truth if i.end < cut])
        later[0].append(series[resume:])
        later[1].append(
            [
                i.replace(start=i.start - resume, end=i.end - resume)
                for i in truth
                if i.start >= resume
            ]
        )
    return earlier, later


def _setting(decision: Decision) -> Setting:
    ratio = decision.lo / decision.hi
    return decision.hi, ratio, decision.merge_gap, decision.min_length


def _choose(
    scores: Sequence[Scores],
    truths: Sequence[Sequence[Interval]],
    objective: str,
    n_grid: int,
    caution: float,
) -> Decision:
    pool = Pool.of(scores, truths, max_gap=max(GAPS))
    prior = label_free_decision(scores)
    levels = _levels(pool, n_grid, prior.hi)
    settings = [(h, r, g, m) for h in levels for r in RATIOS for g in GAPS for m in LENGTHS]
    counts = pool.counts(settings)
    # One way to be silent is enough: a level above everything seen, not a length that nothing has.
    # And one interval over a whole series finds an event in it, but tells nobody anything.
    most = max(MAX_FLAGGED_SHARE * pool.n_rows, MAX_FLAGGED_TIMES * pool.n_true_rows)
    speaks = (counts[:, PREDICTED] > 0) & (counts[:, FLAGGED] <= most)
    kept = np.flatnonzero(speaks).tolist()
    settings = [settings[i] for i in kept] + [(levels[-1], 1.0, 0, 1)]
    counts = np.concatenate((counts[kept], np.zeros((1, counts.shape[1]), dtype=np.int64)))
    worth = _objective(counts, pool.n_events, objective)
    enough = worth.max() - caution
    near = np.flatnonzero((worth >= enough) & (worth > 0.0))
    if not len(near):
        near = np.array([len(settings) - 1])
    distance = _distance([settings[i] for i in near.tolist()], _setting(prior))
    # Equally far: the better one; still equal: the smaller gap and length, which come first.
    hi, ratio, gap, length = settings[near[np.lexsort((-worth[near], distance))[0]]]
    return Decision(hi, hi * ratio, gap, length)


def _levels(pool: Pool, n_grid: int, prior: float) -> list[float]:
    """Levels for ``hi``: where events peak, where normal rows end, a grid, the prior, silence."""
    part = max(1, n_grid // 3)
    normal = pool.normal_scores()
    candidates = [
        np.linspace(0.1, 0.95, part),
        np.array([prior]),
        np.quantile(pool.event_peaks(), np.linspace(0.02, 0.98, part)),
    ]
    if len(normal):
        candidates.append(np.quantile(normal, 1.0 - np.geomspace(0.1, 2e-4, part)))
    # Between the largest score ever seen and 1: nothing seen so far would be called an event.
    silent = max((1.0 + pool.largest) / 2.0, float(np.nextafter(pool.largest, np.inf)))
    levels = np.unique(np.round(np.concatenate(candidates), 6))
    return [*levels[(levels > 0.0) & (levels < silent)].tolist(), silent]


def _objective(counts: Counts, n_events: int, objective: str) -> Floats:
    """Worth of each setting, higher is better; ``counts`` has the shape ``(settings, 3)``."""
    found, predicted = counts[:, FOUND], counts[:, PREDICTED]
    clicks = 2 * (n_events - found) + (predicted - found) + counts[:, EDGES]
    f1 = 2.0 * found / np.maximum(predicted + n_events, 1)
    saved = 1.0 - clicks / max(2.0 * n_events, 1.0)
    if objective == "f1":
        return f1
    if objective == "clicks":
        return saved + 1e-6 * f1
    return f1 + 0.5 * np.maximum(saved, -1.0)


def _distance(settings: Sequence[Setting], prior: Setting) -> Floats:
    """How far each setting lies from the prior, rounded so that equal means equal everywhere."""
    away = _place(settings) - _place([prior])
    distance: Floats = np.sqrt((away**2).sum(axis=1))
    return distance.round(9)


def _place(settings: Sequence[Setting]) -> Floats:
    """Shape ``(n, 4)``: the settings on rulers of like scale; ``hi`` counts twice as much."""
    points = np.array(settings, dtype=np.float64)
    hi = np.clip(points[:, 0], 1e-6, 1.0 - 1e-6)
    return np.stack(
        (
            2.0 * np.log(hi / (1.0 - hi)),
            np.log(points[:, 1]),
            0.5 * np.log1p(points[:, 2]),
            0.7 * np.log(points[:, 3]),
        ),
        axis=1,
    )
