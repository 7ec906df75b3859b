"""Training and validation: by group where there are enough labels, by time where there are few.

A model is fine-tuned from its parent, so a group that trained must not validate later. The split
has no memory; it replays the iterations that the labels come from, and in each of them only groups
that are seen for the first time may join the validation.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import ConfigError
from tsloop.grammar import LANGUAGES
from tsloop.intervals import Interval

__all__ = ["Split", "SplitConfig", "Stretch", "seeded_unit", "split_records", "time_cut"]

MOST = 0.5
"""Validation never takes more than this share of the labels."""

MIN_ROWS = 32
"""A side of a split by time has at least this many rows."""


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """``conf/split``: how labels become training and validation examples."""

    valid_share: float = 0.25
    """Share of the labels (or of a series' rows) that validates, about; 0: no validation."""
    min_groups: int = 2
    """With fewer labelled groups, series are split by time instead."""
    min_events: int = 5
    """With fewer labelled intervals, series are split by time instead."""
    time_gap_rows: int = 64
    """Rows left out between the two sides of a split by time."""
    incremental: bool = True
    """Train on this iteration's labels and a replayed share of the older ones, not on all."""
    replay_share: float = 0.5
    """Share of the older training series that is replayed when incremental."""
    window: int = 1024
    """Most rows in one window of finetune.jsonl."""
    max_answer_intervals: int = 32
    """Most intervals in one answer of finetune.jsonl; denser windows are split."""
    language: str = "zh"
    """Language of the prompts in finetune.jsonl: zh or en."""

    def __post_init__(self) -> None:
        _check_range("split.valid_share", self.valid_share, 0.0, 0.9)
        _check_range("split.replay_share", self.replay_share, 0.0, 1.0)
        _check_range("split.min_groups", self.min_groups, 2, 10**6)
        _check_range("split.min_events", self.min_events, 2, 10**6)
        _check_range("split.time_gap_rows", self.time_gap_rows, 0, 10**6)
        _check_range("split.window", self.window, 64, 10**5)
        _check_range("split.max_answer_intervals", self.max_answer_intervals, 1, 10**4)
        if self.language not in LANGUAGES:
            raise ConfigError(
                f"split.language is {self.language!r}; choose one of {list(LANGUAGES)}."
            )


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows ``start..stop-1`` of a labelled series on one side of the split.

    ``intervals`` are those inside, in rows of the whole series.
    """

    record: AnnotationRecord
    start: int
    stop: int
    split: str

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The labels inside; a split never cuts through one."""
        return tuple(i for i in self.record.intervals if self.start <= i.start < self.stop)


@dataclass(frozen=True, slots=True)
class Split:
    """How the labels were split: ``rule`` is ``groups``, ``time`` or ``none`` (no validation)."""

    rule: str
    reason: str
    stretches: tuple[Stretch, ...]

    def events(self, split: str) -> int:
        """Number of intervals on one side."""
        return sum(len(s.intervals) for s in self.stretches if s.split == split)


def split_records(
    records: Mapping[str, AnnotationRecord],
    groups: Mapping[str, str],
    origin: Mapping[str, str],
    config: SplitConfig,
    seed: int,
) -> Split:
    """Split labelled series; ``groups`` and ``origin`` map series id to group and iteration.

    By group with at least ``min_groups`` groups and ``min_events`` events, where some groups can
    validate without taking more than half of the labels; else each series by time; else everything
    trains and nothing validates.
    """
    labels = [
        (origin[series_id], groups[series_id], len(record.intervals))
        for series_id, record in sorted(records.items())
    ]
    n_groups, n_events = len({group for _, group, _ in labels}), sum(n for *_, n in labels)
    found = f"{n_groups} groups, {n_events} events"
    if config.valid_share == 0.0:
        return _all_train(records, "split.valid_share is 0")
    if valid := _valid_groups(labels, config, seed):
        stretches = tuple(
            Stretch(record, 0, record.n_rows, "valid" if groups[series_id] in valid else "train")
            for series_id, record in sorted(records.items())
        )
        return Split("groups", found, stretches)
    few = n_groups < config.min_groups or n_events < config.min_events
    why = "few labels" if few else "no group can be spared"
    split = Split("time", f"{why}: {found}", _by_time(records, config))
    if split.events("train") and split.events("valid"):
        return split
    return _all_train(records, f"too few labels to validate: {found}")


def time_cut(n_rows: int, intervals: Sequence[Interval], share: float, gap: int) -> int | None:
    """First row after the training side, such that no interval touches the ``gap`` rows from there.

    The nearest such row to ``(1 - share) * n_rows`` that leaves events on both sides, if any does,
    else the nearest one; ``None`` where neither side would have enough rows.
    """
    nominal = round(n_rows * (1 - share))
    ends = sorted(interval.end for interval in intervals)
    best: tuple[bool, int, int] | None = None
    for low, high in _free_ranges(n_rows, intervals, gap):
        cut = min(max(nominal, low), high)
        before = sum(end < cut for end in ends)
        candidate = (not 0 < before < len(ends), abs(cut - nominal), cut)
        best = candidate if best is None else min(best, candidate)
    return None if best is None else best[2]


def seeded_unit(seed: int, *parts: object) -> float:
    """A number in [0, 1) that depends on the seed and the parts alone."""
    text = "\0".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:7]) / 2**56


def _free_ranges(n_rows: int, intervals: Sequence[Interval], gap: int) -> list[tuple[int, int]]:
    """Inclusive ranges of rows where a cut touches no interval and both sides are long enough."""
    low, last = MIN_ROWS, n_rows - gap - MIN_ROWS
    ranges: list[tuple[int, int]] = []
    for interval in sorted(intervals, key=lambda i: i.start):
        # A cut in start-gap+1..end would put a row of the interval into the gap or behind it.
        if interval.start - gap >= low:
            ranges.append((low, min(interval.start - gap, last)))
        low = max(low, interval.end + 1)
    ranges.append((low, last))
    return [(a, b) for a, b in ranges if a <= b]


def _valid_groups(
    labels: Sequence[tuple[str, str, int]], config: SplitConfig, seed: int
) -> list[str]:
    """Groups that validate, from (iteration, group, events) of each series; may be none."""
    tally = _Tally()
    valid: list[str] = []
    for iteration in sorted({label[0] for label in labels}, key=lambda name: (len(name), name)):
        fresh = [(group, events) for name, group, events in labels if name == iteration]
        known = set(tally.series)
        tally.add(fresh)
        if len(tally.series) < config.min_groups or tally.events.total() < config.min_events:
            valid = []  # too few: all of them trained, on a part of their rows
            continue
        while max(tally.shares(valid)) > MOST:
            valid.pop()
        room = len(fresh) // 2
        arrived = Counter(group for group, _ in fresh if group not in known)
        for group in sorted(arrived, key=lambda name: (seeded_unit(seed, "group", name), name)):
            fits = max(tally.shares([*valid, group])) <= min(MOST, 1.6 * config.valid_share)
            wanted = min(tally.shares(valid)) < config.valid_share
            if fits and wanted and arrived[group] <= room:
                valid.append(group)
                room -= arrived[group]
        if not tally.events_of(valid):
            valid = tally.spare(valid, seed)
    return valid


class _Tally:
    """Labelled series and events per group."""

    def __init__(self) -> None:
        self.series: Counter[str] = Counter()
        self.events: Counter[str] = Counter()

    def add(self, labels: Iterable[tuple[str, int]]) -> None:
        """Count (group, events) of each series."""
        for group, events in labels:
            self.series[group] += 1
            self.events[group] += events

    def events_of(self, groups: Iterable[str]) -> int:
        """Events in some groups."""
        return sum(self.events[group] for group in groups)

    def shares(self, groups: Sequence[str]) -> tuple[float, float]:
        """Shares of all labelled series and of all events that lie in some groups."""
        series = sum(self.series[group] for group in groups)
        return series / self.series.total(), self.events_of(groups) / self.events.total()

    def spare(self, valid: Sequence[str], seed: int) -> list[str]:
        """``valid`` with the smallest group that has events and leaves enough, if there is one.

        This is the only way in which a group that trained before comes to validate.
        """
        order = sorted(
            (group for group in self.series if self.events[group]),
            key=lambda group: (self.series[group], seeded_unit(seed, "group", group), group),
        )
        for kept in (list(valid), []):
            for group in order:
                if max(self.shares([*kept, group])) <= MOST:
                    return [*kept, group]
        return []


def _by_time(records: Mapping[str, AnnotationRecord], config: SplitConfig) -> tuple[Stretch, ...]:
    stretches: list[Stretch] = []
    for _, record in sorted(records.items()):
        n, gap = record.n_rows, config.time_gap_rows
        cut = time_cut(n, record.intervals, config.valid_share, gap)
        stretches.append(Stretch(record, 0, n if cut is None else cut, "train"))
        if cut is not None:
            stretches.append(Stretch(record, cut + gap, n, "valid"))
    return tuple(stretches)


def _all_train(records: Mapping[str, AnnotationRecord], reason: str) -> Split:
    whole = (Stretch(record, 0, record.n_rows, "train") for _, record in sorted(records.items()))
    return Split("none", reason, tuple(whole))


def _check_range(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{key} is {value}, but must lie in {low}…{high}.")
