from __future__ import annotations

import json

import numpy as np
import pytest

from tsloop.annotations.examples import Example
from tsloop.detectors.labelling import LabelRule
from tsloop.errors import DetectorError
from tsloop.intervals import Basis, Interval
from tsloop.testing import labelled_examples, sample_series


def rule_for(examples):
    return LabelRule.fit(examples, [example.series.filled() for example in examples])


def test_without_labels_the_shape_decides():
    example = labelled_examples()[0]
    bare = [Interval(i.start, i.end) for i in example.intervals]
    described = LabelRule().describe(example.series.filled(), bare)
    assert [i.label for i in described] == ["upward_spike", "downward_spike"]
    assert all(i.reason and i.basis is Basis.MODEL for i in described)


def test_the_teams_own_words_are_learned():
    words = {"upward_spike": "burst", "downward_spike": "dropout"}
    examples = [
        Example(e.series, tuple(i.replace(label=words[i.label]) for i in e.intervals))
        for e in labelled_examples()
    ]
    new = labelled_examples(seed=8)[0]
    bare = [Interval(i.start, i.end) for i in new.intervals]
    described = rule_for(examples).describe(new.series.filled(), bare)
    assert [i.label for i in described] == ["burst", "dropout"]


def test_a_team_with_one_word_gets_that_word():
    examples = [
        Example(e.series, tuple(i.replace(label="anomaly") for i in e.intervals))
        for e in labelled_examples()
    ]
    example = labelled_examples(seed=8)[0]
    described = rule_for(examples).describe(example.series.filled(), list(example.intervals))
    assert {i.label for i in described} == {"anomaly"}


def test_clean_examples_teach_no_labels():
    assert rule_for([Example(sample_series(np.arange(50.0)), ())]).labels == ()


def test_a_rule_survives_json():
    rule = rule_for(labelled_examples())
    again = LabelRule.from_dict(json.loads(json.dumps(rule.to_dict())))
    assert again.labels == rule.labels
    assert np.array_equal(again.features, rule.features)
    assert LabelRule.from_dict(LabelRule().to_dict()).features.shape == LabelRule().features.shape
    with pytest.raises(DetectorError, match="labels"):
        LabelRule.from_dict(rule.to_dict() | {"labels": []})
