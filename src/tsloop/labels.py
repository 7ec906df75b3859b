"""Versioned, bilingual label sets.

A label id means something only together with the set and version that define it, so records name
their set as ``id@version`` and reading one against another version is an error, not a guess.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Self

from tsloop.errors import LabelSetError

__all__ = ["Attribute", "Label", "LabelSet", "builtin_label_set", "load_label_set"]


@dataclass(frozen=True, slots=True)
class Label:
    """One kind of anomaly: an id, its texts, a colour (#rrggbb) and the group it is shown in."""

    id: str
    zh: str
    en: str
    color: str = "#888888"
    group: str = "general"


@dataclass(frozen=True, slots=True)
class Attribute:
    """A property of a whole series (trend, seasonality, …) and the values it may take."""

    id: str
    zh: str
    en: str
    values: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Labels and whole-series attributes under one id and version."""

    id: str
    version: int
    labels: tuple[Label, ...]
    attributes: tuple[Attribute, ...] = ()

    @property
    def ref(self) -> str:
        """``id@version``, as records name it."""
        return f"{self.id}@{self.version}"

    @property
    def ids(self) -> tuple[str, ...]:
        """Label ids in the order of the set; a model's label head uses this order."""
        return tuple(label.id for label in self.labels)

    def __contains__(self, label_id: object) -> bool:
        return label_id in self.ids

    def __getitem__(self, label_id: str) -> Label:
        for label in self.labels:
            if label.id == label_id:
                return label
        raise LabelSetError(
            f"Label {label_id!r} is not in label set {self.ref}; it knows {list(self.ids)}.",
            hint="Use one of them, or set labels.set to the set that defines it.",
        )

    def check(self, label_ids: Iterable[str]) -> None:
        """Raise `LabelSetError` at the first id that the set does not know."""
        for label_id in label_ids:
            self[label_id]

    @classmethod
    def from_dict(cls, data: dict[str, Any], where: str = "label set") -> Self:
        """Build from parsed JSON; ``where`` names the file in error messages."""
        try:
            labels = tuple(Label(**item) for item in data["labels"])
            attributes = tuple(
                Attribute(a["id"], a["zh"], a["en"], tuple(Label(**v) for v in a["values"]))
                for a in data.get("attributes", [])
            )
            label_set = cls(str(data["id"]), int(data["version"]), labels, attributes)
        except (KeyError, TypeError, ValueError) as error:
            raise LabelSetError(
                f"{where} is not a label set: {error!r}.",
                hint='It needs "id", "version" and "labels", each with id, zh and en.',
            ) from error
        if len(set(label_set.ids)) != len(labels):
            doubled = sorted({i for i in label_set.ids if label_set.ids.count(i) > 1})
            raise LabelSetError(f"{where} defines label ids twice: {doubled}.")
        return label_set


def load_label_set(path: Path) -> LabelSet:
    """Read a label set from a JSON file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabelSetError(
            f"Label set file {path} does not exist.", hint="Set labels.set to a file or 'tsloop'."
        ) from None
    except json.JSONDecodeError as error:
        raise LabelSetError(f"Label set file {path} is not JSON: {error}.") from error
    return LabelSet.from_dict(data, str(path))


@cache
def builtin_label_set() -> LabelSet:
    """The label set that ships with tsloop (``tsloop@1``)."""
    text = resources.files("tsloop").joinpath("label_sets/tsloop-1.json").read_text("utf-8")
    return LabelSet.from_dict(json.loads(text), "built-in label set")
