"""Bars with error bars and stacked bars as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tsloop.report.svg import (
    N_STYLES,
    Scale,
    Text,
    element,
    empty_chart,
    finite,
    fmt,
    label,
    marker,
    nice_ticks,
    shorten,
    svg,
    tick_text,
    title,
)

__all__ = ["Bar", "Segment", "Stack", "bar_chart", "stack_chart"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with its error bar; ``reference`` is drawn as a hollow diamond beside it."""

    name: Text
    value: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""
    reference: float = math.nan
    style: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar: ``kind`` is the CSS class that colours it."""

    name: Text
    value: float
    kind: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A stacked bar with a note behind its end."""

    name: Text
    segments: Sequence[Segment] = ()
    note: Text | None = None


def bar_chart(
    bars: Sequence[Bar],
    *,
    name: Text,
    include: Sequence[float] = (0.0, 1.0),
    width: float = 540,
) -> str:
    """Horizontal bars from zero, one a row, with whiskers, a value and an optional note."""
    rows = [bar for bar in bars if math.isfinite(bar.value)]
    if not rows:
        return empty_chart(width, 90, name)
    left, right, top, pitch = 150.0, 96.0, 30.0, 26.0
    height = top + pitch * len(rows) + 26
    values = [v for bar in rows for v in (bar.value, bar.low, bar.high, bar.reference)]
    x = Scale.over(values, left, width - right, include=(*include, 0.0))
    ticks = nice_ticks(x.lo, x.hi, 4)
    base = height - 24
    parts = [label(name, 4, 13, kind="ct")]
    for tick in ticks:
        kind = "zero" if tick == 0 else "grid"
        parts.append(element("path", d=f"M{fmt(x(tick))} {fmt(top - 4)}V{fmt(base)}", class_=kind))
        parts.append(label(tick_text(tick, ticks), x(tick), base + 16, anchor="middle"))
    for row, bar in enumerate(rows):
        parts += _bar(bar, x, top + pitch * row + pitch / 2 - 2, left, width - right)
    return svg(width, height, parts, name)


def _bar(bar: Bar, x: Scale, middle: float, left: float, right: float) -> list[str]:
    start, end = sorted((x(0.0), x(bar.value)))
    style = f"s{bar.style % N_STYLES}"
    words = label(_short(bar.name, 20), left - 10, middle + 4, kind="lab", anchor="end")
    shape = element(
        "rect", x=start, y=middle - 7, width=max(1.0, end - start), height=14, class_=f"bar {style}"
    )
    parts = [element("g", title(bar.name) + words), shape]
    if finite(bar.low, bar.high):
        a, b = fmt(x(bar.low)), fmt(x(bar.high))
        lid = f"{fmt(middle - 4)}v8"
        whisker = f"M{a} {fmt(middle)}H{b}M{a} {lid}M{b} {lid}"
        parts.append(element("path", d=whisker, class_="error"))
    if math.isfinite(bar.reference):
        parts.append(element("path", d=marker(3, x(bar.reference), middle), class_="reference"))
    parts.append(label(f"{bar.value:.2f}".replace("-", "−"), right + 12, middle + 4, kind="val"))
    if bar.note:
        parts.append(label(shorten(bar.note, 10), right + 50, middle + 4, kind="ax"))
    return parts


def stack_chart(stacks: Sequence[Stack], *, name: Text, width: float = 860) -> str:
    """Stacked horizontal bars on one scale: what a job consists of and how it compares."""
    totals = [sum(_positive(s.value) for s in stack.segments) for stack in stacks]
    if not stacks or max(totals) <= 0:
        return empty_chart(width, 90, name)
    left, right, top, pitch = 150.0, 170.0, 30.0, 38.0
    x = Scale.over([0.0, *totals], left, width - right)
    parts = [label(name, 4, 13, kind="ct")]
    for row, (stack, total) in enumerate(zip(stacks, totals, strict=True)):
        middle = top + pitch * row + pitch / 2
        words = label(_short(stack.name, 20), left - 10, middle + 4, kind="lab", anchor="end")
        parts.append(element("g", title(stack.name) + words))
        at = 0.0
        for segment in stack.segments:
            parts += _segment(segment, x, at, middle)
            at += _positive(segment.value)
        if stack.note is not None:
            parts.append(label(stack.note, x(total) + 10, middle + 4, kind="val"))
    return svg(width, top + pitch * len(stacks) + 8, parts, name, "wide")


def _short(text: Text, width: int) -> Text:
    return Text(shorten(text.en, width), shorten(text.zh, width))


def _positive(value: float) -> float:
    return value if math.isfinite(value) and value > 0 else 0.0


def _segment(segment: Segment, x: Scale, at: float, middle: float) -> list[str]:
    value = _positive(segment.value)
    start, end = x(at), x(at + value)
    if value == 0:
        return []
    tip = title(Text(f"{segment.name.en}: {value:g}", f"{segment.name.zh}：{value:g}"))
    box = element(
        "rect",
        tip,
        x=start,
        y=middle - 12,
        width=max(0.5, end - start),
        height=24,
        class_=f"seg {segment.kind}",
    )
    number = f"{value:g}"
    if end - start < 8 * len(number) + 6:
        return [box]
    return [
        box,
        label(number, (start + end) / 2, middle + 4, kind=f"segt {segment.kind}", anchor="middle"),
    ]
