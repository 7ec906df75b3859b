"""The report's first words: what the numbers say, in one sentence a busy reader understands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tsloop.report.data import Card, ReportData, Verdict
from tsloop.report.svg import Text
from tsloop.report.vocabulary import BASELINES, METRICS, MetricInfo, interval_text, show, signed

__all__ = ["BADGES", "Statement", "headline_variant", "statement"]

OUT_OF_REACH = 500
"""Nobody labels so many more groups to settle a comparison."""

JOINER = "\N{WORD JOINER}"

BADGES = {
    "win": Text("better", "更好"),
    "lose": Text("worse", "更差"),
    "trivial": Text("not good enough", "未达标"),
    "undecided": Text("undecided", "未定"),
    "first": Text("first", "首个"),
    "failed": Text("failed", "失败"),
    "measured": Text("measured", "已评估"),
    "nothing": Text("no result", "无结果"),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A verdict in words: ``outcome`` (a key of the badges), the sentence, and what backs it."""

    outcome: str
    badge: Text
    sentence: Text
    detail: Text | None = None


def headline_variant(data: ReportData) -> str | None:
    """Whose verdict comes first: the primary variant, else the one with the best event F1."""
    if data.primary in data.variants:
        return data.primary
    if not data.variants:
        return None
    return min(
        data.variants, key=lambda v: (-data.variants[v].metrics.get("event_f1", -math.inf), v)
    )


def statement(data: ReportData, variant: str | None) -> Statement:
    """What to say of one variant, with or without a verdict of the gate."""
    if variant is None:
        if data.failures:
            name, reason = sorted(data.failures.items())[0]
            return _failed(f"{data.iteration}/{name}", reason)
        return Statement(
            "nothing",
            BADGES["nothing"],
            Text(
                f"{data.iteration} has no measured model yet.",
                f"{data.iteration} 还没有可评估的模型。",
            ),
        )
    name = f"{data.iteration}/{variant}"
    verdict = data.verdict_of(variant)
    if verdict is not None:
        return _judged(verdict, data.baselines)
    if variant in data.failures:
        return _failed(name, data.failures[variant])
    return _measured(name, data.variants[variant])


def _failed(name: str, reason: str) -> Statement:
    return Statement(
        "failed",
        BADGES["failed"],
        Text(f"{name} failed and was not measured.", f"{name} 失败，未能评估。"),
        Text.same(reason),
    )


def _measured(name: str, card: Card) -> Statement:
    info = METRICS["event_f1"]
    value = card.metrics.get("event_f1", math.nan)
    if math.isnan(value):
        why = card.undefined.get("event_f1", "").removeprefix("undefined: ")
        more = f": {why}" if why else ""
        sentence = Text(f"{name}: event F1 is undefined{more}.", f"{name}：事件 F1 无定义{more}。")
        return Statement("measured", BADGES["measured"], sentence)
    shown = _with_interval(info, value, card.intervals.get("event_f1"))
    return Statement(
        "measured",
        BADGES["measured"],
        Text(f"{name}: {_inside(info)} {shown.en}.", f"{name}：{info.name.zh} {shown.zh}。"),
    )


def _inside(info: MetricInfo) -> str:
    """The metric's English name inside a sentence; abbreviations keep their capitals."""
    name = info.name.en
    return name[0].lower() + name[1:] if name[1:2].islower() else name


def _with_interval(info: MetricInfo, value: float, bounds: tuple[float, float] | None) -> Text:
    between = interval_text(info, bounds)
    shown = show(info, value, short=True)
    if not between:
        return Text.same(shown)
    # A line must not break inside the numbers.
    between = between.replace("–", f"{JOINER}–{JOINER}").replace(" ", "\N{NO-BREAK SPACE}")
    return Text(f"{shown}\N{NO-BREAK SPACE}({between})", f"{shown}（{between}）")


def _judged(verdict: Verdict, baselines: Mapping[str, Card]) -> Statement:
    if verdict.outcome == "failed":
        return _failed(verdict.candidate, verdict.reason)
    if verdict.outcome == "lose" and (trivial := _trivial(verdict, baselines)) is not None:
        return Statement("lose", BADGES["trivial"], trivial, _detail(verdict))
    return Statement(verdict.outcome, BADGES[verdict.outcome], _sentence(verdict), _detail(verdict))


def _trivial(verdict: Verdict, baselines: Mapping[str, Card]) -> Text | None:
    """What to say of a model that a baseline equals, whatever it does to its reference."""
    figures = {
        name: card.metrics.get(verdict.metric, -math.inf) for name, card in baselines.items()
    }
    ahead = sorted((-value, name) for name, value in figures.items() if value >= verdict.value)
    if not ahead:
        return None
    info = METRICS.get(verdict.metric, METRICS["event_f1"])
    best, own = ahead[0][1], verdict.candidate
    name = BASELINES.get(best, Text.same(best))
    value, against = show(info, verdict.value, short=True), show(info, figures[best], short=True)
    figures_en = f"{_inside(info)} {value} against {against}"
    return Text(
        f"{own} is no better than the baseline “{name.en}”: {figures_en}.",
        f"{own} 并不优于基线“{name.zh}”：{info.name.zh} {value}，对比 {against}。",
    )


def _sentence(verdict: Verdict) -> Text:
    info = METRICS.get(verdict.metric, METRICS["event_f1"])
    own, other = verdict.candidate, verdict.reference
    value = _with_interval(info, verdict.value, verdict.interval)
    if verdict.outcome == "first" or not other:
        return Text(
            f"{own} is the first model measured: {_inside(info)} {value.en}.",
            f"{own} 是第一个被评估的模型：{info.name.zh} {value.zh}。",
        )
    against = _with_interval(info, verdict.reference_value, verdict.reference_interval)
    figures = Text(
        f"{_inside(info)} {value.en} against {against.en}",
        f"{info.name.zh} {value.zh}，对比 {against.zh}",
    )
    if verdict.outcome == "win":
        return Text(f"{own} beats {other}: {figures.en}.", f"{own} 优于 {other}：{figures.zh}。")
    if verdict.outcome == "lose":
        return Text(
            f"{own} is worse than {other}: {figures.en}.", f"{own} 不如 {other}：{figures.zh}。"
        )
    return Text(
        f"It is open whether {own} beats {other}: {figures.en}.",
        f"{own} 是否优于 {other} 尚无定论：{figures.zh}。",
    )


def _detail(verdict: Verdict) -> Text | None:
    en, zh = [], []
    info = METRICS.get(verdict.metric, METRICS["event_f1"])
    if math.isfinite(verdict.difference):
        step = signed(verdict.difference)
        en.append(f"Difference {step}")
        zh.append(f"差值 {step}")
        if verdict.difference_interval is not None:
            low, high = (signed(b) for b in verdict.difference_interval)
            en[-1] += f" (95 % interval {low} to {high})"
            zh[-1] += f"（95 % 区间 {low} 至 {high}）"
        if verdict.groups is not None:
            en[-1] += f", compared on the same {verdict.groups} gold groups"
            zh[-1] += f"，在相同的 {verdict.groups} 个金标组上比较"
    elif verdict.groups is not None:
        en.append(f"Measured on {verdict.groups} gold groups")
        zh.append(f"基于 {verdict.groups} 个金标组")
    if verdict.outcome == "undecided" and verdict.more_groups:
        if verdict.more_groups > OUT_OF_REACH:
            en.append("The difference is too small to be decided by more gold")
            zh.append("差值过小，增加金标也难以定论")
        else:
            en.append(f"About {verdict.more_groups} more gold groups would probably decide it")
            zh.append(f"再增加约 {verdict.more_groups} 个金标组，很可能即可定论")
    if verdict.reason:
        en.append(verdict.reason.rstrip("."))
        zh.append(verdict.reason.rstrip("。."))
    if not en and verdict.metric in METRICS:
        en, zh = [info.meaning.en.rstrip(".")], [info.meaning.zh.rstrip("。")]
    return Text(". ".join(en) + ".", "。".join(zh) + "。") if en else None
