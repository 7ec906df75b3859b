"""The gate: is a new model better than the one in use, beyond what luck explains?

Both are scored on the same gold series; the difference of one metric is bootstrapped over groups,
pair by pair. The verdict is

- ``win``: the whole interval lies above ``min_delta``;
- ``lose``: the whole interval lies below it, or the model is no better than a trivial baseline;
- ``undecided``: everything else, and always with fewer groups than ``min_groups``. It then says
  about how many more gold groups would decide.

Where there is no incumbent, the best trivial baseline takes its place. Numbers on different gold
are never compared: other series, groups or truths are an error.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Self

from tsloop.errors import ConfigError, EvaluationError
from tsloop.evaluation.bootstrap import Estimate, paired_bootstrap
from tsloop.evaluation.measures import MEASURES
from tsloop.evaluation.scorecard import Scorecard, count_table

__all__ = ["GateConfig", "Verdict", "evaluate_gate"]

INCUMBENT = "incumbent"
POWER = 0.8
"""The chance to decide that the named number of further groups has to give."""
NEVER = 10_000
"""Where more groups than this would be needed, no number of groups is named."""


@dataclass(frozen=True)
class GateConfig:
    """``conf/gate``: when a model may replace another one."""

    metric: str = "event_f1"
    """Figure of the scorecard that decides; one where higher is better."""
    min_delta: float = 0.0
    """The improvement that has to be certain."""
    confidence: float = 0.95
    """Of the interval of the difference."""
    min_groups: int = 5
    """With fewer gold groups the verdict is undecided."""
    n_bootstrap: int = 1000
    min_event_f1: float | None = 0.5
    """An iteration is completed from this event-F1 on; null: it never is."""
    require_baselines: bool = True
    """Whether a winner has to be better than every trivial baseline as well."""
    seed: int = 0

    def __post_init__(self) -> None:
        allowed = [name for name, measure in MEASURES.items() if measure.higher_is_better]
        checks = (
            ("metric", self.metric in allowed, f"one of {allowed}"),
            ("min_delta", math.isfinite(self.min_delta), "a finite number"),
            ("confidence", 0.0 < self.confidence < 1.0, "between 0 and 1"),
            ("min_groups", self.min_groups >= 2, "at least 2"),
            ("n_bootstrap", self.n_bootstrap >= 100, "at least 100"),
            (
                "min_event_f1",
                self.min_event_f1 is None or 0.0 <= self.min_event_f1 <= 1.0,
                "between 0 and 1, or null",
            ),
        )
        for key, good, wanted in checks:
            if not good:
                raise ConfigError(
                    f"gate.{key} must be {wanted}, got {getattr(self, key)!r}.",
                    hint=f"Set gate.{key} in conf/gate.",
                )


@dataclass(frozen=True)
class Verdict:
    """What the gate says: ``result`` is win, lose or undecided, ``text`` a sentence of why.

    ``against`` is ``incumbent`` or ``baseline <name>``. ``value``, ``reference`` and ``delta`` are
    ``None`` where the metric is undefined, ``low`` and ``high`` (of the difference) where there
    are too few groups. ``more_groups_needed`` is ``None`` unless undecided, and where no number of
    groups that anyone would label could decide.
    """

    result: str
    metric: str
    against: str
    value: float | None
    reference: float | None
    delta: float | None
    low: float | None
    high: float | None
    n_groups: int
    more_groups_needed: int | None
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(**data)


def evaluate_gate(
    challenger: Scorecard,
    incumbent: Scorecard | None,
    config: GateConfig,
    baselines: Mapping[str, Scorecard] | None = None,
) -> Verdict:
    """Compare a challenger with the incumbent, or with the best baseline where there is none."""
    trivial = dict(sorted((baselines or {}).items()))
    for name, card in trivial.items():
        _same_gold(challenger, card, f"baseline {name}")
    if incumbent is not None:
        _same_gold(challenger, incumbent, INCUMBENT)
        return _judge(challenger, incumbent, INCUMBENT, config, trivial)
    if not trivial:
        raise EvaluationError(
            "The gate has nothing to compare with: no incumbent and no baseline.",
            hint="Pass the scorecards of the trivial baselines.",
        )
    best = max(trivial, key=lambda name: trivial[name].metrics.get(config.metric, -math.inf))
    return _judge(challenger, trivial[best], f"baseline {best}", config, trivial)


def _same_gold(challenger: Scorecard, other: Scorecard, name: str) -> None:
    if challenger.truth == other.truth:
        return
    ours, theirs = set(challenger.truth), set(other.truth)
    differing = sorted({series_id for series_id, _, _ in ours ^ theirs})
    first = f" (first: {differing[0]})" if differing else ""
    raise EvaluationError(
        f"The challenger and the {name} were scored on different gold: {len(ours)} and "
        f"{len(theirs)} series, {len(differing)} of which differ in name, group or truth{first}. "
        "Numbers on different gold are never compared.",
        hint="Evaluate both again on the gold of today: dvc repro.",
    )


def _judge(
    challenger: Scorecard,
    other: Scorecard,
    against: str,
    config: GateConfig,
    baselines: Mapping[str, Scorecard],
) -> Verdict:
    estimate = paired_bootstrap(
        count_table(challenger.series),
        count_table(other.series),
        [score.group for score in challenger.series],
        MEASURES[config.metric],
        n_bootstrap=config.n_bootstrap,
        confidence=config.confidence,
        seed=config.seed,
        min_groups=config.min_groups,
    )
    result, text = _decide(challenger, estimate, against, config, baselines)
    more = _more_groups(estimate, config) if result == "undecided" else None
    if more is not None:
        text += f" About {more} more gold group{'s' if more > 1 else ''} would decide."
    return Verdict(
        result=result,
        metric=config.metric,
        against=against,
        value=challenger.metrics.get(config.metric),
        reference=other.metrics.get(config.metric),
        delta=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n_groups=estimate.n_groups,
        more_groups_needed=more,
        text=text,
    )


def _decide(
    challenger: Scorecard,
    estimate: Estimate,
    against: str,
    config: GateConfig,
    baselines: Mapping[str, Scorecard],
) -> tuple[str, str]:
    name = config.metric
    if estimate.value is None:
        why = challenger.undefined.get(name, f"undefined for the {against}")
        return "undecided", f"{name} cannot be compared: {why}."
    change = f"{name} {estimate.value:+.3f} against the {against}"
    if estimate.low is None or estimate.high is None:
        few = f"only {estimate.n_groups} of at least {config.min_groups} gold groups"
        return "undecided", f"{change}, but {few}."
    change += f" ({config.confidence:.0%} interval {estimate.low:+.3f} to {estimate.high:+.3f})"
    beaten_by = _baseline_ahead(challenger, config, baselines)
    if config.require_baselines and beaten_by:
        return "lose", f"{change}, but no better than the trivial baseline {beaten_by!r}."
    if estimate.low > config.min_delta:
        return "win", f"{change}."
    if estimate.high < config.min_delta:
        return "lose", f"{change}."
    target = f" of more than {config.min_delta:+.3f}" if config.min_delta else ""
    return "undecided", f"{change}: this could be luck, a difference{target} is not shown."


def _baseline_ahead(
    challenger: Scorecard, config: GateConfig, baselines: Mapping[str, Scorecard]
) -> str:
    """The best baseline that the challenger does not beat, or an empty string."""
    own = challenger.metrics.get(config.metric, -math.inf)
    figures = {name: card.metrics.get(config.metric, -math.inf) for name, card in baselines.items()}
    ahead = {name: value for name, value in figures.items() if own <= value}
    return max(ahead, key=lambda name: ahead[name]) if ahead else ""


def _more_groups(estimate: Estimate, config: GateConfig) -> int | None:
    """How many more groups would move the interval off ``min_delta``, if the difference is real."""
    missing = max(0, config.min_groups - estimate.n_groups)
    if estimate.value is None or estimate.std_error is None:
        return missing or None
    distance = abs(estimate.value - config.min_delta)
    if distance < 1e-9:
        return missing or None
    normal = NormalDist()
    reach = normal.inv_cdf(0.5 + config.confidence / 2.0) + normal.inv_cdf(POWER)
    reach *= estimate.std_error
    needed = math.ceil(estimate.n_groups * (reach / distance) ** 2)
    more = max(needed - estimate.n_groups, missing, 1)
    return more if more <= NEVER else None
