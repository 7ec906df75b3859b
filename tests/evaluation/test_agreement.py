"""Two people on one series: figures against sums by hand and scikit-learn, and the open cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from tsloop.evaluation.agreement import Reading, compare_readings, disputes
from tsloop.intervals import Interval, to_mask

spans = st.lists(
    st.tuples(st.integers(0, 59), st.integers(1, 20), st.sampled_from(["spike", "step"])),
    max_size=4,
).map(lambda some: tuple(Interval(s, min(59, s + n - 1), label) for s, n, label in some))


def test_people_who_say_the_same_agree_fully() -> None:
    events = (Interval(3, 9, "spike"), Interval(20, 20, "step"))
    found = compare_readings([Reading(f"s{k}", 60, events, events) for k in range(6)])
    assert found.overall.kappa.value == found.overall.event_f1.value == found.same_label == 1.0
    assert found.overall.kappa.low == found.overall.kappa.high == 1.0
    assert disputes([Reading("s", 60, events, events)]) == []


@given(readings=st.lists(st.tuples(spans, spans), min_size=1, max_size=4))
def test_kappa_is_that_of_scikit_learn(readings) -> None:
    given_readings = [Reading(f"s{k}", 60, a, b) for k, (a, b) in enumerate(readings)]
    found = compare_readings(given_readings, n_bootstrap=5)
    one = np.concatenate([to_mask(a, 60) for a, _ in readings])
    other = np.concatenate([to_mask(b, 60) for _, b in readings])
    kappa = found.overall.kappa.value
    if kappa is None:
        assert one.all() == other.all() == one.any()
        assert (one == other).all()
    else:
        assert kappa == pytest.approx(cohen_kappa_score(one, other), abs=1e-9)
    swapped = [Reading(r.series_id, 60, r.second, r.first) for r in given_readings]
    assert compare_readings(swapped, n_bootstrap=5).overall.kappa.value == kappa


@given(first=spans, second=spans)
def test_every_event_is_agreed_or_disputed(first, second) -> None:
    reading = Reading("s", 60, first, second)
    found = compare_readings([reading], n_bootstrap=5)
    cases = disputes([reading])
    unmatched = [case for case in cases if case.kind != "label"]
    for total, side in ((len(first), "first"), (len(second), "second")):
        assert total == found.overall.n_matched + sum(
            getattr(case, side) is not None for case in unmatched
        )


def test_figures_of_one_label_leave_the_others_out() -> None:
    first = (Interval(0, 9, "spike"), Interval(30, 39, "step"))
    second = (Interval(0, 9, "step"), Interval(33, 39, "step"))
    found = compare_readings([Reading("s", 60, first, second)])
    assert found.overall.n_matched == 2
    assert found.same_label == 0.5
    assert found.labels["step"].n_matched == 1
    assert found.labels["spike"].n_second == 0
    assert found.labels["spike"].event_f1.value == 0.0
    assert found.to_dict()["labels"]["step"]["n_first"] == 1


def test_what_a_third_person_has_to_decide() -> None:
    first = (Interval(0, 9, "spike"), Interval(20, 39, "step"), Interval(50, 50, "spike"))
    second = (Interval(0, 9, "step"), Interval(20, 23, "step"), Interval(55, 59, "spike"))
    cases = disputes([Reading("s", 60, first, second)])
    assert [case.kind for case in cases] == ["label", "edges", "only_first", "only_second"]
    assert [case.span for case in cases] == [(0, 9), (20, 39), (50, 50), (55, 59)]
    assert cases[2].to_dict()["second"] is None


def test_few_groups_have_no_interval_and_nothing_is_undefined() -> None:
    reading = Reading("s", 60, (Interval(0, 9),), (Interval(0, 8),))
    assert compare_readings([reading]).overall.kappa.low is None
    quiet = compare_readings([Reading("s", 60, (), ())])
    assert quiet.overall.kappa.value is None
    assert quiet.overall.event_f1.value is None
    assert quiet.same_label is None
    assert compare_readings([]).overall.kappa.value is None


def test_a_label_of_one_group_has_no_interval() -> None:
    both = (Interval(0, 9, "spike"),)
    readings = [Reading(f"s{k}", 60, both, both) for k in range(6)]
    readings[0] = Reading("s0", 60, (*both, Interval(30, 39, "step")), both)
    found = compare_readings(readings)
    assert found.labels["spike"].kappa.low is not None
    assert found.labels["step"].kappa.low is None


def test_intervals_are_drawn_over_groups() -> None:
    good, bad = (Interval(0, 9),), (Interval(40, 49),)
    readings = [Reading(f"s{k}", 60, good, good if k % 2 else bad, f"g{k}") for k in range(10)]
    kappa = compare_readings(readings).overall.kappa
    assert kappa.n_groups == 10
    assert -1.0 < kappa.low < kappa.value < kappa.high < 1.0
    assert not math.isnan(kappa.std_error)
