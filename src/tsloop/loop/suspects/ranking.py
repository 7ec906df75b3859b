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
from tsloop.loop.suspects.candidates import Place, better_place, features, spot_level, spots
from tsloop.loop.suspects.context import Context
from tsloop.loop.suspects.evidence import Evidence
from tsloop.loop.suspects.planting import Planted, plant

__all__ = ["Suspect", "rank_suspects"]

Table = npt.NDArray[np.float64]

REHEARSALS = 12
REHEARSED_SHARE = 0.2
"""More errors than a team makes: the classifier needs to see some."""
ASSUMED_SHARE = 0.1
"""Share of wrong labels that a chance of error is told for."""
REHEARSED_SHIFT = (0.3, 2.0)
FOLDS = 5
TREES = 150


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
    level = spot_level(evidence, labels)
    found: list[Suspect] = []
    for labelled in (True, False):
        asked = [item for item in places if item[0].labelled is labelled]
        learned = [item for item in rehearsed if item[0].labelled is labelled]
        chances = _judge(asked, learned, fold, seed)
        found += [
            _suspect(evidence[place.series], place, float(chance), level)
            for (place, _), chance in zip(asked, chances, strict=True)
        ]
    found.sort(key=lambda s: (-s.score, s.series, s.interval, s.kind))
    return _once(found)


def _suspect(item: Evidence, place: Place, score: float, level: float) -> Suspect:
    if not place.labelled:
        return Suspect(place.series, place.interval, "missed", score)
    better = better_place(item, place.interval, level)
    return Suspect(place.series, place.interval, "shifted" if better else "spurious", score, better)


def _once(ranked: Sequence[Suspect]) -> list[Suspect]:
    """Leave out spots that an item further up names already as the better place of its label."""
    kept: list[Suspect] = []
    named: dict[int, list[Interval]] = {}
    for suspect in ranked:
        known = named.get(suspect.series, [])
        if suspect.kind == "missed" and any(suspect.interval.overlap(i) for i in known):
            continue
        if suspect.better is not None:
            named.setdefault(suspect.series, []).append(suspect.better)
        kept.append(suspect)
    return kept


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


def _places(
    evidence: Sequence[Evidence], labels: Sequence[Sequence[Interval]], memo: _Memo
) -> list[tuple[Place, Table]]:
    """Every labelled interval and every spot, with its features under these labels."""
    level = spot_level(evidence, labels)
    context = Context(evidence, labels)
    found = []
    for index, (item, some) in enumerate(zip(evidence, labels, strict=True)):
        free = spots(item, some, level)
        for order, interval in enumerate([*some, *free], start=-len(some)):
            place = Place(index, interval, labelled=order < 0)
            rank = [float(max(0, order)), float(len(free))]
            row = np.concatenate((memo.row(place), context.row(index, interval), rank))
            found.append((place, row))
    return found


def _rehearse(
    evidence: Sequence[Evidence], labels: Sequence[Sequence[Interval]], memo: _Memo, seed: int
) -> list[tuple[Place, Table, bool]]:
    """Places of labels with planted errors, their features, and whether each is an error."""
    n_rows = [len(item.values) for item in evidence]
    out: list[tuple[Place, Table, bool]] = []
    for number in range(REHEARSALS):
        rng = np.random.default_rng([seed, 2, number])
        spoiled, errors = plant(labels, n_rows, REHEARSED_SHARE, rng, shift=REHEARSED_SHIFT)
        out += [(p, row, _is_error(p, errors)) for p, row in _places(evidence, spoiled, memo)]
    return out


def _is_error(place: Place, errors: Sequence[Planted]) -> bool:
    if place.labelled:
        return any(e.series == place.series and e.wrong == place.interval for e in errors)
    return any(
        e.series == place.series and e.right is not None and e.right.overlap(place.interval)
        for e in errors
    )


def _judge(
    asked: Sequence[tuple[Place, Table]],
    learned: Sequence[tuple[Place, Table, bool]],
    fold: npt.NDArray[np.int64],
    seed: int,
) -> Table:
    """The chance of an error at each place, by classifiers that rehearsed on other series."""
    chances = np.full(len(asked), ASSUMED_SHARE)
    if not asked:
        return chances
    table = np.stack([row for _, row in asked])
    for number in range(FOLDS):
        own = np.array([fold[place.series] == number for place, _ in asked])
        rest = [(row, wrong) for p, row, wrong in learned if fold[p.series] != number]
        truth = np.array([wrong for _, wrong in rest], dtype=bool)
        if not own.any() or not truth.any() or truth.all():
            continue
        known = np.stack([row for row, _ in rest])
        chances[own] = _classify(known, truth, table[own], seed)
    return chances


def _classify(known: Table, truth: npt.NDArray[np.bool_], asked: Table, seed: int) -> Table:
    from sklearn.ensemble import ExtraTreesClassifier

    model = ExtraTreesClassifier(
        TREES, min_samples_leaf=5, max_features=0.4, random_state=seed, n_jobs=1
    )
    model.fit(known, truth)
    odds = ASSUMED_SHARE / REHEARSED_SHARE
    chance = model.predict_proba(asked)[:, 1]
    return np.asarray(chance * odds / (chance * odds + (1.0 - chance)))
