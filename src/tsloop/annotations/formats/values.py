"""Cells and fields as foreign files write them: rows, numbers, labels; mended only where safe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tsloop.annotations.formats.base import ForeignLabel
from tsloop.errors import AnnotationError
from tsloop.intervals import Basis, Interval
from tsloop.labels import Label, LabelSet

__all__ = [
    "as_basis",
    "as_label",
    "as_row",
    "as_score",
    "as_text",
    "label_by_text",
    "origin_of",
    "plain",
    "text_of",
]


def as_row(value: Any, repairs: set[str]) -> int:
    """A row number; whole floats and digits in a string count as repaired, others are errors."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        repairs.add("rows written as fractions")
        return int(value)
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        repairs.add("rows written as text")
        return int(value)
    raise AnnotationError(f"{value!r} is no row number.")


def as_text(value: Any) -> str:
    """The text, or empty for everything that is none; halves of surrogate pairs are replaced."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_score(value: Any) -> float | None:
    """A confidence in [0, 1]; everything else (also NaN) says nothing."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    return None


def as_basis(value: Any) -> Basis | None:
    """Where a judged interval comes from, as our own files say it; ``None`` for all others.

    That one is still a model's proposal is for each format to say in its own way.
    """
    known = isinstance(value, str) and value in set(Basis) and value != Basis.MODEL
    return Basis(value) if known else None


def origin_of(interval: Interval) -> dict[str, str]:
    """The key that `as_basis` reads again; tools ignore it."""
    if interval.basis in (None, Basis.MODEL, Basis.IMPORTED):
        return {}
    return {"basis": str(interval.basis)}


def as_label(value: Any) -> ForeignLabel:
    """A label given as an object with id and text, or as a string."""
    if isinstance(value, Mapping):
        return ForeignLabel(as_text(value.get("id")), as_text(value.get("text")))
    return ForeignLabel("", as_text(value).strip())


def plain(value: Any) -> Any:
    """A value that JSON and UTF-8 can hold: no NaN (``None`` instead), no halves of characters."""
    if isinstance(value, Mapping):
        return {as_text(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return as_text(value) if isinstance(value, str) else value


def text_of(label: Label, label_set: LabelSet, language: str) -> str:
    """What a label is called in files that know texts only; its id where a text is not unique."""
    text = label.zh if language == "zh" else label.en
    return text if label_by_text(text, label_set) == label.id else label.id


def label_by_text(text: str, label_set: LabelSet) -> str:
    """The label whose id or only text this is; empty where there is none, or more than one."""
    if text in label_set:
        return text
    found = {label.id for label in label_set.labels if text in (label.zh, label.en)}
    return found.pop() if len(found) == 1 else ""
