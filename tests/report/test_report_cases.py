"""Which mistakes are shown, and that their pictures are true to the stored series."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import EvaluationError
from tsloop.intervals import Detection, Interval, Status
from tsloop.report.cases import select_cases
from tsloop.report.windows import cut_window
from tsloop.series.store import SeriesStore, SeriesWriter
from tsloop.series.types import Series

STEP = 60_000_000_000


def make_series(name: str, n: int = 1000, holes: tuple[int, ...] = ()) -> Series:
    stamps = np.arange(n) * STEP
    for hole in holes:
        stamps[hole:] += 10 * STEP
    values = np.sin(np.arange(n) / 20)
    return Series(name, stamps, values, group="g", unit="bar", zone="Asia/Shanghai")


def gold(series: Series, *events: Interval) -> AnnotationRecord:
    status = Status.OK if events else Status.NONE
    return AnnotationRecord(series.id, series.sha256, len(series), status, "tsloop@1", events)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A store of four series, their gold, detections and scores."""
    directory = tmp_path_factory.mktemp("cases") / "series"
    made = {name: make_series(name) for name in ("a", "b", "c", "d")}
    with SeriesWriter(directory, thumbnail_width=0) as writer:
        for series in made.values():
            writer.add(series)
    records = {
        "a": gold(made["a"], Interval(100, 120, "step_up"), Interval(300, 300), Interval(600, 640)),
        "b": gold(made["b"], Interval(50, 60)),
        "c": gold(made["c"]),
        "d": gold(made["d"], Interval(10, 12)),
    }
    scores = {name: np.full(1000, 0.1, dtype=np.float32) for name in made}
    scores["a"][600:641] = 0.45
    scores["c"][700:710] = 0.9
    detections = {
        "a": Detection.of([Interval(110, 118, score=0.7), Interval(800, 803, score=0.6)]),
        "b": Detection.failed("no memory"),
        "c": Detection.of([Interval(700, 709, "oscillation", 0.9, "shakes")]),
    }
    return SeriesStore.open(directory), records, detections, scores


def pick(world, **options):
    store, records, detections, scores = world

    def read(series_id):
        return None if series_id == "b" else scores[series_id]

    return select_cases(store, records, detections, read, **options)


def test_worst_come_first_and_failures_are_misses(world) -> None:
    cases = pick(world, threshold=0.5, variant="knn")
    misses = [(c.series_id, c.event_rows) for c in cases if c.kind == "miss"]
    assert misses == [("b", 11), ("d", 3), ("a", 1), ("a", 41)]
    reasons = {c.series_id: c.reason for c in cases if c.kind == "miss"}
    assert reasons == {"a": "", "b": "failed: no memory", "d": "failed: there is no prediction"}
    alarms = [c for c in cases if c.kind == "false_alarm"]
    assert [(c.series_id, c.top_score) for c in alarms] == [("c", 0.9), ("a", 0.6)]
    assert alarms[0].reason == "shakes"
    assert all(c.variant == "knn" and c.threshold == 0.5 for c in cases)


def test_limit_counts_each_kind(world) -> None:
    assert [c.kind for c in pick(world, limit=1)] == ["miss", "false_alarm"]
    assert pick(world, limit=0) == []


def test_case_shows_the_stored_rows(world) -> None:
    store = world[0]
    case = next(c for c in pick(world) if c.kind == "miss" and c.event_rows == 41)
    series = store["a"]
    focus = case.focus
    assert case.timestamps[focus.start] == series.timestamps[600] == case.t_start
    assert case.timestamps[focus.end] == series.timestamps[640] == case.t_end
    assert case.values[focus.start] == series.values[600]
    assert case.scores[focus.start] == pytest.approx(0.45)
    assert case.top_score == pytest.approx(0.45)
    assert (case.unit, case.zone) == ("bar", "Asia/Shanghai")
    assert len(case.timestamps) == len(case.values) == len(case.scores) <= 600
    failed = next(c for c in pick(world) if c.series_id == "b")
    assert failed.scores == []
    assert math.isnan(failed.top_score)


def test_one_bad_series_does_not_hide_the_rest(tmp_path) -> None:
    bad, other = make_series("bad"), make_series("other")
    with SeriesWriter(tmp_path / "s", thumbnail_width=0) as writer:
        writer.add(bad)
        writer.add(other)
    events = [Interval(i * 100, i * 100 + 30) for i in range(8)]
    records = {"bad": gold(bad, *events), "other": gold(other, Interval(5, 6))}
    quiet = {name: Detection.of([]) for name in records}
    store = SeriesStore.open(tmp_path / "s")
    cases = select_cases(store, records, quiet, lambda _: np.full(1000, 0.2), limit=4)
    assert [c.series_id for c in cases] == ["bad", "bad", "other", "bad"]


def test_wrong_lengths_are_errors(world) -> None:
    store, records, detections, _ = world
    with pytest.raises(EvaluationError, match="'a' has 5 scores, but gold was labelled on 1000"):
        select_cases(store, {"a": records["a"]}, detections, lambda _: np.zeros(5))
    short = records["a"].replace(n_rows=999)
    with pytest.raises(EvaluationError, match="has 1000 rows, but gold was labelled on 999"):
        select_cases(store, {"a": short}, detections, lambda _: np.zeros(999))


def test_time_holes_become_gaps() -> None:
    series = make_series("s", 50, holes=(20,))
    window = cut_window(series, np.zeros(50), 0, 50)
    gap = np.flatnonzero(window.rows < 0).tolist()
    assert gap == [20]
    assert np.isnan(window.values[20])
    assert np.isnan(window.scores[20])
    assert series.timestamps[19] < window.timestamps[20] < series.timestamps[20]
    assert window.place(Interval(20, 21)) == Interval(21, 22)
    assert window.place(Interval(60, 70)) is None
    assert np.all(np.diff(window.timestamps) > 0)


def test_irregular_series_has_no_holes_but_the_long_ones() -> None:
    steps = np.where(np.arange(99) % 3 == 0, 5 * STEP, STEP)
    steps[50] = 1000 * STEP
    series = Series("s", np.concatenate(([0], np.cumsum(steps))), np.ones(100))
    window = cut_window(series, None, 0, 100)
    assert np.flatnonzero(window.rows < 0).tolist() == [51]
    assert window.scores.size == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.data())
def test_thinned_windows_keep_edges_and_spikes(n: int, data) -> None:
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    row = data.draw(st.integers(start, stop - 1))
    end = data.draw(st.integers(row, n - 1))
    values = np.sin(np.arange(n) / 9)
    values[row] = 50.0
    scores = np.zeros(n)
    spike = data.draw(st.integers(start, stop - 1))
    scores[spike] = 1.0
    series = Series("s", np.arange(n) * STEP, values)
    window = cut_window(series, scores, start, stop, keep=[Interval(row, end)], max_points=200)
    assert len(window.rows) <= 200
    assert row in window.rows
    assert spike in window.rows
    placed = window.place(Interval(row, end))
    assert placed is not None
    assert window.rows[placed.start] == row
    assert window.rows[placed.end] == min(end, stop - 1)
