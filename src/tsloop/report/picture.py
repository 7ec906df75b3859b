"""The picture that ``tsloop detect`` writes for a series: values, detections, scores, true time."""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tsloop.errors import ConfigError
from tsloop.files import write_bytes_atomic
from tsloop.intervals import Detection, Interval, Status
from tsloop.labels import LabelSet, builtin_label_set
from tsloop.report.svg import Text, clean, shorten
from tsloop.report.timeaxis import show_time, time_ticks, zone_of
from tsloop.report.vocabulary import label_text
from tsloop.report.windows import Window, cut_window
from tsloop.series.types import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["detection_png"]

Scores = npt.NDArray[np.floating[Any]]

SIZE_INCHES, DPI = (12.0, 4.8), 110
MAX_POINTS, MAX_TEXTS, MAX_MARKS = 8000, 24, 2000
INK, SOFT, LINE = "#171b21", "#56606c", "#e4e7eb"
FOUND, SCORE, BAD = "#c4510a", "#7b4b94", "#a63603"
LATIN = "DejaVu Sans"
"""Ships with matplotlib, so the picture looks the same everywhere."""
CJK = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei", "PingFang SC"),
    *("Hiragino Sans GB", "Heiti SC", "Arial Unicode MS", "Droid Sans Fallback", "AR PL UMing CN"),
)
"""Fonts with Chinese glyphs, in order of preference."""


def detection_png(
    series: Series,
    detection: Detection,
    scores: Scores | None,
    path: Path,
    language: str = "en",
    *,
    label_set: LabelSet | None = None,
    level: float | None = None,
) -> None:
    """Draw a series with what was found in it.

    ``scores`` has one value per row, or is ``None`` where scoring failed; ``level`` is the score
    that an event must reach, drawn as a line. ``language`` is ``en`` or
    ``zh``; without a Chinese font on the machine the words are English. A failed detection says so
    in the picture, with its reason. The same input gives the same bytes on the same machine.
    """
    if language not in ("en", "zh"):
        raise ConfigError(f"Picture language {language!r} is not known.", hint="Use 'en' or 'zh'.")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chinese = language == "zh" and _cjk_font() is not None
    fonts = [LATIN, *([_cjk_font()] if _cjk_font() else [])]
    style: dict[Any, Any] = {"font.family": fonts, "font.size": 10, "axes.unicode_minus": True}
    with mpl.rc_context(style), _calm_fonts():
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        _draw(figure, series, detection, scores, chinese, label_set or builtin_label_set(), level)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    write_bytes_atomic(path, stream.getvalue())


@contextlib.contextmanager
def _calm_fonts() -> Iterator[None]:
    """Keep matplotlib from remarking that a Chinese font has no bold face."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@cache
def _cjk_font() -> str | None:
    """The first installed font of `CJK`, if any."""
    from matplotlib import font_manager

    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return next((name for name in CJK if name in installed), None)


@cache
def _glyphs(family: str) -> frozenset[int]:
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(font_manager.findfont(family)).get_charmap())


def _drawable(text: str, width: int) -> str:
    """One line of text with a box for each character that no font can draw."""
    families = [LATIN, *([found] if (found := _cjk_font()) else [])]
    known = frozenset[int]().union(*(_glyphs(family) for family in families))
    line = shorten(" ".join(clean(text).split()), width)
    return "".join(char if ord(char) in known else "□" for char in line)


def _say(text: Text, chinese: bool) -> str:
    return text.zh if chinese else text.en


def _draw(
    figure: Figure,
    series: Series,
    detection: Detection,
    scores: Scores | None,
    chinese: bool,
    label_set: LabelSet,
    level: float | None,
) -> None:
    ratios = (5, 1.25)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
    figure.subplots_adjust(left=0.065, right=0.985, top=0.79, bottom=0.13, hspace=0.1)
    for axes in (upper, lower):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color("#aab2bc")
        axes.tick_params(colors=SOFT, length=0, labelsize=9)
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
    _headline(figure, series, detection, chinese)
    if len(series) == 0 or np.isnan(series.values).all():
        _message(upper, Text("the series has no values", "该序列没有数值"), chinese, SOFT)
        return
    marks = _strongest(detection.intervals, MAX_MARKS)
    window = cut_window(series, scores, 0, len(series), keep=marks, max_points=MAX_POINTS)
    seconds = (window.timestamps - series.timestamps[0]) / 1e9
    upper.plot(seconds, window.values, color=INK, linewidth=1.0, solid_capstyle="round")
    _lone_points(upper, seconds, window.values)
    upper.set_ylim(upper.get_ylim())  # the shading below must not change what is in view
    _shade(upper, lower, series, marks, chinese, label_set)
    _score_strip(lower, seconds, window, chinese, level)
    _time_axis(lower, series, chinese)
    if series.unit:
        upper.set_ylabel(_drawable(series.unit, 16), color=SOFT, fontsize=9, parse_math=False)


def _headline(figure: Figure, series: Series, detection: Detection, chinese: bool) -> None:
    name = _drawable(series.id, 70)
    figure.text(0.015, 0.945, name, fontsize=14, weight="bold", color=INK, parse_math=False)
    n = len(detection.intervals)
    if detection.status is Status.FAILED:
        said = Text(f"failed: {detection.reason}", f"失败：{detection.reason}")
    elif detection.status is Status.NONE:
        said = Text("looked, and found nothing", "已检查，未发现异常")
    else:
        said = Text(f"{n} detection{'s' if n > 1 else ''}", f"检出 {n} 处")
    color = BAD if detection.status is Status.FAILED else SOFT
    words = _drawable(_say(said, chinese), 150)
    figure.text(0.015, 0.893, words, fontsize=10.5, color=color, parse_math=False)


def _message(axes: Axes, text: Text, chinese: bool, color: str) -> None:
    words = _say(text, chinese)
    axes.text(
        0.5,
        0.5,
        words,
        color=color,
        fontsize=11,
        ha="center",
        va="center",
        transform=axes.transAxes,
    )
    axes.set_yticks([])


def _lone_points(axes: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    """Values with a gap on both sides: a line alone would not show them."""
    bare = np.isnan(np.concatenate(([np.nan], y, [np.nan])))
    lone = ~bare[1:-1] & bare[:-2] & bare[2:]
    axes.plot(x[lone], y[lone], ".", color=INK, markersize=3)


def _strongest(intervals: Sequence[Interval], limit: int) -> list[Interval]:
    ranked = sorted(intervals, key=lambda i: (-(i.score or 0.0), -len(i), i.start))
    return sorted(ranked[:limit], key=lambda i: (i.start, i.end))


def _shade(
    upper: Axes,
    lower: Axes,
    series: Series,
    marks: Sequence[Interval],
    chinese: bool,
    label_set: LabelSet,
) -> None:
    """Shaded spans, half a step wider than the rows they cover, and the texts of the strongest."""
    if not marks:
        return
    half = series.step_ns / 2e9
    whole = float(series.timestamps[-1] - series.timestamps[0]) / 1e9 + 2 * half or 1.0
    edges = np.array([[mark.start, mark.end] for mark in marks])
    spans = (series.timestamps[edges] - series.timestamps[0]) / 1e9 + np.array([-half, half])
    middles = spans.mean(axis=1)
    widths = np.maximum(spans[:, 1] - spans[:, 0], whole / 750)
    boxes = list(zip((middles - widths / 2).tolist(), widths.tolist(), strict=True))
    for axes, alpha in ((upper, 0.16), (lower, 0.10)):
        across = axes.get_xaxis_transform()
        axes.broken_barh(boxes, (0, 1), transform=across, color=FOUND, alpha=alpha, linewidth=0)
    bars = upper.broken_barh(boxes, (1.0, 0.016), color=FOUND, linewidth=0)
    bars.set(transform=upper.get_xaxis_transform(), clip_on=False)
    strongest = set(_strongest(marks, MAX_TEXTS))
    free = [-math.inf, -math.inf]
    for mark, middle in zip(marks, middles.tolist(), strict=True):
        if mark in strongest:
            _mark_text(upper, mark, middle, whole, free, chinese, label_set)


def _mark_text(
    axes: Axes,
    mark: Interval,
    middle: float,
    whole: float,
    free: list[float],
    chinese: bool,
    label_set: LabelSet,
) -> None:
    """Label and score in the first of two lanes that is ``free`` there; nothing where none is."""
    words = _drawable(_say(label_text(label_set, mark.label), chinese), 24)
    words += f" {mark.score:.2f}" if mark.score is not None else ""
    room = whole * 0.0072 * sum(2 if ord(char) > 0x2E80 else 1 for char in words)
    lane = next((i for i in (0, 1) if middle - room / 2 > free[i]), None)
    if lane is None:
        return
    free[lane] = middle + room / 2
    height = 1.035 + 0.065 * lane
    text = axes.text(middle, height, words, color=FOUND, fontsize=8.5, parse_math=False)
    text.set(transform=axes.get_xaxis_transform(), ha="center")


def _score_strip(
    axes: Axes,
    seconds: npt.NDArray[np.float64],
    window: Window,
    chinese: bool,
    level: float | None,
) -> None:
    axes.set_ylim(0, 1.02)
    if not len(window.scores):
        _message(axes, Text("no scores", "没有得分"), chinese, BAD)
        return
    axes.fill_between(seconds, window.scores, color=SCORE, alpha=0.25, linewidth=0)
    axes.plot(seconds, window.scores, color=SCORE, linewidth=0.9)
    if level is not None:
        axes.axhline(level, color=FOUND, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_ylabel("得分" if chinese else "score", color=SOFT, fontsize=9)


def _time_axis(axes: Axes, series: Series, chinese: bool) -> None:
    first, last = int(series.timestamps[0]), int(series.timestamps[-1])
    ticks = time_ticks(first, last, series.zone, about=9)
    pad = max((last - first) / 1e9 * 0.005, series.step_ns / 2e9, 1e-9)
    axes.set_xlim(-pad, (last - first) / 1e9 + pad)
    zone = zone_of(series.zone)[1]
    if ticks:
        places = [(tick.time_ns - first) / 1e9 for tick in ticks]
        axes.set_xticks(places, [f"{tick.text}\n{tick.date}".rstrip() for tick in ticks])
        axes.text(1.0, -0.62, zone, transform=axes.transAxes, ha="right", va="top",
                  fontsize=8.5, color=SOFT)  # fmt: skip
    else:
        start = show_time(first, series.zone, seconds=True)
        since = Text(f"seconds since {start} {zone}", f"自 {start} {zone} 起的秒数")
        axes.set_xlabel(_say(since, chinese), color=SOFT, fontsize=9)
