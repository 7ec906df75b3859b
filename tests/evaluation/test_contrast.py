"""The contrast score: the table of its behaviour, the original's numbers, odd input."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.errors import EvaluationError
from tsloop.evaluation.contrast import _score, contrast_summary, segment_contrast
from tsloop.intervals import Interval

SAMPLES = Path(os.environ.get("TSLOOP_TEST_SAMPLES", "/nowhere"))


@pytest.mark.parametrize(
    ("distance", "p_value", "score"),
    [(0, 1.0, 6.96), (0, 1e-6, 1.32), (1, 0.05, 9.69), (3, 0.5, 54.0), (8, 1.0, 69.8)],
)
def test_score_by_contrast_and_p_value(distance, p_value, score) -> None:
    assert _score(distance, p_value) == pytest.approx(score, abs=0.06)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="TSLOOP_TEST_SAMPLES is not set")
def test_the_numbers_of_the_original() -> None:
    expected = json.loads((SAMPLES / "inference" / "derived_segments.json").read_text())
    (path,) = (SAMPLES / "acquisition" / "rev_a").glob("*FI_10401C*.csv")
    with path.open(encoding="utf-8") as stream:
        values = np.array([float(row["value"]) for row in csv.DictReader(stream)])
    labels = json.loads((SAMPLES / "acquisition" / "FI_10401C.PV.intervals.json").read_text())
    spans = [Interval(i["start"], i["end"]) for i in labels["intervals"]]
    found = segment_contrast(values, spans)
    assert [(c.start, c.end) for c in found] == [(e["start"], e["end"]) for e in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.score == pytest.approx(theirs["score"], abs=0.011)
        assert ours.left == pytest.approx(theirs["left"], abs=1e-5)
        assert ours.right == pytest.approx(theirs["right"], abs=1e-5)
    assert contrast_summary([c.score for c in found]) == pytest.approx(28.178344, abs=0.01)


def test_close_segments_are_one_and_only_flagged_rows_count() -> None:
    values = np.random.default_rng(0).normal(size=300)
    values[100:103] += 10
    values[103:107] = 1000.0  # between the two, and flagged by neither
    values[107:109] += 10
    near = segment_contrast(values, [Interval(100, 102), Interval(107, 108)])
    assert [(c.start, c.end) for c in near] == [(100, 108)]
    apart = segment_contrast(values, [Interval(100, 102), Interval(108, 108)])
    assert len(apart) == 2


@given(start=st.integers(0, 39), length=st.integers(1, 40), gaps=st.booleans())
def test_any_segment_has_a_score(start, length, gaps) -> None:
    values = np.random.default_rng(1).normal(size=60)
    if gaps:
        values[5:9] = np.nan
    for found in segment_contrast(values, [Interval(start, min(58, start + length))]):
        assert 0.0 < found.score < 110.0


def test_nothing_to_compare_with() -> None:
    assert segment_contrast(np.zeros(10), []) == []
    assert contrast_summary([]) == 0.0
    with pytest.raises(EvaluationError, match="Every row is flagged"):
        segment_contrast(np.zeros(10), [Interval(0, 9)])
    gap = np.array([1.0, np.nan, 2.0, 3.0])
    assert segment_contrast(gap, [Interval(1, 1)]) == []
