"""From foreign labels and names to ours: what is certain, what a saved mapping says, what is open.

A mapping is a file that people keep with their project::

    {"schema": "tsloop.import-mapping/1", "label_set": "tsloop@1",
     "labels": [{"id": "label_1766468646084", "text": "点异常", "to": "anomaly"}],
     "overall": [{"attribute": "noise", "id": "clean", "text": "", "to": "medium"}],
     "series": {"data_FI001.csv": "plant/FI001"}}

``"to": null`` is an open question: a draft has it, and an import stops at it. An entry counts for
exactly the id *and* the text that it names, because one id stood for different texts over time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from tsloop.annotations.formats.attributes import known_value
from tsloop.annotations.formats.base import ForeignLabel, ForeignRecord
from tsloop.annotations.formats.losses import GENERAL
from tsloop.errors import AnnotationError, LabelSetError
from tsloop.files import read_json, write_json
from tsloop.labels import LabelSet

__all__ = [
    "SCHEMA",
    "Found",
    "How",
    "Mapped",
    "Survey",
    "as_dict",
    "find_label",
    "find_value",
    "survey",
]

SCHEMA = "tsloop.import-mapping/1"

_MODELS = frozenset({"chatts_detected", "qwen_detected", "chatts", "qwen", "chatts-8b", "timer"})
_NO_NAME = frozenset({"", "general", GENERAL})


class How(StrEnum):
    """How a foreign label was understood."""

    SAME = "same"  # id and text (as far as stated) are those of the label set
    TEXT = "by text"  # another id, but exactly the text of one label
    MAPPED = "mapped"  # an entry of the mapping says so
    MODEL = "a model's name"  # no kind of anomaly: the general label
    DRIFTED = "another text"  # our id, but a text that means something else
    UNKNOWN = "unknown"

    @property
    def settled(self) -> bool:
        """Whether it is clear what the label means."""
        return self not in (How.DRIFTED, How.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Found:
    """Our label for a foreign one, and why; ``to`` is empty where that is open."""

    to: str
    how: How


@dataclass(frozen=True, slots=True)
class Mapped:
    """The contents of a mapping file; the empty one knows nothing."""

    label_set: str = ""
    labels: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    overall: Mapping[tuple[str, str, str], str | None] = field(default_factory=dict)
    series: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, label_set: LabelSet) -> Self:
        """Read a mapping for a label set; one for another set is a `LabelSetError`."""
        data = read_json(path)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise AnnotationError(f"{path} is no mapping of schema {SCHEMA}.")
        if data.get("label_set") != label_set.ref:
            raise LabelSetError(
                f"The mapping {path} leads to label set {data.get('label_set')!r}, but the project "
                f"uses {label_set.ref}.",
                hint="Write a new one with: tsloop labels import FILE --write-mapping NEW.json",
            )
        try:
            labels = {(e.get("id", ""), e.get("text", "")): e["to"] for e in data.get("labels", [])}
            overall = {
                (e["attribute"], e.get("id", ""), e.get("text", "")): e["to"]
                for e in data.get("overall", [])
            }
            series = dict(data.get("series", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AnnotationError(f"The mapping {path} has a broken entry: {error!r}.") from error
        label_set.check(to for to in labels.values() if to is not None)
        return cls(label_set.ref, labels, overall, series)

    def save(self, path: Path) -> None:
        """Write the mapping; sorted, so that equal mappings give equal bytes."""
        write_json(
            path,
            {
                "schema": SCHEMA,
                "label_set": self.label_set,
                "labels": [
                    {"id": i, "text": t, "to": v} for (i, t), v in sorted(self.labels.items())
                ],
                "overall": [
                    {"attribute": a, "id": i, "text": t, "to": v}
                    for (a, i, t), v in sorted(self.overall.items())
                ],
                "series": dict(sorted(self.series.items())),
            },
        )


def names_model(label: ForeignLabel) -> bool:
    """Whether a label names a model: its output, which nobody has judged, and no anomaly type."""
    return bool({label.id.casefold(), label.text.casefold()} & _MODELS)


def find_label(label: ForeignLabel, stated_set: str, label_set: LabelSet, mapped: Mapped) -> Found:
    """What a foreign label is called here; nothing is guessed.

    ``stated_set`` is the label set that the file names: where it is the project's own, ids alone
    are enough.
    """
    to = mapped.labels.get((label.id, label.text))
    if to is not None:
        return Found(to, How.MAPPED)
    names = {label.id.casefold(), label.text.casefold()} - {""}
    if label.id in label_set:
        ours = label_set[label.id]
        same = not label.text or label.text in (ours.zh, ours.en, ours.id)
        if same or stated_set == label_set.ref:
            return Found(label.id, How.SAME)
        return Found("", How.DRIFTED)
    if names <= _NO_NAME and GENERAL in label_set:
        return Found(GENERAL, How.SAME)
    if label.text in label_set:
        return Found(label.text, How.TEXT)
    same_text = {o.id for o in label_set.labels if label.text and label.text in (o.zh, o.en)}
    if len(same_text) == 1:
        return Found(same_text.pop(), How.TEXT)
    if names_model(label) and GENERAL in label_set:
        return Found(GENERAL, How.MODEL)
    return Found("", How.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Survey:
    """All labels and attribute values of some records, each with how it was understood."""

    labels: Mapping[ForeignLabel, tuple[Found, int]]
    overall: Mapping[tuple[str, ForeignLabel], tuple[str | None, int]]

    @property
    def open_labels(self) -> list[ForeignLabel]:
        """Labels that need an entry in the mapping."""
        return [label for label, (found, _) in self.labels.items() if not found.how.settled]

    def draft(
        self, label_set: LabelSet, mapped: Mapped, series: Mapping[str, str | None]
    ) -> Mapped:
        """A mapping with an entry for each label, value and name; what is open is ``null``.

        A label that was found by its text stands in it as well, so that the file says all that an
        import did.
        """
        labels: dict[tuple[str, str], str | None] = {
            (label.id, label.text): found.to or None
            for label, (found, _) in self.labels.items()
            if found.how is not How.SAME
        }
        overall: dict[tuple[str, str, str], str | None] = {
            (attribute, value.id, value.text): to
            for (attribute, value), (to, _) in self.overall.items()
            if to is None
        }
        return Mapped(
            label_set.ref,
            {**labels, **mapped.labels},
            {**overall, **mapped.overall},
            {**series, **mapped.series},
        )


def survey(records: Iterable[ForeignRecord], label_set: LabelSet, mapped: Mapped) -> Survey:
    """Look up every label and attribute value once; the most frequent first."""
    counts: Counter[tuple[ForeignLabel, str]] = Counter()
    values: Counter[tuple[str, ForeignLabel]] = Counter()
    for record in records:
        counts.update((span.label, record.label_set) for span in record.spans)
        values.update(record.overall.items())
    labels: dict[ForeignLabel, tuple[Found, int]] = {}
    for (label, stated), count in counts.most_common():
        found = find_label(label, stated, label_set, mapped)
        held, n = labels.get(label, (found, 0))
        labels[label] = (held if not held.how.settled else found, n + count)
    overall = {
        (attribute, value): (find_value(attribute, value, label_set, mapped), count)
        for (attribute, value), count in values.most_common()
    }
    return Survey(labels, overall)


def find_value(
    attribute: str, value: ForeignLabel, label_set: LabelSet, mapped: Mapped
) -> str | None:
    """The value's id in the label set, or ``None`` where that is open."""
    to = mapped.overall.get((attribute, value.id, value.text))
    return to if to is not None else known_value(attribute, value, label_set)


def as_dict(label: ForeignLabel) -> dict[str, Any]:
    """Plain values for ``extra``; empty parts are left out."""
    return {key: text for key, text in (("id", label.id), ("text", label.text)) if text}
