"""Label sets of the annotator (``labels.json``) as label sets of ours, and how two sets differ.

Those files carry no version and kept ids while their texts changed, so the differences are what a
person looks at before a set, or labels that speak it, are taken over. Names of models stand among
the labels there; they are no kinds of anomaly and stay out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tsloop.annotations.formats.attributes import attribute_id
from tsloop.annotations.formats.base import ForeignLabel
from tsloop.annotations.formats.losses import GENERAL
from tsloop.annotations.formats.mapping import names_model
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.values import as_text
from tsloop.errors import LabelSetError
from tsloop.labels import Attribute, Label, LabelSet, builtin_label_set

__all__ = ["Drift", "differences", "is_labels_json", "read_labels_json", "to_dict"]

_GREY = "#888888"


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference of two label sets: a label (or ``attribute/value``) with the text that it has
    in ours and in theirs, empty where that set lacks it; ``same_as`` is our id of that text."""

    id: str
    ours: str
    theirs: str
    same_as: str = ""

    def __str__(self) -> str:
        if self.ours and self.theirs:
            return f"{self.id}: means {self.ours!r} here, but {self.theirs!r} there"
        if self.ours:
            return f"{self.id}: {self.ours!r} is not there"
        same = f", which is called {self.same_as} here" if self.same_as else ""
        return f"{self.id}: {self.theirs!r} is not here{same}"


def is_labels_json(data: Any) -> bool:
    """Whether a document is such a label set."""
    return isinstance(data, dict) and isinstance(data.get("local_change"), dict)


def read_labels_json(source: Source, set_id: str, version: int) -> tuple[LabelSet, list[str]]:
    """The label set under an id and version of ours, and the names of models that were left out.

    Its texts are Chinese; where an id and text are those of the built-in set, the English text is
    taken from there. The general label is added where it is missing.
    """
    data = source.json
    if not is_labels_json(data):
        raise LabelSetError(
            f"{source.path} is no label set of the annotator.",
            hint='It needs "local_change" with categories, each with a list of labels.',
        )
    models: list[str] = []
    found: dict[str, Label] = {}
    for group, item in _labels(data["local_change"]):
        label = _label(item, group)
        if names_model(ForeignLabel(label.id, label.zh)):
            models.append(label.zh)
        else:
            _add(found, label, source)
    for item in data.get("custom_labels") or []:
        _add(found, _label(item, "custom"), source)
    if GENERAL not in found:
        found = {GENERAL: builtin_label_set()[GENERAL], **found}
    attributes: dict[str, list[Label]] = {}
    for group, item in _labels(data.get("overall_attribute") or {}):
        attributes.setdefault(group, []).append(_label(item, "general"))
    return (
        LabelSet(
            set_id,
            version,
            tuple(found.values()),
            tuple(_attribute(g, values, data) for g, values in attributes.items()),
        ),
        models,
    )


def differences(ours: LabelSet, theirs: LabelSet) -> list[Drift]:
    """Where the two sets do not say the same: drifted texts first, then new and missing ids."""
    a, b = _texts(ours), _texts(theirs)
    drifted = [Drift(i, a[i][0], b[i][0]) for i in a if i in b and not set(a[i]) & set(b[i])]
    # Texts of values mean something only within their attribute.
    named = {(i.rpartition("/")[0], text): i for i, texts in a.items() for text in texts}
    new = [
        Drift(i, "", b[i][0], named.get((i.rpartition("/")[0], b[i][0]), ""))
        for i in b
        if i not in a
    ]
    return drifted + new + [Drift(i, a[i][0], "") for i in a if i not in b]


def to_dict(label_set: LabelSet) -> dict[str, Any]:
    """Plain values that `LabelSet.from_dict` reads."""

    def plain(label: Label) -> dict[str, str]:
        return {"id": label.id, "zh": label.zh, "en": label.en}

    return {
        "id": label_set.id,
        "version": label_set.version,
        "labels": [
            {**plain(label), "color": label.color, "group": label.group}
            for label in label_set.labels
        ],
        "attributes": [
            {"id": a.id, "zh": a.zh, "en": a.en, "values": [plain(value) for value in a.values]}
            for a in label_set.attributes
        ],
    }


def _labels(groups: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """``(category, label)``; the categories may be nested under ``categories``."""
    inner = groups.get("categories") if isinstance(groups, Mapping) else None
    for name, group in (inner if isinstance(inner, Mapping) else groups).items():
        for item in (group.get("labels") if isinstance(group, Mapping) else None) or []:
            yield str(name), item


def _label(item: Any, group: str) -> Label:
    label_id = as_text(item.get("id")) if isinstance(item, Mapping) else ""
    if not label_id:
        raise LabelSetError(f"The label {item!r:.60} of {group!r} has no id.")
    text = as_text(item.get("text")) or label_id
    same = _known(label_id, text)
    return Label(label_id, text, same or text, as_text(item.get("color")) or _GREY, group)


def _known(label_id: str, text: str) -> str:
    """The English text of a label (or attribute value) that the built-in set has as well."""
    known = builtin_label_set()
    values = [value for a in known.attributes for value in a.values]
    same = (x.en for x in (*known.labels, *values) if x.zh == text)
    return next(same, "")


def _add(found: dict[str, Label], label: Label, source: Source) -> None:
    if label.id in found and found[label.id].zh != label.zh:
        raise LabelSetError(
            f"{source.path} has two labels of id {label.id!r}: {found[label.id].zh!r} and "
            f"{label.zh!r}."
        )
    found.setdefault(label.id, label)


def _attribute(group: str, values: list[Label], data: Mapping[str, Any]) -> Attribute:
    own = attribute_id(group)
    known = next((a for a in builtin_label_set().attributes if a.id == own), None)
    groups = data["overall_attribute"]
    groups = groups.get("categories", groups)
    name = as_text(groups[group].get("name")) or own
    return Attribute(own, name, known.en if known else name, tuple(values))


def _texts(label_set: LabelSet) -> dict[str, tuple[str, str]]:
    found = {label.id: (label.zh, label.en) for label in label_set.labels}
    for attribute in label_set.attributes:
        found |= {f"{attribute.id}/{v.id}": (v.zh, v.en) for v in attribute.values}
    return found
