"""Which labels to look at again, the most suspicious first.

How much each kind of evidence is worth differs between teams and plants, so it is rehearsed: known
errors are planted in the very labels that are judged (most of which are right), and a small
classifier learns what tells a planted error from the rest. A series is judged by a classifier that
rehearsed on other series. Labelled intervals and unlabelled spots have a classifier each; both give
the chance of an error, so that one list can hold both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsloop.intervals import Interval
from tsloop.loop.suspects.candidates import Place, features, spot_level, spots
from tsloop.loop.suspects.evidence import Evidence
from tsloop.loop.suspects.planting import Planted, plant

__all__ = ["Suspect", "rank_suspects"]

Table = npt.NDArray[np.float64]

REHEARSALS = 12
REHEARSED_SHARE = 0.2
"""More errors than a team makes: the classifier needs to see some."""
REHEARSED_SHIFT = (0.3, 2.0)
FOLDS = 5
PRIOR = 0.1


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place to look at again. ``series`` counts in the order of the evidence.

    ``kind`` is ``spurious`` (a label where nothing is), ``shifted`` (the event is beside the label;
    ``better`` says where) or ``missed`` (an event without a label); ``score``, in [0, 1], is the
    chance that it is an error.
    """

    series: int
    interval: Interval
    kind: str
    score: float
    better: Interval | None = None


def rank_suspects(evidence: Sequence[Evidence], *, seed: int = 0) -> list[Suspect]:
    """Every labelled interval and every unlabelled spot, the most suspicious first."""
    labels = [item.example.intervals for item in evidence]
    memo = _Memo(evidence)
    places = _places(evidence, labels, memo)
    fold = np.arange(len(evidence)) % FOLDS
    np.random.default_rng([seed, 1]).shuffle(fold)
    rehearsed = _rehearse(evidence, labels, memo, seed)
    found: list[Suspect] = []
    for labelled in (True, False):
        asked = [place for place in places if place.labelled is labelled]
        learned = [(p, wrong) for p, wrong in rehearsed if p.labelled is labelled]
        chances = _judge(asked, learned, memo, fold, seed)
        found += [
            Suspect(p.series, p.interval, "spurious" if labelled else "missed", float(c))
            for p, c in zip(asked, chances, strict=True)
        ]
    return sorted(found, key=lambda s: (-s.score, s.series, s.interval))


class _Memo:
    """Features by place: rehearsals ask for most places again and again."""

    def __init__(self, evidence: Sequence[Evidence]) -> None:
        self._evidence = evidence
        self._rows: dict[tuple[int, int, int], Table] = {}

    def row(self, place: Place) -> Table:
        key = (place.series, place.interval.start, place.interval.end)
        if key not in self._rows:
            self._rows[key] = features(self._evidence[place.series], place.interval)
        return self._rows[key]

    def table(self, places: Sequence[Place]) -> Table:
        return np.stack([self.row(place) for place in places])


def _places(
    evidence: Sequence[Evidence], labels: Sequence[Sequence[Interval]], memo: _Memo
) -> list[Place]:
    level = spot_level(evidence, labels)
    found = []
    for index, (item, some) in enumerate(zip(evidence, labels, strict=True)):
        found += [Place(index, interval, True) for interval in some]
        found += [Place(index, interval, False) for interval in spots(item, some, level)]
    return found


def _rehearse(
    evidence: Sequence[Evidence], labels: Sequence[Sequence[Interval]], memo: _Memo, seed: int
) -> list[tuple[Place, bool]]:
    """Places of labels with planted errors, and whether each is one."""
    n_rows = [len(item.values) for item in evidence]
    out: list[tuple[Place, bool]] = []
    for number in range(REHEARSALS):
        rng = np.random.default_rng([seed, 2, number])
        spoiled, errors = plant(labels, n_rows, REHEARSED_SHARE, rng, shift=REHEARSED_SHIFT)
        out += [(place, _is_error(place, errors)) for place in _places(evidence, spoiled, memo)]
    return out


def _is_error(place: Place, errors: Sequence[Planted]) -> bool:
    if place.labelled:
        return any(e.series == place.series and e.wrong == place.interval for e in errors)
    return any(
        e.series == place.series and e.right is not None and e.right.overlap(place.interval)
        for e in errors
    )


def _judge(
    asked: Sequence[Place],
    learned: Sequence[tuple[Place, bool]],
    memo: _Memo,
    fold: npt.NDArray[np.int64],
    seed: int,
) -> Table:
    """The chance of an error at each place, by classifiers that rehearsed on other series."""
    chances = np.full(len(asked), PRIOR)
    if not asked:
        return chances
    table = memo.table(asked)
    for number in range(FOLDS):
        own = np.array([fold[place.series] == number for place in asked])
        rest = [(p, wrong) for p, wrong in learned if fold[p.series] != number]
        truth = np.array([wrong for _, wrong in rest])
        if not own.any() or not truth.any() or truth.all():
            continue
        chances[own] = _classify(memo.table([p for p, _ in rest]), truth, table[own], seed)
    return chances


def _classify(known: Table, truth: npt.NDArray[np.bool_], asked: Table, seed: int) -> Table:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    model.fit(known, truth)
    return np.asarray(model.predict_proba(asked)[:, 1])
