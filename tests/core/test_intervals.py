import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.errors import AnnotationError
from tsloop.intervals import Basis, Detection, Interval, Status, from_mask, merge_close, to_mask

spans = st.tuples(st.integers(0, 200), st.integers(0, 40)).map(
    lambda t: Interval(t[0], t[0] + t[1])
)


@given(st.lists(st.booleans(), max_size=80))
def test_mask_and_intervals_are_inverse(bits: list[bool]) -> None:
    mask = np.array(bits, dtype=bool)
    assert (to_mask(from_mask(mask), len(mask)) == mask).all()


@given(st.lists(spans, max_size=12), st.integers(0, 10))
def test_merging_covers_the_same_rows_and_leaves_wider_gaps(
    items: list[Interval], gap: int
) -> None:
    merged = merge_close(items, gap)
    covered = to_mask(items, 300)
    assert (to_mask(merged, 300) | ~covered).all()
    for left, right in itertools.pairwise(merged):
        assert right.start - left.end - 1 > gap


@given(spans, spans)
def test_iou_is_symmetric_and_one_only_for_equal_rows(a: Interval, b: Interval) -> None:
    assert a.iou(b) == b.iou(a)
    assert 0 <= a.iou(b) <= 1
    assert (a.iou(b) == 1) == ((a.start, a.end) == (b.start, b.end))


def test_a_single_point_is_an_interval() -> None:
    assert len(Interval(7, 7)) == 1
    assert Interval(7, 7).iou(Interval(7, 7)) == 1


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (5, 4)])
def test_impossible_rows_are_refused(start: int, end: int) -> None:
    with pytest.raises(AnnotationError, match=rf"\[{start}, {end}\] is not valid"):
        Interval(start, end)


def test_an_interval_outside_the_series_is_refused() -> None:
    with pytest.raises(AnnotationError, match=r"\[8, 10\] lies outside the 10 rows"):
        to_mask([Interval(8, 10)], 10)


def test_dict_round_trip_keeps_everything() -> None:
    interval = Interval(
        3, 9, "step_up", 0.5, "why", Basis.EDITED, "ann", "2026-01-01T00:00:00Z", 10, 90
    )
    assert Interval.from_dict(interval.to_dict()) == interval
    assert Interval(3, 9).to_dict() == {"start": 3, "end": 9, "label": "anomaly"}
    with pytest.raises(AnnotationError, match="Unknown interval keys"):
        Interval.from_dict({"start": 1, "end": 2, "colour": "red"})


def test_a_failure_is_not_a_none() -> None:
    assert Detection.of([]).status is Status.NONE
    assert Detection.of([Interval(4, 5), Interval(1, 2)]).intervals[0].start == 1
    failed = Detection.failed("out of memory")
    assert Detection.from_dict(failed.to_dict()) == failed
    with pytest.raises(AnnotationError, match="must say why"):
        Detection(Status.FAILED)
    with pytest.raises(AnnotationError, match="only 'ok' has some"):
        Detection(Status.NONE, (Interval(1, 2),))
    with pytest.raises(AnnotationError, match="only 'ok' has some"):
        Detection(Status.OK)
