"""Writes fixtures/tsb_ad.json from the original programs of the TSB-AD benchmark.

    pip download --no-deps TSB-AD==1.5 && unzip TSB_AD-1.5-py3-none-any.whl -d tsb
    python tests/evaluation/make_fixtures.py tsb

Nothing of TSB-AD (Apache-2.0) is part of this repository; the file holds inputs and its results.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from reference_vus import runs_of

TARGET = Path(__file__).parent / "fixtures" / "tsb_ad.json"

# rows, events, longest event, decimals of the scores, window
VUS_CASES = [
    (200, 3, 10, 3, 8),
    (200, 12, 4, 1, 20),
    (300, 1, 60, 3, 30),
    (120, 2, 20, 2, 100),
    (120, 30, 2, 2, 10),
    (600, 5, 40, 3, 12),
    (400, 4, 1, 3, 8),
    (90, 3, 6, 0, 9),
    (1200, 6, 80, 3, 24),
    (40, 2, 5, 3, 1),
]
AFFILIATION_CASES = 60


def originals(folder: Path) -> tuple[Any, Any, Any]:
    """The three modules, without the package's own start-up, which imports every model."""
    for name, path in (("TSB_AD", "TSB_AD"), ("TSB_AD.evaluation", "TSB_AD/evaluation")):
        module = types.ModuleType(name)
        module.__path__ = [str(folder / path)]
        sys.modules[name] = module
    return (
        importlib.import_module("TSB_AD.evaluation.basic_metrics"),
        importlib.import_module("TSB_AD.evaluation.affiliation.metrics"),
        importlib.import_module("TSB_AD.evaluation.affiliation.generics"),
    )


def random_mask(rng: np.random.Generator, n: int, events: int, longest: int) -> Any:
    mask = np.zeros(n, dtype=bool)
    for _ in range(events):
        start = int(rng.integers(0, n))
        mask[start : start + int(rng.integers(1, longest + 1))] = True
    return mask


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    basic, metrics, generics = originals(folder)
    rng = np.random.default_rng(20240607)
    vus, near = [], []
    for n, events, longest, decimals, window in VUS_CASES:
        mask = random_mask(rng, n, events, longest)
        scores = np.roll(rng.random(n) * 0.6 + 0.4 * mask, int(rng.integers(0, 4)))
        scores = np.round(scores, decimals)
        value = basic.generate_curve(mask.astype(int), scores, window, "opt", 250)[-1]
        runs = runs_of(mask.tolist())
        vus.append(
            {"events": runs, "scores": scores.tolist(), "window": window, "vus_pr": float(value)}
        )
    while len(near) < AFFILIATION_CASES:
        n = int(rng.integers(5, 400))
        truth = random_mask(rng, n, int(rng.integers(1, 6)), max(2, n // 8))
        predicted = random_mask(rng, n, int(rng.integers(1, 9)), max(2, n // 12))
        found = metrics.pr_from_events(
            generics.convert_vector_to_events(predicted),
            generics.convert_vector_to_events(truth),
            (0, n),
        )
        near.append(
            {
                "n_rows": n,
                "truth": runs_of(truth.tolist()),
                "predicted": runs_of(predicted.tolist()),
                "precision": float(found["Affiliation_Precision"]),
                "recall": float(found["Affiliation_Recall"]),
            }
        )
    data = {"origin": "TSB-AD 1.5", "vus": vus, "affiliation": near}
    TARGET.write_text(json.dumps(data, separators=(",", ":"), sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
