"""The report's tables: every system against the same metrics, and one variant taken apart."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.labels import LabelSet
from tsloop.report.data import Card, ReportData, variant_of
from tsloop.report.svg import Text
from tsloop.report.vocabulary import (
    BASELINES,
    METRICS,
    MetricInfo,
    interval_text,
    label_text,
    plain,
    show,
)

__all__ = [
    "BreakdownRow",
    "Cell",
    "MetricTable",
    "System",
    "SystemRow",
    "breakdown",
    "group_rows",
    "label_rows",
    "metric_tables",
    "systems",
    "variant_styles",
    "wilson",
]

EVENT_COLUMNS = (
    "event_f1",
    "event_precision",
    "event_recall",
    "event_f1_iou30",
    "event_f1_iou50",
    "clicks_saved",
)
OTHER_COLUMNS = (
    "vus_pr",
    "auc_pr",
    "affiliation_f1",
    "point_f1",
    "label_accuracy",
    "false_alarms_per_clean_series",
    "n_failed",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a table; ``undefined`` says why there is none, ``alarm`` draws the eye."""

    text: str = "–"
    interval: str = ""
    best: bool = False
    undefined: str = ""
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class System:
    """A row to be: whose scorecard it is and in what role it stands in the table."""

    name: Text
    role: str
    card: Card | None = None
    failure: str = ""
    badges: tuple[Text, ...] = ()
    style: int | None = None


@dataclass(frozen=True, slots=True)
class SystemRow:
    """A system with its cells."""

    system: System
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class MetricTable:
    """Columns and rows of one table."""

    columns: tuple[MetricInfo, ...]
    rows: tuple[SystemRow, ...]
    undefined: tuple[tuple[Text, Text, str], ...]


@dataclass(frozen=True, slots=True)
class BreakdownRow:
    """One label or one group: how many events it has, and each variant's cell for it."""

    key: str
    name: Text
    count: str
    cells: tuple[Cell, ...]
    values: tuple[tuple[float, float, float], ...]
    color: str = ""


def variant_styles(data: ReportData) -> dict[str, int]:
    """Each variant's colour, dash and marker, the same all over the report."""
    names = {*data.variants, *data.failures, *data.training}
    names |= {*(p.variant for p in data.history), *data.pr_curves}
    first = [data.primary] if data.primary in names else []
    return {name: i for i, name in enumerate([*first, *sorted(names - set(first))])}


def systems(data: ReportData) -> list[System]:
    """This iteration's variants, then their parents and the champion, then the baselines."""
    styles = variant_styles(data)
    rows = [
        _own(data, name, styles[name]) for name in sorted(data.variants, key=styles.__getitem__)
    ]
    rows += [
        System(Text.same(f"{data.iteration}/{name}"), "own", failure=reason, style=styles[name])
        for name, reason in sorted(data.failures.items())
        if name not in data.variants
    ]
    seen = {row.name.en for row in rows}
    order = {name: place for place, name in enumerate(styles)}
    parents = sorted(
        data.parent_scorecards, key=lambda name: (order.get(variant_of(name), len(order)), name)
    )
    others = [(name, data.parent_scorecards[name], "parent") for name in parents]
    if data.champion and data.champion_scorecard is not None:
        others.append((data.champion, data.champion_scorecard, "champion"))
    for name, card, role in others:
        if name not in seen:
            seen.add(name)
            badges = _badges(data, name, parent=role == "parent")
            rows.append(System(Text.same(name), role, card, badges=badges))
    rows += [
        System(BASELINES.get(name, Text.same(name)), "baseline", card)
        for name, card in sorted(data.baselines.items())
    ]
    return rows


def _own(data: ReportData, variant: str, style: int) -> System:
    name = f"{data.iteration}/{variant}"
    failure = data.failures.get(variant, "")
    badges = _badges(data, name, parent=False)
    return System(Text.same(name), "own", data.variants[variant], failure, badges, style)


def _badges(data: ReportData, name: str, *, parent: bool) -> tuple[Text, ...]:
    badges = [Text("parent", "父代")] if parent else []
    if name == data.champion:
        badges.append(Text("champion", "冠军"))
    return tuple(badges)


def metric_tables(rows: Sequence[System]) -> list[MetricTable]:
    """Two tables: finding events, and ranking, cost and failures."""
    known = [row for row in rows if row.card is not None or row.failure]
    return [_table(known, columns) for columns in (EVENT_COLUMNS, OTHER_COLUMNS)]


def _table(rows: Sequence[System], keys: Sequence[str]) -> MetricTable:
    columns = tuple(METRICS[key] for key in keys)
    best = {info.key: _best(rows, info) for info in columns}
    body = tuple(
        SystemRow(row, tuple(_cell(row, info, best[info.key]) for info in columns)) for row in rows
    )
    reasons = tuple(
        (row.name, info.name, _why(row.card.undefined[info.key]))
        for row in rows
        if row.card is not None
        for info in columns
        if info.key in row.card.undefined
    )
    return MetricTable(columns, body, reasons)


def _why(reason: str) -> str:
    return reason.removeprefix("undefined: ")


def _best(rows: Sequence[System], info: MetricInfo) -> str:
    """The best value of the models as shown; baselines and a lone model do not compete."""
    models = [r.card for r in rows if r.card is not None and r.role != "baseline"]
    values = [c.metrics[info.key] for c in models if info.key in c.metrics]
    if len(values) < 2 or info.kind == "count" or min(values) == max(values):
        return ""
    return show(info, max(values) if info.higher_is_better else min(values))


def _cell(row: System, info: MetricInfo, best: str) -> Cell:
    if row.card is None:
        return Cell()
    card = row.card
    if info.key in card.undefined:
        return Cell("undefined", undefined=_why(card.undefined[info.key]) or "undefined")
    value = card.metrics.get(info.key, math.nan)
    if not math.isfinite(value):
        return Cell()
    text = show(info, value)
    between = interval_text(info, card.intervals.get(info.key))
    alarm = info.key == "clicks_saved" and value < 0 and row.role != "baseline"
    if info.key == "n_failed":
        total = card.metrics.get("n_series", math.nan)
        between = f"/ {total:.0f}" if math.isfinite(total) else ""
        alarm = value > 0
    return Cell(text, between, row.role != "baseline" and text == best, alarm=alarm)


def label_rows(data: ReportData, variants: Sequence[str]) -> list[BreakdownRow]:
    """Recall for every kind of anomaly, in the order of the label set, then unknown ids."""
    cards = [data.variants[name].per_label for name in variants]
    order = {label_id: i for i, label_id in enumerate(data.label_set.ids)}
    keys = {key for card in cards for key in card}
    rows = breakdown(
        cards, sorted(keys, key=lambda k: (order.get(k, len(order)), k)), "event_recall"
    )
    return [
        BreakdownRow(
            row.key,
            label_text(data.label_set, row.key),
            row.count,
            row.cells,
            row.values,
            _color(data.label_set, row.key),
        )
        for row in rows
    ]


def _color(label_set: LabelSet, label_id: str) -> str:
    """The label's colour; empty unless it is a plain hexadecimal one."""
    color = label_set[label_id].color if label_id in label_set else ""
    return color if re.fullmatch(r"#[0-9a-fA-F]{3,8}", color) else ""


def group_rows(data: ReportData, variants: Sequence[str]) -> list[BreakdownRow]:
    """Event F1 for every gold group, by name."""
    cards = [data.variants[name].per_group for name in variants]
    return breakdown(cards, sorted({key for card in cards for key in card}), "event_f1")


def breakdown(
    cards: Sequence[Mapping[str, Mapping[str, Any]]], keys: Sequence[str], metric: str
) -> list[BreakdownRow]:
    """One row for each key; a variant that has no such figure gets an empty cell."""
    rows = []
    for key in keys:
        figures = [card.get(key, {}) for card in cards]
        counts = [f["n_events"] for f in figures if "n_events" in f]
        cells, values = (
            zip(*(_share(f, metric) for f in figures), strict=True) if figures else ((), ())
        )
        count = plain(counts[0]) if counts else "–"
        rows.append(BreakdownRow(key, Text.same(key), count, tuple(cells), tuple(values)))
    return rows


def _share(figures: Mapping[str, Any], metric: str) -> tuple[Cell, tuple[float, float, float]]:
    info = METRICS[metric]
    value = figures.get(metric)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return Cell(), (math.nan, math.nan, math.nan)
    found, events = figures.get("n_found"), figures.get("n_events")
    bounds = None
    if metric == "event_recall" and found is not None and events:
        bounds = wilson(float(found), float(events))
    low, high = bounds or (math.nan, math.nan)
    cell = Cell(show(info, float(value), short=True), interval_text(info, bounds))
    return cell, (float(value), low, high)


def wilson(hits: float, n: float) -> tuple[float, float]:
    """The 95 % Wilson interval of a share: honest for few trials, never outside [0, 1]."""
    z = 1.959964
    share, square = hits / n, z * z / n
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)
