"""JSON-like figures as readable blocks: where they come from may grow without a change here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.labels import LabelSet
from tsloop.report.data import ReportData
from tsloop.report.svg import Text
from tsloop.report.tables import variant_styles
from tsloop.report.vocabulary import label_text, plain

__all__ = ["Block", "Node", "blocks", "chain", "config_text", "flat"]

MAX_ITEMS = 12
MAX_ROWS = 24
MAX_FACTS = 6
HASH = re.compile(r"(sha256:)?[0-9a-f]{32,64}")


@dataclass(frozen=True, slots=True)
class Block:
    """A titled list of names and values (no title: figures of the top level), or a table.

    ``left`` counts the rows that are not shown.
    """

    title: Text
    rows: tuple[tuple[Text, str], ...]
    head: tuple[Text, ...] = ()
    body: tuple[tuple[Text, tuple[str, ...]], ...] = ()
    left: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """A station on the way from series to numbers."""

    title: Text
    name: str
    facts: tuple[tuple[Text, str], ...]
    sha256: str
    style: int | None = None


def _words(key: str, label_set: LabelSet) -> Text:
    if key in label_set:
        return label_text(label_set, key)
    return Text.same(key.removeprefix("n_").replace("_", " "))


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(plain(v) for v in values[:MAX_ITEMS])
    left = len(values) - MAX_ITEMS
    return f"{shown}, … (+{left})" if left > 0 else shown or "0"


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
    """Top-level figures first, then a block for each nested mapping and each list of findings.

    Mappings (or findings) of equal make, such as the figures of every label, become a table.
    """
    top: list[tuple[Text, str]] = []
    out: list[Block] = []
    for key, value in data.items():
        title = _words(str(key), label_set)
        if isinstance(value, Mapping) and value:
            out.append(_nested(title, value, label_set))
        elif _is_rows(value):
            rows = [("", row) for row in value]
            out.append(_table(title, rows, label_set))
        elif key != "schema":
            top.append((title, _leaf(value)))
    return [Block(Text.same(""), tuple(top)), *out] if top else out


def _is_rows(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value)


def _nested(title: Text, data: Mapping[str, Any], label_set: LabelSet) -> Block:
    inner = list(data.values())
    if len(inner) > 1 and all(isinstance(v, Mapping) and v for v in inner):
        return _table(title, [(str(k), v) for k, v in data.items()], label_set)
    rows = tuple((_words(name, label_set), _leaf(leaf)) for name, leaf in flat(data))
    return Block(title, rows[:MAX_ROWS], left=max(0, len(rows) - MAX_ROWS))


def _table(title: Text, rows: Sequence[tuple[str, Any]], label_set: LabelSet) -> Block:
    shown = [(key, row) for key, row in rows if isinstance(row, Mapping)][:MAX_ROWS]
    columns = list(dict.fromkeys(str(k) for _, row in shown for k in row))
    head = tuple(_words(name, label_set) for name in columns)
    body = tuple(
        (_words(key, label_set), tuple(_leaf(row.get(name, "")) for name in columns))
        for key, row in shown
    )
    return Block(title, (), head, body, max(0, len(rows) - len(shown)))


def _facts(data: Mapping[str, Any], label_set: LabelSet) -> tuple[tuple[Text, str], ...]:
    """The first few plain figures, those of nested mappings too; no hashes, no schema."""
    scalars = [
        (key.rpartition(".")[2], value)
        for key, value in flat(data)
        if isinstance(value, str | int | float | bool) and not HASH.fullmatch(str(value))
    ]
    kept = [(key, value) for key, value in scalars if key not in ("schema", "name", "sha256")]
    return tuple((_words(key, label_set), plain(value)) for key, value in kept[:MAX_FACTS])


def _node(
    data: ReportData,
    title: Text,
    key: str,
    facts: Mapping[str, Any],
    name: str = "",
    style: int | None = None,
) -> Node:
    sha256 = data.hashes.get(key) or str(facts.get("sha256") or "")
    return Node(title, name, _facts(facts, data.label_set), sha256, style)


def chain(data: ReportData) -> list[list[Node]]:
    """Columns from series over labels and windows to the models (stacked) and their numbers."""
    columns = [
        [_node(data, Text("Series", "序列"), "series", data.data_summary)],
        [_node(data, Text("Label snapshot", "标注快照"), "snapshot", data.snapshot)],
        [_node(data, Text("Training windows", "训练窗口"), "dataset", data.dataset)],
    ]
    models = []
    for name, style in variant_styles(data).items():
        if name in data.variants or name in data.failures:
            whole = f"{data.iteration}/{name}"
            made = dict(data.lineage.get(name, {}))
            if name in data.failures and name not in data.variants:
                made["failed"] = data.failures[name]
            models.append(_node(data, Text.same(whole), f"model/{name}", made, style=style))
    version = "" if data.gold_version is None else f"v{data.gold_version}"
    gold = _node(data, Text("Measured on gold", "在金标上评估"), "gold", data.gold, version)
    kept = [[n for n in c if n.facts or n.sha256 or n.name] for c in (*columns, [gold])]
    return [c for c in (*kept[:3], models, kept[3]) if c]


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
