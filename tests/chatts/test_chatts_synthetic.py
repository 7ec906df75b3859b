"""The generator's truth is exact, complete and seeded."""

from collections import Counter

import numpy as np

from tsloop.chatts.injections import INJECTIONS
from tsloop.chatts.synthetic import generate, generate_many
from tsloop.intervals import to_mask
from tsloop.labels import builtin_label_set


def test_every_label_but_the_unknown_kind_has_an_injection() -> None:
    assert set(INJECTIONS) == set(builtin_label_set().ids) - {"anomaly"}


def test_truth_is_exactly_the_rows_that_differ_from_the_clean_series() -> None:
    for example in generate_many(5, 60, 1200):
        inside = to_mask(example.intervals, 1200)
        differs = (example.values != example.clean) & ~np.isnan(example.values)
        assert not differs[~inside].any()
        for interval in example.intervals:
            assert differs[interval.start]
            assert differs[interval.end]
            assert not np.isnan(example.values[interval.start : interval.end + 1]).any()


def test_same_seed_same_series_other_index_other_series() -> None:
    first, again, other = generate(1, 2), generate(1, 2), generate(1, 3)
    assert first.series.sha256 == again.series.sha256
    assert first.intervals == again.intervals
    assert first.series.sha256 != other.series.sha256


def test_there_is_variety() -> None:
    found = generate_many(9, 150)
    labels = Counter(i.label for example in found for i in example.intervals)
    assert set(labels) == set(INJECTIONS)
    clean = sum(not example.intervals for example in found)
    assert 10 < clean < 75
    assert len({example.series.step_ns for example in found}) > 6
    assert any(np.isnan(example.values).any() for example in found)
    assert all(np.isfinite(e.values[~np.isnan(e.values)]).all() for e in found)
