"""What a report is made of: plain values that a stage fills and `build.render_report` draws.

Nothing in here reads a file. Everything but the iteration's name may be missing: the report then
leaves the section out or says that there is nothing yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tsloop.errors import ConfigError
from tsloop.evaluation.clicks import Clicks
from tsloop.intervals import Interval
from tsloop.labels import LabelSet, builtin_label_set

__all__ = ["Card", "CaseData", "HistoryPoint", "ReportData", "Verdict", "variant_of"]

OUTCOMES = ("win", "lose", "undecided", "first", "failed")
KINDS = ("miss", "false_alarm")


def variant_of(model: str) -> str:
    """``knn`` of ``it002/knn``."""
    return model.rpartition("/")[2]


class Card(Protocol):
    """The part of `tsloop.evaluation.scorecard.Scorecard` that a report reads.

    ``metrics`` holds finite numbers only; a metric without a meaning here stands in ``undefined``
    with the reason (the key ``intervals`` says why there are none). ``intervals`` are 95 % bounds.
    ``per_label`` and ``per_group`` map a label id or a group to its own flat figures, ``clicks``
    counts the reviewer's work.
    """

    @property
    def metrics(self) -> Mapping[str, float]: ...
    @property
    def undefined(self) -> Mapping[str, str]: ...
    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]: ...
    @property
    def per_label(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def per_group(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def clicks(self) -> Clicks: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the gate judged a model, named ``iteration/variant``.

    ``outcome`` is one of win, lose, undecided, first (nothing to compare with), failed.
    ``difference`` is candidate minus reference with its paired interval; ``groups`` counts the gold
    groups it rests on and ``more_groups`` says how many more would probably decide.
    """

    outcome: str
    candidate: str
    reference: str = ""
    metric: str = "event_f1"
    value: float = math.nan
    interval: tuple[float, float] | None = None
    reference_value: float = math.nan
    reference_interval: tuple[float, float] | None = None
    difference: float = math.nan
    difference_interval: tuple[float, float] | None = None
    groups: int | None = None
    more_groups: int | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ConfigError(
                f"Verdict outcome {self.outcome!r} is not known.", hint=f"Use one of {OUTCOMES}."
            )


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One variant in one earlier iteration (``base`` before the first labels).

    Points that were measured on another gold version than the report's are not drawn: their
    numbers cannot be compared.
    """

    iteration: str
    variant: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    gold_version: int | None = None


@dataclass(frozen=True, slots=True)
class CaseData:
    """One missed event or one false alarm, with its surroundings.

    ``timestamps`` (ns since the epoch), ``values`` and ``scores`` are one window of a series,
    thinned to at most a few hundred rows; NaN is a gap. ``truth``, ``predicted`` and ``focus``
    count rows of this window. ``event_rows`` and ``top_score`` describe the event in the stored
    series; ``threshold`` is the level from which the model speaks.
    """

    kind: str
    series_id: str
    timestamps: Sequence[int]
    values: Sequence[float]
    focus: Interval
    truth: Sequence[Interval] = ()
    predicted: Sequence[Interval] = ()
    scores: Sequence[float] = ()
    variant: str = ""
    title: str = ""
    reason: str = ""
    unit: str = ""
    zone: str = "UTC"
    threshold: float = math.nan
    event_rows: int = 0
    top_score: float = math.nan
    t_start: int | None = None
    t_end: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"Case kind {self.kind!r} is not known.", hint=f"Use one of {KINDS}.")


@dataclass(frozen=True)
class ReportData:
    """Everything a report of one iteration can show.

    ``variants`` maps this iteration's variants to their scorecards, ``failures`` the variants that
    could not be fitted or run to the reason. Models are named ``iteration/variant``: so are the
    keys of ``verdicts`` (models of this iteration), of ``parent_scorecards`` (the models that they
    were fine-tuned from) and ``champion``; all scorecards were measured on the same gold. A
    champion without a scorecard on this gold has none here; ``champion_gold_version`` is the gold
    that it was measured on. The other mappings have variants as keys. ``primary`` is the variant
    that comes first. ``pr_curves`` hold (recall, precision) pairs in threshold order, ``training``
    flat rows with ``step``, ``loss`` and ``valid_loss``. ``snapshot``, ``dataset``,
    ``data_summary``, ``gold``, ``quality`` and ``config`` are JSON-like; ``lineage`` maps a variant
    to what its model was made from, ``hashes`` a part (series, snapshot, dataset, gold,
    model/<variant>) to its content hash.
    """

    iteration: str
    parent: str | None = None
    champion: str | None = None
    project: str = ""
    primary: str = ""
    variants: Mapping[str, Card] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    baselines: Mapping[str, Card] = field(default_factory=dict)
    parent_scorecards: Mapping[str, Card] = field(default_factory=dict)
    champion_scorecard: Card | None = None
    champion_gold_version: int | None = None
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    history: Sequence[HistoryPoint] = ()
    training: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    pr_curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    cases: Sequence[CaseData] = ()
    data_summary: Mapping[str, Any] = field(default_factory=dict)
    snapshot: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    gold: Mapping[str, Any] = field(default_factory=dict)
    gold_version: int | None = None
    lineage: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    label_set: LabelSet = field(default_factory=builtin_label_set)

    def verdict_of(self, variant: str) -> Verdict | None:
        """The gate's verdict on a variant of this iteration."""
        return self.verdicts.get(f"{self.iteration}/{variant}")

    def parent_of(self, variant: str) -> tuple[str, Card] | None:
        """Name and scorecard of the model from which a variant was fine-tuned."""
        found = (item for item in self.parent_scorecards.items() if variant_of(item[0]) == variant)
        return next(found, None)
