"""Which checks of labels run, and what happens where one finds something: ``conf/checks``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from tsloop.errors import ConfigError

__all__ = ["ACTIONS", "ALWAYS", "CHECKS", "CheckText", "ChecksConfig", "action_of"]

ACTIONS = ("off", "warn", "stop")
"""``off``: not looked for; ``warn``: listed; ``stop``: `dataset@` refuses the labels."""


@dataclass(frozen=True, slots=True)
class CheckText:
    """What a check looks for, in both languages."""

    en: str
    zh: str


ALWAYS = ("bounds", "leakage")
"""Checks that always stop: such labels can neither be stored nor trained on."""

CHECKS: dict[str, CheckText] = {
    "bounds": CheckText("does not fit the stored series", "与存储的序列不符"),
    "leakage": CheckText("is gold, or has its content or group", "属于金标，或与其内容或分组相同"),
    "contradictions": CheckText("two labels claim the same rows", "同一段有相互矛盾的标签"),
    "overlaps": CheckText("labels overlap", "标签重叠"),
    "one_row_intervals": CheckText("one row of a kind that lasts", "持续型标签只有一行"),
    "far_edges": CheckText("edge far from where the values change", "边界远离数值变化处"),
    "duplicates": CheckText("same content, other labels", "内容相同而标签不同"),
    "near_duplicates": CheckText("nearly the same content, other labels", "内容几乎相同而标签不同"),
    "near_gold": CheckText("nearly the content of a gold series", "内容与金标序列几乎相同"),
    "unknown_attributes": CheckText("attribute that the label set lacks", "标签集中没有的属性"),
    "drift": CheckText("labelled unlike earlier iterations", "与之前迭代的标注分布不同"),
    "agreement": CheckText("two people do not agree enough", "两人标注一致性不足"),
}
"""Every check, in the order in which findings are listed."""


@dataclass(frozen=True, slots=True)
class ChecksConfig:
    """``conf/checks``: off, warn or stop for each check, and where it begins to find something.

    Labels that do not fit their series (`bounds`), and gold among them (`leakage`), always stop.
    """

    contradictions: str = "warn"
    """Two labels on mostly the same rows (IoU of at least 1/2), or "normal" over an anomaly."""
    overlaps: str = "warn"
    """Labels that share rows: of one kind they are joined, of two kinds both stay."""
    one_row_intervals: str = "warn"
    """A single row labelled as something that lasts (groups drift and shape of the label set)."""
    far_edges: str = "warn"
    """An edge that lies far from where the values leave or regain their usual course."""
    duplicates: str = "warn"
    """Series of equal content with different labels."""
    near_duplicates: str = "warn"
    """Series of nearly equal content with different labels."""
    near_gold: str = "warn"
    """Labelled series of nearly the content of a gold series (equal content always stops)."""
    unknown_attributes: str = "warn"
    """Whole-series attributes, or values of them, that the label set does not know."""
    drift: str = "warn"
    """New labels whose kinds are distributed unlike those of the iterations before."""
    agreement: str = "warn"
    """People who label the same series (data/labels/ITERATION.second.jsonl) and do not agree."""
    edge_rows: int = 10
    """far_edges: an edge may always be off by so many rows,"""
    edge_share: float = 1.0
    """far_edges: … or by this share of the interval's length, whichever is more."""
    near_identical: float = 0.9995
    """near_duplicates, near_gold: correlation from which content counts as nearly equal."""
    max_drift: float = 0.3
    """drift: half the sum of the changes of the kinds' shares (0 equal, 1 disjoint)."""
    max_p_value: float = 0.01
    """drift: and so unlikely must the change be by chance (chi-squared test)."""
    min_kappa: float = 0.7
    """agreement: Cohen's kappa over rows, pooled over all series, must reach this."""
    match_iou: float = 0.5
    """agreement: two people mean the same event from this IoU on."""

    def __post_init__(self) -> None:
        for name in CHECKS:
            if name not in ALWAYS:
                _check_action(name, getattr(self, name))
        for name in ("edge_share", "near_identical", "max_drift", "max_p_value", "match_iou"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"checks.{name} is {getattr(self, name)}, not in [0, 1].")
        if not -1.0 <= self.min_kappa <= 1.0:
            raise ConfigError(f"checks.min_kappa is {self.min_kappa}, not in [-1, 1].")
        if self.edge_rows < 0:
            raise ConfigError(f"checks.edge_rows is {self.edge_rows}; it cannot be negative.")


def action_of(config: ChecksConfig, check: str) -> str:
    """``off``, ``warn`` or ``stop``."""
    return "stop" if check in ALWAYS else str(getattr(config, check))


def _check_action(name: str, value: Any) -> None:
    # YAML reads a bare `off` as false.
    if value not in ACTIONS:
        close = difflib.get_close_matches(str(value), ACTIONS, n=1)
        hint = "Write 'off' in quotes." if value is False else ""
        raise ConfigError(
            f"checks.{name} is {value!r}, but must be one of {list(ACTIONS)}.",
            hint=f"Did you mean {close[0]}?" if close else hint,
        )
