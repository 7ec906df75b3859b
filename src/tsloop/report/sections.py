"""The report's pictures and stories: tiles, learning curves, clicks, curves, events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tsloop.evaluation.clicks import Clicks
from tsloop.intervals import Interval
from tsloop.report.bars import Bar, Segment, Stack, bar_chart, stack_chart
from tsloop.report.charts import Line, line_chart, pr_chart
from tsloop.report.data import CaseData, HistoryPoint, ReportData
from tsloop.report.series_plot import Mark, series_plot
from tsloop.report.svg import Text
from tsloop.report.tables import BreakdownRow, variant_styles
from tsloop.report.timeaxis import show_time, zone_of
from tsloop.report.vocabulary import (
    METRICS,
    interval_text,
    label_text,
    number,
    percent,
    show,
    signed,
)

__all__ = [
    "CaseView",
    "Tile",
    "breakdown_chart",
    "case_views",
    "click_chart",
    "click_story",
    "learning_charts",
    "pr_curves",
    "tiles",
    "training_charts",
]

TILE_METRICS = ("event_f1", "event_recall", "clicks_saved", "false_alarms_per_clean_series")
DASHES = ("solid", "dashed")
CURVE_METRICS = ("event_f1", "clicks_saved")


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline number: ``tone`` is good, bad or even, against the parent."""

    name: Text
    value: str
    interval: str
    change: Text | None
    tone: str
    meaning: Text


@dataclass(frozen=True, slots=True)
class CaseView:
    """A drawn event with its captions."""

    picture: str
    series_id: str
    variant: str
    what: Text
    when: str
    reason: str


def tiles(data: ReportData, variant: str | None) -> list[Tile]:
    """The headline variant's main numbers and their change against its parent."""
    if variant is None or variant not in data.variants:
        return []
    card, parent = data.variants[variant], data.parent_of(variant)
    out = []
    for key in TILE_METRICS:
        info = METRICS[key]
        value = card.metrics.get(key, math.nan)
        if not math.isfinite(value):
            continue
        change, tone = None, "even"
        before = parent[1].metrics.get(key, math.nan) if parent is not None else math.nan
        if parent is not None and math.isfinite(before):
            delta = value - before
            shown = Text.same(signed(delta))
            if info.kind == "percent":
                points = signed(100 * delta, 0)
                shown = Text(f"{points} points", f"{points} 个百分点")
            change = Text(f"{shown.en} vs {parent[0]}", f"较 {parent[0]} {shown.zh}")
            if signed(100 * delta, 0).strip("+−0"):
                tone = "good" if (delta > 0) == info.higher_is_better else "bad"
        between = interval_text(info, card.intervals.get(key))
        out.append(
            Tile(info.name, show(info, value, short=True), between, change, tone, info.meaning)
        )
    return out


def learning_charts(data: ReportData) -> list[str]:
    """Metric over iterations for every variant; points on another gold version are left out."""
    points = [p for p in data.history if p.gold_version in (None, data.gold_version)]
    own = [
        HistoryPoint(data.iteration, name, card.metrics, card.intervals)
        for name, card in data.variants.items()
    ]
    points = [p for p in points if p.iteration != data.iteration] + own
    places = list(dict.fromkeys(p.iteration for p in points if p.iteration == "base"))
    places += list(dict.fromkeys(p.iteration for p in points if p.iteration != "base"))
    return [_learning(data, points, places, key) for key in CURVE_METRICS] if points else []


def _learning(
    data: ReportData, points: Sequence[HistoryPoint], places: Sequence[str], key: str
) -> str:
    styles = variant_styles(data)
    lines = []
    for variant in sorted({p.variant for p in points}, key=styles.__getitem__):
        by_place = {p.iteration: p for p in points if p.variant == variant}
        known = [(i, by_place[name]) for i, name in enumerate(places) if name in by_place]
        bounds = [p.intervals.get(key, (math.nan, math.nan)) for _, p in known]
        lines.append(
            Line(
                variant,
                [float(i) for i, _ in known],
                [p.metrics.get(key, math.nan) for _, p in known],
                [low for low, _ in bounds],
                [high for _, high in bounds],
                styles[variant],
            )
        )
    clip = (-1.0, 1.0) if key == "clicks_saved" else (0.0, 1.0)
    # One very bad start must not flatten everything that came after it.
    return line_chart(
        lines,
        name=METRICS[key].name,
        x_name=Text("iteration", "迭代"),
        categories=places,
        y_include=(0.0,),
        y_clip=clip,
        percent=METRICS[key].kind == "percent",
    )


def click_story(data: ReportData, variant: str | None) -> Text | None:
    """What a variant's proposals spare the reviewer, in words; ``None`` without any event."""
    card = data.variants.get(variant or "")
    if card is None or card.clicks.saved is None:
        return None
    return _story(f"{data.iteration}/{variant}", card.clicks)


def _story(name: str, clicks: Clicks) -> Text:
    by_hand, total = 2 * clicks.n_events, clicks.total
    less_en, less_zh = ("fewer", "减少") if total <= by_hand else ("more", "增加")
    share = percent(clicks.saved or 0.0).lstrip("+−")
    relabel_en = f", {clicks.labels} types to change" if clicks.labels else ""
    relabel_zh = f"，改正 {clicks.labels} 个类型" if clicks.labels else ""
    return Text(
        f"Without help, {clicks.n_events} events cost {by_hand} clicks. With the proposals of "
        f"{name} it is {total}: {clicks.missed} missed events to draw (2 clicks each), "
        f"{clicks.false} false alarms to delete, {clicks.edges} edges to move{relabel_en}. "
        f"That is {share} {less_en}.",
        f"没有提议时，{clicks.n_events} 个事件需要 {by_hand} 次点击。"
        f"使用 {name} 的提议后为 {total} 次："
        f"补画 {clicks.missed} 个漏检事件（每个 2 次），删除 {clicks.false} 个误报，"
        f"移动 {clicks.edges} 条边界{relabel_zh}。{less_zh} {share}。",
    )


def click_chart(data: ReportData) -> str:
    """The work by hand and with each variant's proposals, stacked by kind of work."""
    styles = variant_styles(data)
    names = sorted(data.variants, key=styles.__getitem__)
    counts = [data.variants[name].clicks for name in names]
    if not any(clicks.n_events for clicks in counts):
        return ""
    by_hand = 2 * max(c.n_events for c in counts)
    draw = Text("draw missed events", "补画漏检")
    stacks = [
        Stack(
            Text("by hand", "手工"),
            (Segment(Text("draw every event", "画出每个事件"), by_hand, "hand"),),
            Text(f"{by_hand} clicks", f"{by_hand} 次点击"),
        )
    ]
    for name, c in zip(names, counts, strict=True):
        parts = (
            Segment(draw, 2 * c.missed, "k0"),
            Segment(Text("delete false alarms", "删除误报"), c.false, "k1"),
            Segment(Text("move edges", "移动边界"), c.edges, "k2"),
            Segment(Text("change types", "改正类型"), c.labels, "k3"),
        )
        stacks.append(Stack(Text.same(name), parts, _compared(c)))
    return stack_chart(stacks, name=Text("Clicks of the reviewer", "审核者的点击次数"))


def _compared(clicks: Clicks) -> Text:
    """``179 clicks, 41 % fewer``."""
    total, share = clicks.total, percent(clicks.saved or 0.0)
    if not share.startswith(("+", "−")):
        return Text(f"{total} clicks", f"{total} 次点击")
    less = share.startswith("+")
    en, zh = ("fewer", "减少") if less else ("more", "增加")
    return Text(f"{total} clicks, {share[1:]} {en}", f"{total} 次点击，{zh} {share[1:]}")


def breakdown_chart(rows: Sequence[BreakdownRow], column: int, name: Text, style: int) -> str:
    """One variant's figures by label or group, with error bars and the number of events."""
    bars = []
    for row in rows:
        value, low, high = row.values[column]
        note = f"n={row.count}" if row.count != "–" else ""
        bars.append(Bar(row.name, value, low, high, note, style=style))
    return bar_chart(bars, name=name)


def training_charts(data: ReportData) -> list[str]:
    """Losses over training steps, one picture for each variant that trained."""
    out = []
    for variant, style in variant_styles(data).items():
        rows = [r for r in data.training.get(variant, ()) if "step" in r]
        lines = []
        for n, (key, words) in enumerate((("loss", "train"), ("valid_loss", "validation"))):
            known = [(float(r["step"]), float(r[key])) for r in rows if key in r]
            if known:
                xs, ys = zip(*known, strict=True)
                few = len(xs) < 25
                lines.append(Line(words, xs, ys, style=style, markers=few, dash=DASHES[n]))
        if lines:
            name = Text(f"{variant}: loss", f"{variant}：损失")
            out.append(line_chart(lines, name=name, x_name=Text("step", "步"), y_include=(0.0,)))
    return out


def pr_curves(data: ReportData) -> str:
    """Precision over recall for every variant that has a curve."""
    styles = variant_styles(data)
    lines = [
        Line(name, [r for r, _ in points], [p for _, p in points], style=style, markers=False)
        for name, style in styles.items()
        if (points := data.pr_curves.get(name))
    ]
    return pr_chart(lines) if lines else ""


def case_views(data: ReportData, kind: str) -> list[CaseView]:
    """The pictures of one kind (``miss`` or ``false_alarm``), in the given order."""
    return [_case(data, case) for case in data.cases if case.kind == kind]


def _case(data: ReportData, case: CaseData) -> CaseView:
    what = label_text(data.label_set, case.focus.label)
    rows = case.event_rows or len(case.focus)
    en, zh = [what.en, f"{rows} rows"], [what.zh, f"{rows} 行"]
    if math.isfinite(case.top_score):
        top = number(case.top_score, 2)
        en.append(f"highest score {top}")
        zh.append(f"最高得分 {top}")
    start, end = case.t_start, case.t_end
    when = ""
    if start is not None and end is not None:
        first, last = show_time(start, case.zone), show_time(end, case.zone)
        shown = last[11:] if last[:10] == first[:10] else last
        when = f"{first} – {shown}" if last != first else first
        when += f" {zone_of(case.zone)[1]}"
    name = Text(f"{case.series_id}: {en[0]}", f"{case.series_id}：{zh[0]}")
    picture = series_plot(
        case.timestamps,
        case.values,
        truth=_marks(data, case.truth),
        predicted=_marks(data, case.predicted),
        scores=case.scores,
        threshold=case.threshold,
        name=name,
        unit=case.unit,
        zone=case.zone,
    )
    shown_what = Text(" · ".join(en), " · ".join(zh))
    return CaseView(
        picture, case.title or case.series_id, case.variant, shown_what, when, case.reason
    )


def _marks(data: ReportData, intervals: Sequence[Interval]) -> list[Mark]:
    return [Mark(i.start, i.end, label_text(data.label_set, i.label)) for i in intervals]
