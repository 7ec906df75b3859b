"""What to review next, and with which probability it was chosen.

``random``       everything alike; the only kind before there is a model
``uncertainty``  series with an event whose score lies closest to the decision threshold
``margin``       series whose weakest accepted and strongest rejected event lie closest together
``diversity``    series least like those that are labelled or chosen already
``mixed``        mostly uncertain ones, spread over the groups, and a share of random audits

On open data no strategy beat random by more than the noise between seeds, and the targeted ones
choose series with up to three times as many events: compare strategies by the work they cost (each
item says how many ``clicks`` to expect), never by the number of series. What always pays is the
random share, because it alone tells how many events the model misses.

**Probabilities.** An item chosen for its score has probability 1: it stands for itself. A random
item has the probability of the draw among the candidates left over, and stands for ``1 / p`` of
them. So ``sum(y / p)`` over the queue is an unbiased estimate of the total of ``y`` over the pool
whenever there is a random share, also when reviewers stop early, since audits are spread evenly
over the ranks and drawn in random order (then use only the audits done, by their share).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.errors import AnnotationError, ConfigError
from tsloop.evaluation.decision import runs_above
from tsloop.intervals import Detection, Status
from tsloop.loop.queues import QueueItem, read_queue, write_queue

__all__ = [
    "SAMPLER_KINDS",
    "Candidate",
    "QueueItem",
    "SamplerConfig",
    "rank",
    "read_queue",
    "select",
    "write_queue",
]

SAMPLER_KINDS = ("random", "uncertainty", "margin", "diversity", "mixed")
"""What ``sampler.kind`` may be."""
POSSIBLE_EVENT = 0.25
"""Scores below this (where 0.5 is the threshold) are background, not candidates for an event."""
CLICKS_TO_ADD = 2.0
Chosen = list[tuple[int, float, str]]
"""Position in the pool, score and reason, in the order of choice."""


@dataclass(frozen=True)
class SamplerConfig:
    """How the next series to review are chosen."""

    kind: str = "mixed"
    """random, uncertainty, margin, diversity or mixed."""
    budget: int = 20
    """How many series go into one queue."""
    audit_share: float = 0.2
    """Share of random series in a mixed queue (at least one); 0 gives up all estimates."""
    seed: int = 0
    """Seed of the random choices; the name of the model is mixed in."""
    recheck: int = 3
    """How many labelled series with a likely label error are asked about again, beside the budget;
    0: none. Simulated annotators do not answer them."""

    def __post_init__(self) -> None:
        if self.kind not in SAMPLER_KINDS:
            raise ConfigError(
                f"sampler.kind is {self.kind!r}.", hint=f"Choose one of {list(SAMPLER_KINDS)}."
            )
        if self.budget < 0:
            raise ConfigError(f"sampler.budget is {self.budget}.", hint="It must be >= 0.")
        if not 0.0 <= self.audit_share <= 1.0:
            raise ConfigError(
                f"sampler.audit_share is {self.audit_share}.", hint="It must be in [0, 1]."
            )
        if self.recheck < 0:
            raise ConfigError(f"sampler.recheck is {self.recheck}.", hint="It must be >= 0.")
        if self.seed < 0:
            raise ConfigError(f"sampler.seed is {self.seed}.", hint="It must be >= 0.")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A series that could be reviewed, and what a model says of it.

    ``scores`` has one value in [0, 1] per row, ``threshold`` is the score at which the model calls
    a row an event, ``features`` a short vector that places the series among others (for
    ``diversity``; used only where every candidate has one). A labelled candidate is never chosen
    but counts as known.
    """

    series_id: str
    group: str
    n_rows: int
    detection: Detection | None = None
    scores: npt.NDArray[np.floating[Any]] | None = None
    labelled: bool = False
    features: npt.NDArray[np.floating[Any]] | None = None
    threshold: float = 0.5

    @property
    def is_predicted(self) -> bool:
        """Whether a model said anything of it, be it that it failed."""
        return self.detection is not None or self.scores is not None


def rank(
    pool: Sequence[Candidate], config: SamplerConfig, *, model: str | None = None
) -> list[QueueItem]:
    """`select` with the configured budget and seed; ``model`` names whose proposals these are."""
    rng = np.random.default_rng([config.seed, zlib.crc32((model or "").encode("utf-8"))])
    items = select(pool, config.budget, rng, config)
    return [replace(i, proposal_model=model) if i.proposal is not None else i for i in items]


def select(
    pool: Sequence[Candidate], budget: int, rng: np.random.Generator, config: SamplerConfig
) -> list[QueueItem]:
    """Choose up to ``budget`` unlabelled candidates, the most useful first.

    The result depends on the candidates, not on their order, and on the state of ``rng``.
    """
    if budget < 0:
        raise ConfigError(f"The budget of a queue is {budget}.", hint="It must be >= 0.")
    ordered = sorted(pool, key=lambda candidate: candidate.series_id)
    for one, other in pairwise(ordered):
        if one.series_id == other.series_id:
            raise AnnotationError(f"Series {one.series_id!r} is twice in the pool.")
    # Between equals a random order decides, not the alphabet.
    shuffled = [ordered[index] for index in rng.permutation(len(ordered))]
    free = [candidate for candidate in shuffled if not candidate.labelled]
    kind = config.kind
    if kind != "diversity" and not any(candidate.is_predicted for candidate in free):
        kind = "random"
    if kind == "random":
        return _items(free, [], _draw(range(len(free)), budget, "random"))
    if kind == "mixed":
        n_audits = _n_audits(min(budget, len(free)), config.audit_share)
        targeted = _spread(free, min(budget, len(free)) - n_audits)
        taken = {index for index, _, _ in targeted}
        # Drawn anew: in the order above, those that lost against their equals stand further back.
        left = [int(index) for index in rng.permutation(len(free)) if index not in taken]
        return _items(free, targeted, _draw(left, n_audits, "random_audit"))
    if kind == "diversity":
        known = [candidate for candidate in shuffled if candidate.labelled]
        return _items(free, _diverse(free, known, budget), ([], 1.0))
    measure = _margin if kind == "margin" else _uncertainty
    return _items(free, _best(free, measure, budget), ([], 1.0))


def _n_audits(budget: int, share: float) -> int:
    if share == 0.0 or budget == 0:
        return 0
    return min(budget, max(1, round(budget * share)))


def _draw(left: Sequence[int], n_wanted: int, reason: str) -> tuple[Chosen, float]:
    """The first of the candidates that are left, in random order, and the probability of each."""
    drawn = left[:n_wanted]
    return [(index, 0.0, reason) for index in drawn], len(drawn) / max(1, len(left))


def _items(
    free: Sequence[Candidate], targeted: Chosen, drawn: tuple[Chosen, float]
) -> list[QueueItem]:
    """Ranked items: the random ones are spread evenly between the others."""
    audits, probability = drawn
    n = len(targeted) + len(audits)
    # The k-th audit stands in the middle of the k-th of len(audits) equal stretches.
    places = {(2 * k + 1) * n // (2 * len(audits)) for k in range(len(audits))}
    targets, randoms = iter(targeted), iter(audits)
    items = []
    for place in range(n):
        index, score, reason = next(randoms if place in places else targets)
        candidate = free[index]
        items.append(
            QueueItem(
                rank=place + 1,
                series_id=candidate.series_id,
                score=round(score, 6),
                reason=reason,
                probability=probability if place in places else 1.0,
                proposal=candidate.detection,
                clicks=CLICKS_TO_ADD * float(np.count_nonzero(_peaks(candidate) >= 0.5)),
            )
        )
    return items


def _peaks(candidate: Candidate) -> npt.NDArray[np.float64]:
    """Largest score of every possible event, on a scale where the threshold is 0.5."""
    if candidate.scores is not None:
        scores = np.clip(np.asarray(candidate.scores, dtype=np.float64), 0.0, 1.0)
        if not np.isfinite(scores).all():
            raise AnnotationError(f"The scores of series {candidate.series_id!r} are not finite.")
        threshold = max(candidate.threshold, 1e-9)
        above = 0.5 + (scores - threshold) / (2.0 * max(1.0 - threshold, 1e-9))
        scaled = np.where(scores < threshold, scores / (2.0 * threshold), above)
        return np.asarray(runs_above(scaled, POSSIBLE_EVENT)[2], dtype=np.float64)
    intervals = candidate.detection.intervals if candidate.detection is not None else ()
    return np.array([0.5 if i.score is None else max(0.5, i.score) for i in intervals])


Measure = Callable[[npt.NDArray[np.float64]], tuple[float, str]]
"""From the peaks of a series to its score in [0, 1] and the reason."""


def _uncertainty(peaks: npt.NDArray[np.float64]) -> tuple[float, str]:
    if not len(peaks):
        return 0.0, "uncertain"
    nearest = peaks[np.argmin(np.abs(peaks - 0.5))]
    score = 1.0 - 2.0 * abs(float(nearest) - 0.5)
    return score, "uncertain" if nearest >= 0.5 else "likely_missed"


def _margin(peaks: npt.NDArray[np.float64]) -> tuple[float, str]:
    accepted = float(np.min(peaks[peaks >= 0.5], initial=1.0))
    rejected = float(np.max(peaks[peaks < 0.5], initial=0.0))
    return 1.0 - (accepted - rejected), "small_margin"


def _assess(candidate: Candidate, measure: Measure) -> tuple[float, str]:
    if candidate.detection is not None and candidate.detection.status is Status.FAILED:
        return 1.0, "model_failed"  # nothing is known of it: never take that for "normal"
    if not candidate.is_predicted:
        return 1.0, "not_predicted"
    return measure(_peaks(candidate))


def _best(free: Sequence[Candidate], measure: Measure, budget: int) -> Chosen:
    assessed = [(i, *_assess(candidate, measure)) for i, candidate in enumerate(free)]
    return sorted(assessed, key=lambda item: -item[1])[:budget]


def _spread(free: Sequence[Candidate], budget: int) -> Chosen:
    """The most uncertain ones, each group counting less with every series taken from it."""
    assessed = {i: _assess(candidate, _uncertainty) for i, candidate in enumerate(free)}
    taken: Counter[str] = Counter()
    chosen: Chosen = []
    while assessed and len(chosen) < budget:
        best = max(assessed, key=lambda i: (assessed[i][0] / (1 + taken[free[i].group]), -i))
        chosen.append((best, *assessed.pop(best)))
        taken[free[best].group] += 1
    return chosen


def _diverse(free: Sequence[Candidate], known: Sequence[Candidate], budget: int) -> Chosen:
    """Farthest first: always the one that is least like everything known or chosen."""
    points = _standardised([*free, *known])
    groups = Counter(candidate.group for candidate in known)
    distance = np.full(len(free), np.inf)
    for index in range(len(free), len(points)):
        distance = np.minimum(distance, np.linalg.norm(points[: len(free)] - points[index], axis=1))
    left = set(range(len(free)))
    chosen: Chosen = []
    while left and len(chosen) < budget:
        # Without anything to compare with (or without features), the emptiest group comes first.
        best = min(left, key=lambda i: (-distance[i], groups[free[i].group], i))
        far = distance[best]
        share = 1.0 if np.isinf(far) else float(far / (1.0 + far))
        score = share if points.shape[1] else 1.0 / (1 + groups[free[best].group])
        chosen.append((best, score, "diverse"))
        left.remove(best)
        groups[free[best].group] += 1
        distance = np.minimum(distance, np.linalg.norm(points[: len(free)] - points[best], axis=1))
    return chosen


def _standardised(candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
    """Features with mean 0 and deviation 1, shape ``(n, f)``; ``f = 0`` where some have none."""
    rows = [candidate.features for candidate in candidates if candidate.features is not None]
    if not rows or len(rows) < len(candidates):
        return np.empty((len(candidates), 0))
    if len({np.shape(row) for row in rows}) != 1 or not np.isfinite(rows).all():
        raise AnnotationError("The candidates' features must be finite vectors of one length.")
    points = np.asarray(rows, dtype=np.float64)
    spread = points.std(axis=0)
    return np.asarray((points - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
