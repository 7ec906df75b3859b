"""Mixing what the model says with the plain nearest-neighbour evidence, on one scale per series.

The network points at the rows that changed; people mark a stretch around them. So its log-odds are
spread first: the largest within ``spread`` rows, smoothed over as many. On the pool series of seven
public collections that raises the base's mean VUS-PR from .45 to .55, and that of the mix from .57
to .60 (docs/experiments.md).

With few labels the tuned model may be wrong where the evidence alone is right, so the score is a
mix in log-odds, ``(1 - w) * model + w * evidence``. Both are chosen on out-of-fold scores of the
labelled series, and have to outdo a prior (`ChattsConfig.tuned_neighbours`, ``tuned_spread``): a
handful of events must not throw them about.

A threshold that fits one machine drowns another in false alarms, because some series are restless
all the time. So both parts are lowered by how high they *usually* peak in this series: the 85 %
quantile of the maxima of blocks of 96 rows, where it exceeds a quiet level. Long events leave that
quantile alone as long as fewer than one block in seven holds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from tsloop.intervals import Interval

__all__ = [
    "Blend",
    "best_event_f1",
    "choose_blend",
    "event_f1_curve",
    "evidence_logit",
    "mix",
    "spread_logit",
    "usual_peak",
]

Floats = npt.NDArray[np.float64]

SIGMAS_AT_HALF = 6.0
"""Robust sigmas of the neighbour distance that count as even odds (as `signals.robust.squash`)."""

LIMIT = 8.0
"""Log-odds beyond this say nothing more."""

BLOCK = 96
MIN_BLOCKS = 8
PEAK_QUANTILE = 0.85
QUIET_MODEL = -2.0
QUIET_EVIDENCE = 0.0
OFFSET = -0.2
"""Mixed log-odds of even odds: found on labelled development series, for use without labels."""

GAP = 10
MARGIN = 0.02
"""What each step away from the prior must be worth in event-F1."""

_THRESHOLDS = 64


def evidence_logit(knn_z: Floats) -> Floats:
    """Log-odds of ``z / (z + 6)``, at least -3 and at most `LIMIT`."""
    return np.clip(np.log(np.maximum(knn_z, 1e-6) / SIGMAS_AT_HALF), -3.0, LIMIT)


def usual_peak(logit: Floats) -> float:
    """How high the log-odds peak in most blocks of the series; -inf with fewer than 8 blocks."""
    blocks = len(logit) // BLOCK
    if blocks < MIN_BLOCKS:
        return -np.inf
    maxima = logit[: blocks * BLOCK].reshape(blocks, BLOCK).max(axis=1)
    return float(np.quantile(maxima, PEAK_QUANTILE))


@dataclass(frozen=True, slots=True)
class Blend:
    """``weight`` of the evidence in [0, 1] and ``spread`` of the model's log-odds in rows."""

    weight: float = 0.7
    spread: int = 17


def spread_logit(logit: Floats, rows: int) -> Floats:
    """The largest log-odds within ``rows`` rows (centred), smoothed over as many; 1: as it is."""
    if rows <= 1:
        return logit
    found: Floats = uniform_filter1d(maximum_filter1d(logit, rows), rows)
    return found


def mix(model_logit: Floats, knn_z: Floats, blend: Blend) -> Floats:
    """Scores in (0, 1): see the module text; weight 0 is the model alone."""
    model = spread_logit(np.clip(model_logit, -LIMIT, LIMIT), blend.spread)
    model = model - max(usual_peak(model) - QUIET_MODEL, 0.0)
    evidence = evidence_logit(knn_z)
    evidence = evidence - max(usual_peak(evidence) - QUIET_EVIDENCE, 0.0)
    logit = (1.0 - blend.weight) * model + blend.weight * evidence - OFFSET
    scores: Floats = 1.0 / (1.0 + np.exp(-logit))
    return scores


def event_f1_curve(
    scores: Sequence[Floats], truths: Sequence[Sequence[Interval]], slack: int = 16
) -> Floats:
    """Event-F1 over a grid of thresholds, shape ``(64,)``, by a rule that is cheap to count.

    An event is found where its largest score reaches the threshold; a false event is an upward
    crossing outside all events (and ``slack`` rows around them), more than `GAP` rows after the
    last row above the threshold.
    """
    pooled = np.concatenate(scores)
    grid = np.unique(np.quantile(pooled, 1.0 - np.geomspace(1e-5, 0.3, _THRESHOLDS)))
    found, false = np.zeros(len(grid)), np.zeros(len(grid))
    n_events = sum(len(truth) for truth in truths)
    for score, truth in zip(scores, truths, strict=True):
        quiet = score.copy()
        for interval in truth:
            peak = score[interval.start : interval.end + 1].max()
            found[: np.searchsorted(grid, peak, side="right")] += 1
            quiet[max(0, interval.start - slack) : interval.end + slack + 1] = -1.0
        padded = np.concatenate((np.full(GAP, -1.0), quiet[:-1]))
        before = np.lib.stride_tricks.sliding_window_view(padded, GAP).max(axis=1)
        rising = quiet > before
        upper = np.searchsorted(grid, quiet[rising], side="right")
        lower = np.searchsorted(grid, before[rising], side="right")
        steps = np.bincount(lower, minlength=len(grid) + 1) - np.bincount(
            upper, minlength=len(grid) + 1
        )
        false += np.cumsum(steps)[: len(grid)]
    if n_events == 0:
        return np.zeros(len(grid))
    curve: Floats = 2 * found / (found + false + n_events)
    return curve


def choose_blend(
    model_logits: Sequence[Floats],
    knn_z: Sequence[Floats],
    truths: Sequence[Sequence[Interval]],
    weights: Sequence[float],
    spreads: Sequence[int],
    prior: Blend,
) -> tuple[Blend, float]:
    """The blend with the best event-F1, and that figure.

    The figure is the mean of the five best neighbouring thresholds (a lone peak is luck). Each
    step away from ``prior`` in the list of weights or of spreads costs `MARGIN`, so that a tie
    keeps the prior.
    """
    weights = sorted({*weights, prior.weight})
    spreads = sorted({*spreads, prior.spread})
    home = weights.index(prior.weight), spreads.index(prior.spread)
    best, best_worth, best_figure = prior, -np.inf, 0.0
    for i, weight in enumerate(weights):
        for j, spread in enumerate(spreads):
            blend = Blend(weight, spread)
            scores = [mix(m, z, blend) for m, z in zip(model_logits, knn_z, strict=True)]
            figure = best_event_f1(scores, truths)
            steps = abs(i - home[0]) + abs(j - home[1])
            worth = figure - MARGIN * steps - 1e-9 * steps
            if worth > best_worth:
                best, best_worth, best_figure = blend, worth, figure
    return best, best_figure


def best_event_f1(scores: Sequence[Floats], truths: Sequence[Sequence[Interval]]) -> float:
    """The best of `event_f1_curve`, smoothed over five thresholds: a lone peak is luck."""
    return _smooth_best(event_f1_curve(scores, truths))


def _smooth_best(curve: Floats) -> float:
    width = min(5, len(curve))
    return float(np.convolve(curve, np.ones(width) / width, mode="valid").max())
