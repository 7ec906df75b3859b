"""Statements on the whole series (trend, seasonality, …) and their foreign spellings.

Only spellings that never changed their meaning are known here. Ids such as ``noisy`` and ``clean``
stood for different texts in different revisions of one tool, so they need an entry in the mapping.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tsloop.annotations.formats.base import ForeignLabel
from tsloop.labels import Attribute, LabelSet

__all__ = ["attribute_id", "known_value", "phrases", "read_overall", "write_overall"]

_ATTRIBUTES = {
    "seasonal": "seasonality",
    "periodicity": "seasonality",
    "频率": "frequency",
    "周期性": "seasonality",
    "趋势": "trend",
    "噪声水平": "noise",
}
_VALUES = {
    ("frequency", "high_freq"): "high",
    ("frequency", "low_freq"): "low",
    ("seasonality", "has_periodic"): "periodic",
    ("seasonality", "no_periodic"): "not_periodic",
}
_TEXTS = {("noise", "中等"): "中"}
_UNSAID = re.compile(r"未知")


def attribute_id(foreign: str) -> str:
    """Our id of an attribute, or the foreign one where it is not known."""
    return _ATTRIBUTES.get(foreign, foreign)


def known_value(attribute: str, value: ForeignLabel, label_set: LabelSet) -> str | None:
    """The id of the value in the label set, where id or text leave no doubt."""
    known: Attribute | None = next((a for a in label_set.attributes if a.id == attribute), None)
    if known is None:
        return None
    for item in known.values:
        if value.text and value.text in (item.zh, item.en, item.id):
            return item.id
        if not value.text and value.id == item.id:
            return item.id
    alias = _VALUES.get((attribute, value.id)) if not value.text else None
    return alias if alias in [item.id for item in known.values] else None


def read_overall(raw: object) -> dict[str, ForeignLabel]:
    """``{"trend": "decrease", "noise": ""}`` → attributes that say something.

    A value may be an id, or an object with id and text.
    """
    found: dict[str, ForeignLabel] = {}
    for key, value in (raw if isinstance(raw, Mapping) else {}).items():
        label = _value(value)
        if label.id or label.text:
            found[attribute_id(str(key))] = label
    return found


def write_overall(overall: Mapping[str, Any], label_set: LabelSet) -> dict[str, str]:
    """Attributes as the annotator spells them, every one of the set; empty: nothing was said."""
    names = {"seasonality": "seasonal"}
    values = {(attribute, to): value for (attribute, value), to in _VALUES.items()}
    return {
        names.get(attribute.id, attribute.id): values.get(
            (attribute.id, overall.get(attribute.id, "")), overall.get(attribute.id, "")
        )
        for attribute in label_set.attributes
    }


def phrases(text: str) -> dict[str, ForeignLabel]:
    """``低频、低噪声、无周期性`` → one value for each attribute; unknown ones are left out."""
    found: dict[str, ForeignLabel] = {}
    for phrase in re.split(r"[、,，;；]\s*", text.strip(" 的。.")):
        if not phrase or _UNSAID.search(phrase):
            continue
        if phrase.endswith("频"):
            found["frequency"] = ForeignLabel("", phrase)
        elif phrase.endswith("噪声"):
            word = phrase.removesuffix("噪声")
            found["noise"] = ForeignLabel("", _TEXTS.get(("noise", word), word))
        elif "周期" in phrase:
            found["seasonality"] = ForeignLabel("", phrase.removesuffix("性"))
        else:
            found["trend"] = ForeignLabel("", phrase)
    return found


def _value(value: Any) -> ForeignLabel:
    if isinstance(value, Mapping):
        return ForeignLabel(str(value.get("id") or ""), str(value.get("text") or ""))
    return ForeignLabel(value.strip()) if isinstance(value, str) else ForeignLabel()
