"""JSON-like figures as readable blocks: where they come from may grow without a change here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.labels import LabelSet
from tsloop.report.data import ReportData
from tsloop.report.svg import Text
from tsloop.report.tables import variant_styles
from tsloop.report.vocabulary import label_text, plain

__all__ = ["Block", "Node", "blocks", "chains", "config_text", "flat"]

MAX_ITEMS = 12


@dataclass(frozen=True, slots=True)
class Block:
    """A titled list of names and values; the title is empty for figures of the top level."""

    title: Text
    rows: tuple[tuple[Text, str], ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A station on the way from series to numbers."""

    title: Text
    name: str
    facts: tuple[tuple[Text, str], ...]
    sha256: str


def _words(key: str, label_set: LabelSet) -> Text:
    if key in label_set:
        return label_text(label_set, key)
    return Text.same(key.replace("_", " "))


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(plain(v) for v in values[:MAX_ITEMS])
    left = len(values) - MAX_ITEMS
    return f"{shown}, … (+{left})" if left > 0 else shown or "–"


def flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Leaves with dotted names, in the given order; lists are leaves."""
    out: list[tuple[str, Any]] = []
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            out += flat(value, f"{name}.")
        else:
            out.append((name, value))
    return out


def _leaf(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _listed(value)
    return plain(value)


def blocks(data: Mapping[str, Any], label_set: LabelSet) -> list[Block]:
    """Top-level figures first, then one block for each nested mapping."""
    top = tuple(
        (_words(str(k), label_set), _leaf(v))
        for k, v in data.items()
        if not (isinstance(v, Mapping) and v)
    )
    out = [Block(Text.same(""), top)] if top else []
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            rows = tuple((_words(name, label_set), _leaf(leaf)) for name, leaf in flat(value))
            out.append(Block(_words(str(key), label_set), rows))
    return out


def _facts(data: Mapping[str, Any], label_set: LabelSet) -> tuple[tuple[Text, str], ...]:
    scalars = [(k, v) for k, v in data.items() if isinstance(v, str | int | float | bool)]
    kept = [(k, v) for k, v in scalars if "sha" not in k and k not in ("schema", "name")]
    return tuple((_words(str(k), label_set), plain(v)) for k, v in kept[:5])


def _node(
    data: ReportData, title: Text, key: str, facts: Mapping[str, Any], name: str = ""
) -> Node:
    sha256 = data.hashes.get(key) or str(facts.get("sha256") or "")
    return Node(title, name, _facts(facts, data.label_set), sha256)


def chains(data: ReportData) -> list[tuple[str, list[Node]]]:
    """For every variant: from series over labels and windows to its model and its numbers."""
    shared = [
        _node(data, Text("Series", "序列"), "series", data.data_summary),
        _node(data, Text("Label snapshot", "标注快照"), "snapshot", data.snapshot, data.iteration),
        _node(data, Text("Training windows", "训练窗口"), "dataset", data.dataset),
    ]
    version = "" if data.gold_version is None else f"v{data.gold_version}"
    gold = _node(data, Text("Measured on gold", "在金标上评估"), "gold", data.gold, version)
    names = [n for n in variant_styles(data) if n in data.variants or n in data.failures]
    out = []
    for name in names:
        made = data.lineage.get(name, {})
        title = Text("Model", "模型")
        model = _node(data, title, f"model/{name}", made, f"{data.iteration}/{name}")
        out.append((name, [n for n in (*shared, model, gold) if n.facts or n.sha256 or n.name]))
    return out


def config_text(config: Mapping[str, Any]) -> str:
    """The configuration as YAML with sorted keys."""
    import yaml

    return yaml.safe_dump(_tame(config), sort_keys=True, allow_unicode=True) if config else ""


def _tame(value: Any) -> Any:
    """The same structure of plain types only: what YAML cannot write becomes text."""
    if isinstance(value, Mapping):
        return {str(k): _tame(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_tame(v) for v in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
