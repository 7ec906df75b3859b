"""Curves with confidence bands as inline SVG.

A value that is not finite is a gap, never a zero. A chart without anything to draw says so. Lines
differ in colour, dash and marker and carry their name at their end, so that they can be told apart
without colour vision and in print.
"""

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
    path_points,
    shorten,
    spread,
    svg,
    tick_text,
    title,
)

__all__ = ["Line", "line_chart", "pr_chart"]


@dataclass(frozen=True, slots=True)
class Line:
    """A named curve; ``low`` and ``high`` are its confidence band, NaN where there is none.

    ``style`` picks colour, dash and marker (0 to 5, wraps around); ``dash`` (``solid`` or
    ``dashed``) overrules the dash.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    style: int = 0
    markers: bool = True
    dash: str = ""


def line_chart(
    lines: Sequence[Line],
    *,
    name: Text,
    x_name: Text,
    categories: Sequence[str] = (),
    y_include: Sequence[float] = (),
    y_clip: tuple[float, float] | None = None,
    percent: bool = False,
    size: tuple[float, float] = (540, 250),
) -> str:
    """Curves over numbers or over named places (``categories``: x counts them from 0)."""
    width, height = size
    left, right, top, bottom = 52.0, 118.0, 30.0, 42.0
    xs = [v for line in lines for v in line.x]
    values = [v for line in lines for v in (*line.y, *line.low, *line.high)]
    if y_clip is not None:
        values = [min(max(v, y_clip[0]), y_clip[1]) for v in values if math.isfinite(v)]
    drawn = [p for line in lines for p in zip(line.x, line.y, strict=False) if finite(*p)]
    if not drawn:
        return empty_chart(width, 90, name)
    span = (0.0, float(max(1, len(categories) - 1))) if categories else ()
    x = Scale.over(xs, left + 10, width - right - 6, include=span)
    y = Scale.over(values, height - bottom, top, include=y_include, pad=0.04)
    parts = [label(name, 4, 13, kind="ct")]
    parts += _y_axis(y, left, width - right, percent)
    parts += _x_axis(x, categories, height - bottom, x_name, (left + width - right) / 2)
    for line in lines:
        parts += _curve(line, x, y)
    parts += _end_labels(lines, x, y, width - right + 4, top, height - bottom)
    return svg(width, height, parts, name)


def pr_chart(lines: Sequence[Line], *, size: tuple[float, float] = (540, 300)) -> str:
    """Precision over recall (``x`` recall, ``y`` precision), both axes from 0 to 1."""
    return line_chart(
        lines,
        name=Text("Precision (share of proposals that are right)", "精确率（提议正确的比例）"),
        x_name=Text("Recall (share of events that are found)", "召回率（事件被找到的比例）"),
        y_include=(0.0, 1.0),
        y_clip=(0.0, 1.0),
        size=size,
    )


def _y_axis(y: Scale, left: float, right: float, percent: bool) -> list[str]:
    ticks = nice_ticks(y.lo, y.hi, 5)
    parts = []
    for tick in ticks:
        kind = "zero" if tick == 0 else "grid"
        parts.append(element("path", d=f"M{fmt(left)} {fmt(y(tick))}H{fmt(right)}", class_=kind))
        words = tick_text(100 * tick, [100 * t for t in ticks]) + " %" if percent else ""
        words = words or tick_text(tick, ticks)
        parts.append(label(words, left - 8, y(tick) + 4, kind="ax", anchor="end"))
    return parts


def _x_axis(
    x: Scale, categories: Sequence[str], base: float, x_name: Text, middle: float
) -> list[str]:
    parts = [label(x_name, middle, base + 36, kind="ax", anchor="middle")]
    if categories:
        every = max(1, math.ceil(len(categories) / 9))
        last = len(categories) - 1
        shown = [i for i in range(len(categories)) if (last - i) % every == 0]
        texts = [(float(i), shorten(categories[i], 9)) for i in shown]
    else:
        ticks = nice_ticks(x.lo, x.hi, 5)
        texts = [(tick, tick_text(tick, ticks)) for tick in ticks]
    for place, words in texts:
        parts.append(element("path", d=f"M{fmt(x(place))} {fmt(base)}v4", class_="tick"))
        parts.append(label(words, x(place), base + 18, anchor="middle"))
    return parts


def _curve(line: Line, x: Scale, y: Scale) -> list[str]:
    style = f"s{line.style % N_STYLES}"
    parts = []
    bands = list(zip(line.x, line.low, line.high, strict=False))
    for run in _runs(bands):
        upper = [(x(a), y(high)) for a, _, high in run]
        lower = [(x(a), y(low)) for a, low, _ in reversed(run)]
        if len(run) > 1:
            parts.append(
                element("path", d=path_points(upper + lower) + "Z", class_=f"band {style}")
            )
    for a, low, high in bands:
        if line.markers and finite(a, low, high):
            whisker = f"M{fmt(x(a))} {fmt(y(low))}V{fmt(y(high))}"
            parts.append(element("path", d=whisker, class_=f"whisker {style}"))
    points = [(x(a), y(b)) if finite(a, b) else None for a, b in zip(line.x, line.y, strict=False)]
    parts.append(
        element("path", d=path_points(points), class_=f"line {style} {line.dash}".rstrip())
    )
    if line.markers:
        for point, value in zip(points, line.y, strict=False):
            if point is not None:
                tip = title(f"{line.name}: {value:.3g}")
                shape = marker(line.style, *point)
                parts.append(element("path", tip, d=shape, class_=f"dot {style}"))
    return parts


def _runs(
    bands: Sequence[tuple[float, float, float]],
) -> list[list[tuple[float, float, float]]]:
    runs: list[list[tuple[float, float, float]]] = [[]]
    for band in bands:
        if finite(*band):
            runs[-1].append(band)
        elif runs[-1]:
            runs.append([])
    return runs


def _end_labels(
    lines: Sequence[Line], x: Scale, y: Scale, place: float, top: float, base: float
) -> list[str]:
    ends = []
    for line in lines:
        known = [p for p in zip(line.x, line.y, strict=False) if finite(*p)]
        if known:
            ends.append((line, x(known[-1][0]), y(known[-1][1])))
    heights = spread([end[2] for end in ends], 15.0, top + 4, base)
    parts = []
    for (line, end_x, end_y), height in zip(ends, heights, strict=True):
        style = f"s{line.style % N_STYLES}"
        lead = f"M{fmt(end_x + 7)} {fmt(end_y)}L{fmt(place + 2)} {fmt(height)}"
        parts.append(element("path", d=lead, class_=f"lead {style}"))
        words = label(shorten(line.name, 14), place + 6, height + 4, kind=f"end {style}")
        parts.append(element("g", title(line.name) + words))
    return parts
