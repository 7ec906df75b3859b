"""Fine-tuning rows for a language model: windows with prompt, answer and raw values.

Each row of ``finetune.jsonl`` is ``{"input", "output", "timeseries"}`` in the grammar of
`tsloop.grammar`. Values are as measured, with gaps bridged linearly (the prompt says how many) and
with digits beyond a millionth of the window's range cut off. Every labelled interval appears: one
that is longer than a window, or a window with too many of them, is split and never dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tsloop.annotations.examples import Example
from tsloop.annotations.split import SplitConfig, seeded_unit
from tsloop.grammar import render_answer, render_prompt, shown_values
from tsloop.intervals import Interval
from tsloop.labels import LabelSet

__all__ = ["MIN_WINDOW", "anomaly_windows", "clean_windows", "finetune_rows"]

MIN_WINDOW = 64
"""Clean windows have at least this many rows; windows with anomalies where that is possible."""

LONG = 3
"""Of an interval of more than this many windows, only begin, middle and end are shown."""

Window = tuple[int, int]
"""Rows ``start..stop-1``."""


def finetune_rows(
    examples: Sequence[Example], config: SplitConfig, label_set: LabelSet, seed: int
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Rows for the given training examples, and counts of what was made and what was left out.

    There are as many windows without anomaly as with one, drawn by the seed (as many as there are
    examples where no example has an anomaly), or fewer where the series do not have them.
    """
    report: Counter[str] = Counter()
    anomalous: list[tuple[int, Window]] = []
    clean: list[tuple[float, int, Window]] = []
    for number, example in enumerate(examples):
        if not np.isfinite(example.series.values).any():
            report["examples_without_values"] += 1
            report["intervals_without_values"] += len(example.intervals)
            continue
        report["intervals"] += len(example.intervals)
        report["intervals_shortened"] += sum(
            len(i) > LONG * config.window for i in example.intervals
        )
        anomalous.extend((number, window) for window in anomaly_windows(example, config, seed))
        for window in clean_windows(example, config.window):
            place = seeded_unit(seed, "clean", example.series.id, window, len(example.series))
            clean.append((place, number, window))
    wanted = len(anomalous) if anomalous else len(examples)
    drawn = [(number, window) for _, number, window in sorted(clean)[:wanted]]
    report["windows_anomalous"], report["windows_clean"] = len(anomalous), len(drawn)
    rows = [
        _row(examples[number], window, config, label_set, report)
        for number, window in sorted(anomalous + drawn)
    ]
    return rows, {"windows": len(rows), **dict(sorted(report.items()))}


def anomaly_windows(example: Example, config: SplitConfig, seed: int) -> Iterator[Window]:
    """Windows that together show every interval; each sits at a seeded place in its window."""
    n, size = len(example.series), config.window
    intervals = sorted(example.intervals, key=lambda i: (i.start, i.end))
    waiting = [part for interval in intervals for part in _parts(interval, size)]
    while waiting:
        start, end = min(waiting)
        slack = max(0, size - (end - start + 1))
        shift = int(seeded_unit(seed, "shift", example.series.id, start) * (slack + 1))
        begun = any(i.start < start <= i.end for i in intervals)  # go on where the last one ended
        first = start if begun and not slack else max(0, min(start - shift, n - size))
        window = _bounded(first, min(first + size, n), (start, end), intervals, config)
        yield window
        # Nothing waits before the window, for it begins with the first part at the latest.
        waiting = [(max(part[0], window[1]), part[1]) for part in waiting if part[1] >= window[1]]


def clean_windows(example: Example, size: int) -> Iterator[Window]:
    """Windows of up to ``size`` rows, side by side, that hold no labelled row."""
    at = 0
    edges = [(i.start, i.end) for i in sorted(example.intervals, key=lambda i: i.start)]
    for start, end in [*edges, (len(example.series), len(example.series))]:
        for first in range(at, start, size):
            if min(first + size, start) - first >= MIN_WINDOW:
                yield first, min(first + size, start)
        at = max(at, end + 1)


def _parts(interval: Interval, size: int) -> list[tuple[int, int]]:
    """The rows of an interval that must be shown, as inclusive ranges of at most one window."""
    start, end = interval.start, interval.end
    if len(interval) > LONG * size:
        middle = (start + end - size) // 2
        firsts = [start, middle, end - size + 1]
    else:
        firsts = list(range(start, end + 1, size))
    return [(first, min(first + size - 1, end)) for first in firsts]


def _bounded(
    first: int, stop: int, part: tuple[int, int], intervals: list[Interval], config: SplitConfig
) -> Window:
    """The window made smaller: it should cut no later interval and hold few enough of them."""
    for interval in intervals:
        if part[1] < interval.start < stop <= interval.end and interval.start - first >= MIN_WINDOW:
            stop = interval.start
    if _count(intervals, first, stop) > config.max_answer_intervals:
        first = part[0]
        starts = sorted(i.start for i in intervals if i.start < stop and i.end >= first)
        if len(starts) > config.max_answer_intervals:
            stop = max(first + 1, starts[config.max_answer_intervals])
    return first, stop


def _count(intervals: list[Interval], first: int, stop: int) -> int:
    before = bisect_left(intervals, stop, key=lambda i: i.start)
    return sum(i.end >= first for i in intervals[:before])


def _row(
    example: Example,
    window: Window,
    config: SplitConfig,
    label_set: LabelSet,
    report: Counter[str],
) -> dict[str, Any]:
    first, stop = window
    inside = [i for i in example.intervals if i.start < stop and i.end >= first]
    shown = [
        i.replace(start=max(i.start, first) - first, end=min(i.end, stop - 1) - first)
        for i in inside
    ]
    missing = int(np.isnan(example.series.values[first:stop]).sum())
    report["answers"] += len(shown)
    report["answers_cut"] += sum(len(a) != len(b) for a, b in zip(inside, shown, strict=True))
    report["samples_interpolated"] += missing
    report["windows_narrow"] += stop - first < MIN_WINDOW
    return {
        "input": render_prompt(stop - first, label_set, config.language, missing),
        "output": render_answer(shown, label_set),
        "timeseries": [shown_values(example.series.filled()[first:stop])],
    }
