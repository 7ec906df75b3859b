"""Labels that look wrong: planted errors come first, and the review queue asks about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.annotations.examples import Example
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError, ConfigError
from tsloop.intervals import Detection, Interval, Status
from tsloop.loop.queues import LIKELY_LABEL_ERROR, QueueItem, read_queue, write_queue
from tsloop.loop.samplers import SamplerConfig
from tsloop.loop.suspects.candidates import better_place, features, spot_level, spots
from tsloop.loop.suspects.context import Context
from tsloop.loop.suspects.evidence import Evidence, gather
from tsloop.loop.suspects.find import KINDS as TEXTS
from tsloop.loop.suspects.find import LabelSuspect, can_judge, find_suspects
from tsloop.loop.suspects.planting import KINDS, plant
from tsloop.loop.suspects.ranking import rank_suspects
from tsloop.loop.suspects.rechecks import MAX_PLACES, add_rechecks, rechecks
from tsloop.series.types import Series

MINUTE_NS = 60 * 10**9
N_ROWS = 400


def labelled(number: int) -> Example:
    """Noise with three plateaus, all of them labelled; two series a group."""
    rng = np.random.default_rng(number)
    values = rng.normal(size=N_ROWS)
    events = []
    for place in (60, 180, 300):
        start, length = place + int(rng.integers(30)), int(rng.integers(6, 16))
        values[start : start + length] += 9.0
        events.append(Interval(start, start + length - 1, "step_up"))
    stamps = 1_700_000_000 * 10**9 + MINUTE_NS * np.arange(N_ROWS)
    return Example(Series(f"s{number:02d}", stamps, values, group=f"g{number // 2}"), tuple(events))


@pytest.fixture(scope="module")
def truth() -> list[Example]:
    return [labelled(number) for number in range(10)]


@pytest.fixture(scope="module")
def spoiled(truth) -> tuple[list[Evidence], list]:
    """Evidence on labels of which a tenth are wrong, and the errors."""
    rng = np.random.default_rng(5)
    labels, errors = plant([e.intervals for e in truth], [N_ROWS] * 10, 0.1, rng)
    examples = [replace(e, intervals=some) for e, some in zip(truth, labels, strict=True)]
    return gather(examples, detectors=("knn",)), errors


def test_planted_errors_come_first(spoiled) -> None:
    evidence, errors = spoiled
    assert [error.kind for error in errors] == list(KINDS)
    ranked = rank_suspects(evidence)
    for error in errors:
        place = error.wrong or error.right
        first = next(
            number
            for number, suspect in enumerate(ranked)
            if suspect.series == error.series and suspect.interval.overlap(place)
        )
        assert first < 6, f"{error.kind} is number {first} of {len(ranked)}"
    assert all(0.0 <= suspect.score <= 1.0 for suspect in ranked)
    (shifted,) = [e for e in errors if e.kind == "shifted"]
    found = next(s for s in ranked if s.interval == shifted.wrong)
    assert found.kind == "shifted"
    assert found.better.overlap(shifted.right)
    assert not any(
        s.kind == "missed" and s.series == shifted.series and s.interval.overlap(found.better)
        for s in ranked
    ), "one error is named once"


def test_the_list_is_the_same_every_time(spoiled) -> None:
    evidence, _ = spoiled
    assert rank_suspects(evidence, seed=3) == rank_suspects(evidence, seed=3)


def test_every_label_is_in_the_list_once(spoiled) -> None:
    evidence, _ = spoiled
    ranked = rank_suspects(evidence)
    given_labels = [(i, label) for i, e in enumerate(evidence) for label in e.example.intervals]
    listed = [(s.series, s.interval) for s in ranked if s.kind != "missed"]
    assert sorted(listed) == sorted(given_labels)
    assert {s.kind for s in ranked} <= set(TEXTS)


def test_folds_are_series_so_that_a_group_does_not_hide_its_labels(truth) -> None:
    evidence = gather(truth[:4], detectors=("knn", "boosting:blend=false,trees=5"))
    assert [item.example.series.group for item in evidence] == ["g0", "g0", "g1", "g1"]
    assert all(len(item.scores) == 2 for item in evidence)
    assert all(len(s) == N_ROWS for item in evidence for s in item.scores)


def test_a_series_that_cannot_be_scored_is_left_out(truth) -> None:
    empty = replace(truth[0], series=replace(truth[0].series, values=np.full(N_ROWS, np.nan)))
    evidence = gather([empty, *truth[1:3]], detectors=("knn",))
    assert [item.example.series.id for item in evidence] == ["s01", "s02"]


def test_without_labels_nothing_is_suspicious(truth) -> None:
    bare = [replace(example, intervals=()) for example in truth[:3]]
    evidence = gather(bare, detectors=("knn",))
    assert spot_level(evidence, [(), (), ()]) == 1.0
    assert rank_suspects(evidence) == []


def test_a_spot_is_an_unlabelled_event(spoiled, truth) -> None:
    item = spoiled[0][0]
    level = spot_level([item], [truth[0].intervals])
    found = spots(item, truth[0].intervals[1:], level * 0.8)
    assert found
    assert found[0].overlap(truth[0].intervals[0])
    assert not any(s.overlap(label) for s in found for label in truth[0].intervals[1:])
    assert better_place(item, truth[0].intervals[0], level) is None


@given(start=st.integers(0, N_ROWS - 1), length=st.integers(1, N_ROWS))
def test_any_place_has_finite_features(start: int, length: int) -> None:
    example = labelled(1)
    item = Evidence(example, example.series.values, (np.linspace(0, 1, N_ROWS),))
    interval = Interval(start, min(N_ROWS - 1, start + length - 1))
    row = np.concatenate(
        (features(item, interval), Context([item], [example.intervals]).row(0, interval))
    )
    assert np.isfinite(row).all()
    better = better_place(item, interval, 0.1)
    assert better is None or 0 <= better.start <= better.end < N_ROWS


def test_companions_are_series_of_the_group_at_that_time(truth) -> None:
    items = [Evidence(e, e.series.values, ()) for e in truth[:3]]  # s00 and s01 are of one group
    event = truth[0].intervals[0]
    beside = [truth[0].intervals, (event,), ()]
    assert Context(items, beside).row(0, event)[2:].tolist() == [np.log1p(1), 1.0]
    assert Context(items, [truth[0].intervals, (), ()]).row(0, event)[3] == 0.0


@given(share=st.floats(0.01, 0.5), seed=st.integers(0, 50))
def test_planting_keeps_its_books(share: float, seed: int) -> None:
    labels = [(Interval(10, 19), Interval(50, 50)), (), (Interval(0, 5),)]
    spoiled, errors = plant(labels, [200, 100, 60], share, np.random.default_rng(seed))
    held = [list(some) for some in labels]
    for error in errors:
        if error.right:
            held[error.series].remove(error.right)
        if error.wrong:
            held[error.series].append(error.wrong)
            assert error.wrong.end < (200, 100, 60)[error.series]
    assert [sorted(some) for some in held] == [list(some) for some in spoiled]
    assert plant([(), ()], [10, 10], share, np.random.default_rng(seed)) == ([(), ()], [])


# From records to the queue


class Store:
    """The part of the series store that the search needs."""

    def __init__(self, examples: list[Example]) -> None:
        self.series = {e.series.id: e.series for e in examples}
        self.entries = self.series

    def __getitem__(self, series_id: str) -> Series:
        return self.series[series_id]


def record_of(example: Example) -> AnnotationRecord:
    series = example.series
    status = Status.OK if example.intervals else Status.NONE
    return AnnotationRecord(
        series.id, series.sha256, len(series), status, "tsloop@1", example.intervals, revision=2
    )


def test_suspects_are_named_by_series(truth) -> None:
    records = {e.series.id: record_of(e) for e in truth}
    found = find_suspects(records, Store(truth), detectors=("knn",))
    assert {s.series_id for s in found} <= set(records)
    assert sum(s.kind != "missed" for s in found) == 30
    few = dict(list(records.items())[:5])
    assert not can_judge(few)
    assert find_suspects(few, Store(truth)) == []


def test_the_queue_asks_again_where_a_label_looks_wrong(truth, tmp_path) -> None:
    records = {e.series.id: record_of(e) for e in truth[:3]}
    sure = LabelSuspect("s01", truth[1].intervals[0], "shifted", 0.9, Interval(1, 2))
    more = [LabelSuspect("s01", Interval(k, k), "missed", 0.8) for k in range(MAX_PLACES + 2)]
    other = LabelSuspect("s00", Interval(3, 4), "missed", 0.7)
    weak = LabelSuspect("s02", Interval(3, 4), "missed", 0.1)
    again = rechecks([sure, *more, other, weak], records, 5)
    assert [(i.series_id, i.reason, i.revision) for i in again] == [
        ("s01", LIKELY_LABEL_ERROR, 2),
        ("s00", LIKELY_LABEL_ERROR, 2),
    ]
    assert len(again[0].suspects) == MAX_PLACES
    assert again[0].suspects[0]["better_end"] == 2
    assert again[0].proposal == Detection.of(truth[1].intervals)
    assert len(rechecks([sure, other], records, 1)) == 1
    answered = {**records, "s01": records["s01"].replace(queue=again[0].to_dict())}
    assert [i.series_id for i in rechecks([sure, other], answered, 5)] == ["s00"], "not twice"
    fresh = QueueItem(1, "new", 0.5, "uncertain", 1.0)
    queue = add_rechecks(again, [fresh])
    assert [item.rank for item in queue] == [1, 2, 3]
    write_queue(tmp_path / "q.jsonl", queue)
    assert read_queue(tmp_path / "q.jsonl") == queue
    assert "revision" not in fresh.to_dict(), "other rows stay as they were"


def test_wrong_settings_are_refused(truth) -> None:
    with pytest.raises(ConfigError, match=r"sampler\.recheck is -1"):
        SamplerConfig(recheck=-1)
    with pytest.raises(ConfigError, match="no detector 'knnn'"):
        gather(truth[:2], detectors=("knnn",))
    with pytest.raises(AnnotationError):
        QueueItem.from_dict({"rank": 1})
