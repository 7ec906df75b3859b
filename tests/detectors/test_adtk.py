from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from tsloop.detectors.adtk import METHODS, AdtkConfig, AdtkDetector
from tsloop.errors import ConfigError
from tsloop.intervals import Status
from tsloop.testing import labelled_examples, sample_series


def noisy(n=600, seed=0):
    return 10.0 + np.random.default_rng(seed).normal(size=n)


def own_verdict(method, values, window=16):
    """What ADTK itself says, as a mask."""
    from adtk import detector as adtk

    pd.Series.iteritems = pd.Series.items
    made = {
        "level_shift": lambda: adtk.LevelShiftAD(window=window),
        "volatility_shift": lambda: adtk.VolatilityShiftAD(window=window),
        "persist": lambda: adtk.PersistAD(window=window),
        "autoregression": lambda: adtk.AutoregressionAD(n_steps=window),
        "iqr": lambda: adtk.InterQuartileRangeAD(),
        "quantile": lambda: adtk.QuantileAD(low=0.005, high=0.995),
        "esd": lambda: adtk.GeneralizedESDTestAD(),
        "seasonal": lambda: adtk.SeasonalAD(freq=60),
    }[method]()
    frame = pd.Series(values, index=pd.date_range("2000", periods=len(values), freq="min"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return made.fit_detect(frame).astype(float).fillna(0.0).to_numpy() > 0


@pytest.mark.parametrize("method", METHODS)
def test_one_half_is_adtks_own_verdict(method):
    values = noisy()
    if method == "seasonal":
        values += 3.0 * np.sin(2 * np.pi * np.arange(600) / 60)
    if method == "volatility_shift":
        values[300:340] += 9.0 * np.random.default_rng(2).normal(size=40)
    values[[200, 201]] += 25.0
    values[500:] += 15.0 if method == "level_shift" else 0.0
    scores = AdtkDetector(AdtkConfig(method=method)).score(sample_series(values))
    theirs = own_verdict(method, values)
    assert theirs.any()
    assert np.array_equal(scores > 0.5, theirs)


def test_a_level_shift_is_found_where_it_is():
    values = noisy()
    values[400:] += 15.0
    detection = AdtkDetector(AdtkConfig(method="level_shift")).detect(sample_series(values))
    assert detection.status is Status.OK
    assert any(i.start <= 402 and i.end >= 398 for i in detection.intervals)


@pytest.mark.parametrize("side", ["positive", "negative"])
def test_one_side_only(side):
    values = noisy()
    values[200] += 30.0
    values[400] -= 30.0
    scores = AdtkDetector(AdtkConfig(method="persist", side=side)).score(sample_series(values))
    up, down = scores[200], scores[400]
    assert (up > 0.5) == (side == "positive")
    assert (down > 0.5) == (side == "negative")


def test_gaps_are_filled_first():
    values = noisy()
    values[np.random.default_rng(1).random(600) < 0.05] = np.nan
    scores = AdtkDetector(AdtkConfig(method="level_shift")).score(sample_series(values))
    assert np.mean(scores > 0.0) > 0.4  # ADTK alone would leave most rows without an answer


@pytest.mark.parametrize(
    ("method", "values", "said"),
    [
        ("seasonal", noisy(), "seasonality"),
        ("level_shift", np.full(300, 2.0), "constant"),
        ("volatility_shift", np.full(300, 2.0), "constant"),
        ("level_shift", np.arange(20.0), "at least 64"),
    ],
)
def test_what_adtk_cannot_do_is_a_failure_with_a_reason(method, values, said):
    detection = AdtkDetector(AdtkConfig(method=method)).detect(sample_series(values))
    assert detection.status is Status.FAILED
    assert said in detection.reason


def test_labels_move_the_threshold():
    detector = AdtkDetector(AdtkConfig(method="persist", window=4))
    detector.fit(labelled_examples(6))
    assert detector.decision.rule == "labels:groups"


def test_unknown_methods_are_refused():
    with pytest.raises(ConfigError, match="level_shift"):
        AdtkConfig(method="level_shfit")
    with pytest.raises(ConfigError, match="positive"):
        AdtkConfig(side="up")
