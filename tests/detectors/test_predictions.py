from __future__ import annotations

import numpy as np
import pytest

from tsloop.detectors.predictions import (
    DETECTIONS,
    PredictionWriter,
    read_all_scores,
    read_detections,
    read_scores,
)
from tsloop.errors import DetectorError
from tsloop.files import sha256_tree
from tsloop.intervals import Detection, Interval

SCORES = np.linspace(0.0, 1.0, 50)
FOUND = Detection.of([Interval(3, 9, "step_up", 0.75, "up by 4σ")])


def write(directory):
    with PredictionWriter(directory) as writer:
        writer.add("a", "00", FOUND, SCORES)
        writer.add("b", "11", Detection.failed("no values"), None)
        writer.add("c", "22", Detection.of([]), SCORES[:7])
    return directory


def test_what_was_written_is_read(tmp_path):
    write(tmp_path)
    assert read_detections(tmp_path) == {
        "a": FOUND,
        "b": Detection.failed("no values"),
        "c": Detection.of([]),
    }
    assert read_scores(tmp_path, "a") == pytest.approx(SCORES, abs=1e-7)
    assert read_scores(tmp_path, "a").dtype == np.float32
    assert read_scores(tmp_path, "b") is None
    everything = read_all_scores(tmp_path)
    assert list(everything) == ["a", "b", "c"]
    assert everything["b"] is None
    assert len(everything["c"]) == 7


def test_the_same_predictions_have_the_same_bytes(tmp_path):
    assert sha256_tree(write(tmp_path / "one")) == sha256_tree(write(tmp_path / "two"))


def test_no_series_at_all(tmp_path):
    with PredictionWriter(tmp_path):
        pass
    assert read_detections(tmp_path) == {}
    assert read_all_scores(tmp_path) == {}


def test_mistakes_are_named(tmp_path):
    def add_twice():
        with PredictionWriter(tmp_path) as writer:
            writer.add("a", "00", FOUND, SCORES)
            writer.add("a", "00", FOUND, SCORES)

    with pytest.raises(DetectorError, match="twice"):
        add_twice()
    assert not (tmp_path / DETECTIONS).exists()
    write(tmp_path)
    with pytest.raises(DetectorError, match="'z'"):
        read_scores(tmp_path, "z")
    (tmp_path / DETECTIONS).write_text('{"series_id": "a"}\n')
    with pytest.raises(DetectorError, match="line 1 lacks"):
        read_detections(tmp_path)
