"""Every detector keeps the contract."""

from __future__ import annotations

import pytest

from tsloop.detectors import build, config_of
from tsloop.detectors.adtk import METHODS
from tsloop.testing import DETECTOR_CHECKS

DETECTORS = [
    "knn",
    "forest:trees=10",
    "residual",
    "residual:forecaster=seasonal_naive",
    "residual:forecaster=holt_winters",
    "adtk_hbos",
    "wavelet",
    "boosting:trees=10,folds=2",
    "ensemble",
    "adtk:method=level_shift,window=8",
    "adtk:method=iqr",
]
SCORE_CHECKS = [check for check in DETECTOR_CHECKS if "strange_series" in check.__name__]


def run(check, detector, directory):
    config = config_of(detector)
    if detector == "ensemble":
        config["members"] = ["knn", "boosting:trees=5,folds=2", "residual"]
    check(lambda: build(config), directory)


@pytest.mark.parametrize("check", DETECTOR_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("detector", DETECTORS)
def test_contract(detector, check, tmp_path):
    run(check, detector, tmp_path)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"level_shift", "iqr"}))
@pytest.mark.parametrize("check", SCORE_CHECKS, ids=lambda check: check.__name__)
def test_every_adtk_method_takes_strange_series(check, method, tmp_path):
    run(check, f"adtk:method={method},window=8", tmp_path)
