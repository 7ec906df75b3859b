"""The picture of one event: values with truth and detections, and the scores in a strip below.

Truth and detections are told apart by place (two lanes above the plot), by shape (a filled bar, an
outlined bar) and by shading (a tint, dashed edges), not by colour alone. Gaps stay gaps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tsloop.report.svg import (
    Scale,
    Text,
    element,
    empty_chart,
    fmt,
    label,
    nice_ticks,
    path_points,
    shorten,
    svg,
    tick_text,
    title,
)
from tsloop.report.timeaxis import time_ticks

__all__ = ["Mark", "series_plot"]

LEFT, RIGHT = 56.0, 14.0
LANE_TOP, LANE = 8.0, 17.0
PLOT_TOP = LANE_TOP + 2 * LANE + 8
DATE_WIDTH = 66.0
"""A date gives way where the next one begins before this."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An interval of the picture, rows inclusive, with the text to write beside it."""

    start: int
    end: int
    text: Text
    focus: bool = False


def series_plot(
    timestamps: Sequence[int],
    values: Sequence[float],
    *,
    truth: Sequence[Mark],
    predicted: Sequence[Mark],
    scores: Sequence[float] = (),
    threshold: float = math.nan,
    name: Text,
    unit: str = "",
    zone: str = "UTC",
    size: tuple[float, float] = (540, 250),
) -> str:
    """Values over true time (ns since the epoch, shape ``(n,)``), marks, and the score strip."""
    width, height = size
    n = min(len(timestamps), len(values))
    if n == 0 or not any(math.isfinite(v) for v in values):
        return empty_chart(width, 120, name)
    strip = 42.0 if len(scores) else 0.0
    base = height - 34
    plot_base = base - strip - (8 if strip else 0)
    x = _time_scale(timestamps[:n], LEFT, width - RIGHT)
    y = Scale.over(values[:n], plot_base - 3, PLOT_TOP + 3, pad=0.05)
    parts = _lanes(truth, predicted, timestamps[:n], x, plot_base)
    parts += _value_axis(y, width - RIGHT, unit)
    points = [
        (x(t), y(v)) if math.isfinite(v) else None
        for t, v in zip(timestamps[:n], values[:n], strict=True)
    ]
    parts.append(element("path", d=path_points(points), class_="series"))
    if strip:
        parts += _strip(timestamps[:n], scores[:n], threshold, x, base - strip, base)
    parts += _time_axis(timestamps[:n], x, zone, base)
    return svg(width, height, parts, name, "event")


def _time_scale(timestamps: Sequence[int], start: float, stop: float) -> Scale:
    # Times are counted from the first row: nanoseconds since the epoch do not fit a float.
    span = Scale.over([0.0, float(timestamps[-1] - timestamps[0])], start, stop)
    return replace(span, origin=int(timestamps[0]))


def _edges(mark: Mark, timestamps: Sequence[int], x: Scale) -> tuple[float, float]:
    """Left and right edge: half a step beyond the first and last row, at least 3 units wide."""
    last = len(timestamps) - 1
    start, end = min(max(mark.start, 0), last), min(max(mark.end, 0), last)
    before = timestamps[start] - timestamps[max(start - 1, 0)]
    after = timestamps[min(end + 1, last)] - timestamps[end]
    half = min(d for d in (before, after, before or after) if d) // 2 if before or after else 0
    left, right = x(timestamps[start] - half), x(timestamps[end] + half)
    middle = (left + right) / 2
    return min(left, middle - 1.5), max(right, middle + 1.5)


def _lanes(
    truth: Sequence[Mark],
    predicted: Sequence[Mark],
    timestamps: Sequence[int],
    x: Scale,
    base: float,
) -> list[str]:
    parts = []
    names = (Text("truth", "真值"), Text("found", "检出"))
    for row, (kind, marks) in enumerate((("truth", truth), ("found", predicted))):
        top = LANE_TOP + row * LANE
        parts.append(label(names[row], LEFT - 8, top + 10, kind=f"ax {kind}", anchor="end"))
        line = f"M{fmt(LEFT)} {fmt(top + 6.5)}H{fmt(x.stop)}"
        parts.append(element("path", d=line, class_="grid"))
        free_from = LEFT
        ordered = sorted(marks, key=lambda m: (m.start, m.end))
        places = [_edges(mark, timestamps, x) for mark in ordered]
        for number, (mark, (left, right)) in enumerate(zip(ordered, places, strict=True)):
            room_to = min((p[0] for p in places[number + 1 :]), default=x.stop)
            parts += _shade(kind, left, right, base)
            bar = element(
                "rect",
                title(mark.text),
                x=left,
                y=top + 2,
                width=right - left,
                height=9,
                rx=1.5,
                class_=f"mark {kind}",
            )
            words, free_from = _mark_text(mark, kind, left, right, top, room_to, free_from)
            parts += [bar, words]
    return parts


def _shade(kind: str, left: float, right: float, base: float) -> list[str]:
    if kind == "truth":
        return [
            element(
                "rect",
                x=left,
                y=PLOT_TOP,
                width=right - left,
                height=base - PLOT_TOP,
                class_="shade truth",
            )
        ]
    edges = "".join(f"M{fmt(e)} {fmt(PLOT_TOP)}V{fmt(base)}" for e in (left, right))
    box = element(
        "rect",
        x=left,
        y=PLOT_TOP,
        width=right - left,
        height=base - PLOT_TOP,
        class_="shade found",
    )
    return [box, element("path", d=edges, class_="edge")]


def _mark_text(
    mark: Mark, kind: str, left: float, right: float, top: float, stop: float, free: float
) -> tuple[str, float]:
    """The text beside the bar (right of it, else left), or nothing where it would collide.

    ``stop`` is where the next bar or the end of the lane lies, ``free`` where the last one ended.
    """
    both = Text(shorten(mark.text.en, 34), shorten(mark.text.zh, 34))
    room = 6.2 * max(len(both.en), 2 * len(both.zh)) + 6
    if right + room <= stop:
        place, anchor, used = right + 4, "start", right + room
    elif left - room >= free:
        place, anchor, used = left - 4, "end", right
    else:
        return "", max(free, right)
    if left < free:
        return "", max(free, right)
    return label(both, place, top + 10.5, kind=f"mt {kind}", anchor=anchor), used


def _value_axis(y: Scale, right: float, unit: str) -> list[str]:
    ticks = nice_ticks(y.lo, y.hi, 3)
    parts = []
    for tick in ticks:
        line = f"M{fmt(LEFT)} {fmt(y(tick))}H{fmt(right)}"
        parts.append(element("path", d=line, class_="grid"))
        words = tick_text(tick, ticks)
        if unit and tick == ticks[-1] and len(words) + len(unit) <= 8:
            words = f"{words} {unit}"
        parts.append(label(words, LEFT - 8, y(tick) + 4, anchor="end"))
    return parts


def _strip(
    timestamps: Sequence[int],
    scores: Sequence[float],
    threshold: float,
    x: Scale,
    top: float,
    base: float,
) -> list[str]:
    y = Scale(0.0, 1.0, base, top)
    parts = [
        element("path", d=f"M{fmt(LEFT)} {fmt(base)}H{fmt(x.stop)}", class_="zero"),
        label(Text("score", "得分"), LEFT - 8, (top + base) / 2 + 4, anchor="end"),
    ]
    runs: list[list[tuple[float, float]]] = [[]]
    for time, score in zip(timestamps, scores, strict=False):
        if math.isfinite(score):
            runs[-1].append((x(time), y(score)))
        elif runs[-1]:
            runs.append([])
    for run in (r for r in runs if r):
        area = [(run[0][0], base), *run, (run[-1][0] + 0.5, base)]
        parts.append(element("path", d=path_points(area) + "Z", class_="score"))
        parts.append(element("path", d=path_points(run), class_="scoreline"))
    if math.isfinite(threshold):
        line = f"M{fmt(LEFT)} {fmt(y(threshold))}H{fmt(x.stop)}"
        parts.append(element("path", d=line, class_="threshold"))
        tag = f"{threshold:.2f}"
        parts.append(label(tag, x.stop - 2, y(threshold) - 3, kind="ax halo", anchor="end"))
    return parts


def _time_axis(timestamps: Sequence[int], x: Scale, zone: str, base: float) -> list[str]:
    ticks = time_ticks(timestamps[0], timestamps[-1], zone)
    dated = [x(tick.time_ns) for tick in ticks if tick.date]
    parts = []
    for tick in ticks:
        place = x(tick.time_ns)
        anchor = "start" if place < LEFT + 18 else "end" if place > x.stop - 18 else "middle"
        parts.append(element("path", d=f"M{fmt(place)} {fmt(base)}v4", class_="tick"))
        parts.append(label(tick.text, place, base + 16, anchor=anchor))
        if tick.date and not any(0 < other - place < DATE_WIDTH for other in dated):
            parts.append(label(tick.date, place, base + 29, kind="ax dim", anchor=anchor))
    return parts
