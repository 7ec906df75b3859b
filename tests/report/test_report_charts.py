"""Charts: finite coordinates inside the frame for any numbers, gaps stay gaps, text is escaped."""

from __future__ import annotations

import itertools
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.report.bars import Bar, Segment, Stack, bar_chart, stack_chart
from tsloop.report.charts import Line, line_chart, pr_chart
from tsloop.report.series_plot import Mark, series_plot
from tsloop.report.svg import (
    Scale,
    Text,
    clean,
    fmt,
    nice_ticks,
    path_points,
    shorten,
    spread,
    tick_text,
)
from tsloop.report.timeaxis import show_time, time_ticks

ANY = st.floats(allow_nan=True, allow_infinity=True, width=64)
NAME = Text("name", "名称")
HOUR = 3_600_000_000_000
CASES = settings(max_examples=60, deadline=None)


class Numbers(HTMLParser):
    """Collects every coordinate; path data is read command by command."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.width = self.height = 0.0
        self.places: list[tuple[float, float]] = []

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        self.open.append(tag)
        if tag == "svg":
            self.width, self.height = (float(v) for v in values["viewbox"].split()[2:])
        for key in ("x", "y", "width", "height", "rx"):
            if key in values:
                assert math.isfinite(float(values[key]))
        if tag in ("text", "rect"):
            self.places.append((float(values.get("x", 0)), float(values.get("y", 0))))
        if tag == "rect":
            assert float(values["width"]) >= 0
            assert float(values["height"]) >= 0
        if "d" in values:
            for number in re.findall(r"-?\d+(?:\.\d+)?", values["d"]):
                assert math.isfinite(float(number))
            assert re.fullmatch(r"[MLHVZmlhvaz0-9 .-]*", values["d"]), values["d"]

    def handle_startendtag(self, tag, attrs) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def check(markup: str) -> Numbers:
    numbers = Numbers()
    numbers.feed(markup)
    assert numbers.open == []
    for x, y in numbers.places:
        assert -1 <= x <= numbers.width + 1, (x, numbers.width)
        assert -1 <= y <= numbers.height + 1, (y, numbers.height)
    return numbers


LINES = st.lists(
    st.builds(
        lambda name, rows, style, markers: Line(
            name, *(list(c) for c in zip(*rows, strict=True)), style=style, markers=markers
        ),
        st.text(max_size=30),
        st.lists(st.tuples(ANY, ANY, ANY, ANY), min_size=1, max_size=8),
        st.integers(0, 20),
        st.booleans(),
    ),
    max_size=4,
)


@CASES
@given(LINES)
def test_line_charts_are_finite(lines: list[Line]) -> None:
    check(line_chart(lines, name=NAME, x_name=NAME))
    check(
        line_chart(
            lines, name=NAME, x_name=NAME, categories=["a"] * 30, y_clip=(-1, 1), percent=True
        )
    )
    check(pr_chart(lines))


@CASES
@given(
    st.lists(
        st.builds(Bar, st.builds(Text, st.text(), st.text()), ANY, ANY, ANY, st.text(), ANY),
        max_size=5,
    )
)
def test_bar_charts_are_finite(bars: list[Bar]) -> None:
    check(bar_chart(bars, name=NAME))


@CASES
@given(
    st.lists(
        st.builds(
            lambda v: Stack(NAME, tuple(Segment(NAME, x, "k0") for x in v), NAME), st.lists(ANY)
        )
    )
)
def test_stacks_are_finite(stacks: list[Stack]) -> None:
    check(stack_chart(stacks, name=NAME))


@CASES
@given(
    st.lists(st.tuples(st.integers(1, 10**18), ANY, ANY), max_size=12),
    st.integers(-(2**62), 2**62),
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 5), st.text(max_size=40)), max_size=4),
    ANY,
)
def test_series_plots_are_finite(rows, start, marks, threshold) -> None:
    times, now = [], start
    for step, _, _ in rows:
        now += step
        times.append(now)
    spans = [Mark(s, s + n, Text.same(words)) for s, n, words in marks]
    picture = series_plot(
        times, [r[1] for r in rows], truth=spans, predicted=spans, scores=[r[2] for r in rows],
        threshold=threshold, name=NAME, unit="°C", zone="Asia/Shanghai",
    )  # fmt: skip
    check(picture)


def test_gaps_stay_gaps_and_lone_points_stay_visible() -> None:
    assert path_points([(0, 0), (1, 1), None, (2, 2)]) == "M0 0L1 1M2 2h0.01"
    picture = line_chart(
        [Line("a", [0, 1, 2, 3], [1.0, 2.0, math.nan, 1.5])], name=NAME, x_name=NAME
    )
    line = re.search(r'<path d="([^"]*)" class="line s0"', picture)
    assert line is not None
    assert line[1].count("M") == 2


def test_truth_and_detection_are_drawn_where_they_are() -> None:
    times = [i * HOUR for i in range(100)]
    picture = series_plot(
        times, list(map(float, times)), truth=[Mark(50, 59, NAME)], predicted=[], name=NAME
    )
    bar = re.search(
        r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"[^>]*class="mark truth"', picture
    )
    assert bar is not None
    per_row = (540 - 14 - 56) / 99
    assert float(bar[1]) == pytest.approx(56 + 49.5 * per_row, abs=0.02)
    assert float(bar[2]) == pytest.approx(10 * per_row, abs=0.02)
    assert "mark found" not in picture


def test_names_of_marks_and_dates_give_way_to_each_other() -> None:
    """A name never runs under the next bar, and of two dates side by side the first is left out."""
    rows = 300
    times = [1_773_360_000_000_000_000 + 20 * HOUR + k * HOUR // 6 for k in range(rows)]
    words = Text("gradual drift", "渐变漂移")
    close, wide = Mark(100, 101, words), Mark(110, 180, Text("clipping", "削顶"))
    options = {"predicted": [], "name": Text("x", "x")}
    picture = series_plot(times, [0.0] * rows, truth=[close, wide], **options)
    label = re.search(r'y="[\d.]+"( text-anchor="end")?>gradual drift', picture)
    assert label is not None
    assert label[1], "drawn to the left, where there is room"
    assert "2026-03-13" not in picture
    assert "2026-03-14" in picture


def test_scale_clips_and_survives_extremes() -> None:
    assert Scale(0, 1, 0, 100)(2) == 100
    assert Scale(0, 1, 0, 100)(math.nan) == 0
    for values in ([], [5.0], [0.0], [math.inf], [1e308, -1e308], [5e-324, 1e-323]):
        scale = Scale.over(values, 0, 10)
        assert scale.hi > scale.lo
        assert all(0 <= scale(v) <= 10 for v in values)


@CASES
@given(ANY, ANY, st.integers(1, 12))
def test_ticks_lie_inside_and_are_few(lo: float, hi: float, about: int) -> None:
    scale = Scale.over([lo, hi], 0, 1)
    ticks = nice_ticks(scale.lo, scale.hi, about)
    room = (scale.hi - scale.lo) * 1e-6
    assert all(scale.lo - room <= t <= scale.hi + room for t in ticks)
    assert ticks == sorted(ticks)
    assert len(ticks) <= 3 * about + 2
    assert all(len(tick_text(t, ticks)) < 14 for t in ticks)


def test_tick_texts() -> None:
    assert nice_ticks(0, 1, 5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert nice_ticks(1, 0) == []
    assert nice_ticks(math.nan, 1) == []
    assert [tick_text(t, [0, 0.25, 0.5]) for t in (0, 0.25, 0.5)] == ["0.00", "0.25", "0.50"]
    assert tick_text(-20000, [-20000, 0, 20000]) == "−20k"
    assert tick_text(1e13, [1e13]) == "1.0e13"
    assert tick_text(0, [0]) == "0"
    assert fmt(-0.0001) == "0"
    assert fmt(math.inf) == "0"


def test_texts_are_cut_by_width_and_cleaned() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"
    assert shorten("上行尖峰", 6) == "上行…"
    assert clean("a\x00b\u202ec\ud800\n") == "a\ufffdb\ufffdc?\n"


@CASES
@given(st.lists(st.floats(0, 100), max_size=6))
def test_labels_do_not_overlap_where_there_is_room(places: list[float]) -> None:
    moved = spread(places, 10, 0, 100)
    ordered = sorted(moved)
    assert all(0 <= m <= 100 for m in moved)
    assert all(b - a >= 10 - 1e-9 for a, b in itertools.pairwise(ordered))


def test_time_ticks_are_round_in_the_zone() -> None:
    start = 1_773_360_000_000_000_000  # 2026-03-13 00:00 UTC
    ticks = time_ticks(start, start + 24 * HOUR, "Asia/Shanghai")
    assert [t.text for t in ticks] == ["12:00", "18:00", "00:00", "06:00"]
    assert [t.date for t in ticks] == ["2026-03-13", "", "2026-03-14", ""]
    assert time_ticks(start, start + 10, "UTC") == []
    assert time_ticks(2**62, 2**62 + HOUR, "no/zone")[0].date == "2116-02-21"
    assert show_time(start, "Asia/Shanghai") == "2026-03-13 08:00"
    assert show_time(10**25, "UTC") == f"{10**25} ns"
    assert time_ticks(10**25, 10**25 + HOUR, "UTC") == []
    days = time_ticks(start, start + 20 * 24 * HOUR, "UTC")
    assert (days[0].text, days[0].date) == ("03-19", "2026")
