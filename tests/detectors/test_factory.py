from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tsloop.detectors import BUILTIN, build, config_of, resolve_target
from tsloop.detectors.factory import as_plain, dataclass_from, target_of
from tsloop.detectors.knn import KnnDetector
from tsloop.errors import ConfigError

KNN = "tsloop.detectors.knn.KnnDetector"


def test_builds_with_defaults_and_with_fields():
    assert build({"_target_": KNN}).config.neighbours == 5
    detector = build({"_target_": KNN, "neighbours": 3, "window": None})
    assert isinstance(detector, KnnDetector)
    assert detector.config.neighbours == 3
    assert target_of(detector) == KNN
    assert build({"_target_": KNN, **as_plain(detector.config)}).config == detector.config


@pytest.mark.parametrize("name", sorted(set(BUILTIN) - {"chatts"}))
def test_short_names_lead_to_classes_that_know_their_name(name):
    assert resolve_target(BUILTIN[name]).name == name


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "_target_"),
        ({"_target_": "os.system"}, "refused"),
        ({"_target_": "tsloop.detectors_evil.Knn"}, "refused"),
        ({"_target_": "tsloop.detectors..knn.KnnDetector"}, "refused"),
        ({"_target_": "tsloop.detectors.base.Detector"}, "refused"),
        ({"_target_": "tsloop.detectors.knn.KnnConfig"}, "not a detector"),
        ({"_target_": "tsloop.detectors.knn.np"}, "not a detector"),
        ({"_target_": "tsloop.detectors.adtk._build"}, "private"),
        ({"_target_": "tsloop.detectors.kmm.KnnDetector"}, "Did you mean"),
        ({"_target_": "tsloop.detectors.knn.KmmDetector"}, "Did you mean"),
        ({"_target_": KNN, "neighbors": 3}, "Did you mean 'neighbours'"),
        ({"_target_": KNN, "zzz": 3}, "Known keys"),
        ({"_target_": KNN, "neighbours": "3"}, "detector knn.neighbours is '3' (str)"),
        ({"_target_": KNN, "neighbours": True}, "detector knn.neighbours"),
        ({"_target_": KNN, "neighbours": 2.5}, "detector knn.neighbours"),
        ({"_target_": KNN, "neighbours": 0}, "at least 1"),
        ({"_target_": KNN, "objective": "click"}, "Did you mean 'clicks'"),
    ],
)
def test_refusals_name_the_key_and_the_value(config, said):
    with pytest.raises(ConfigError) as caught:
        build(config)
    assert said in str(caught.value)


def test_texts_stand_for_configurations():
    assert config_of("knn") == {"_target_": KNN}
    assert config_of("adtk:method=iqr,factor=2.5,period=null") == {
        "_target_": BUILTIN["adtk"],
        "method": "iqr",
        "factor": 2.5,
        "period": None,
    }
    assert config_of(f"{KNN}:neighbours=3") == {"_target_": KNN, "neighbours": 3}
    for text, said in (("kmn", "Did you mean"), ("zzz", "Known are"), ("knn:window", "key=value")):
        with pytest.raises(ConfigError) as caught:
            config_of(text)
        assert said in str(caught.value)


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    names: list[str] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    limit: int | None = None


def test_nested_configurations_are_strict_too():
    made = dataclass_from(
        Outer,
        {"name": "a", "inner": {"rate": 1}, "names": ["x"], "shares": {"y": 2}, "limit": 3},
        "outer",
    )
    assert made == Outer("a", Inner(1.0), ["x"], {"y": 2.0}, 3)
    assert isinstance(made.inner.rate, float)
    assert dataclass_from(Outer, {"name": "a", "inner": Inner(2.0)}, "outer").inner.rate == 2.0
    for fields, said in (
        ({}, "not complete"),
        ({"name": "a", "inner": {"ratio": 1.0}}, "outer.inner"),
        ({"name": "a", "inner": 3}, "outer.inner is 3"),
        ({"name": "a", "names": [1]}, "outer.names[0]"),
        ({"name": "a", "shares": {"y": "z"}}, "outer.shares.y"),
        ({"name": "a", "limit": "z"}, "outer.limit"),
    ):
        with pytest.raises(ConfigError) as caught:
            dataclass_from(Outer, fields, "outer")
        assert said in str(caught.value)
