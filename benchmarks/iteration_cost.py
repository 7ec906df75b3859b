"""What one iteration costs: fit on 10 labelled series, score 40, beside plain scikit-learn models.

Run as::

    python benchmarks/iteration_cost.py --rows 4000 --out docs/results/iteration_cost.json

Synthetic series of the embedded base's own generator, one process, one thread. ``iforest`` and
``hgb`` are `IsolationForest` and `HistGradientBoostingClassifier` with their default settings over
the point features of ``boosting``, features included. Seconds are wall time and processor time; the
first scoring of a process is left out. ``peak_rss_mb`` is the
largest memory of the process so far.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from tsloop.annotations.examples import Example
from tsloop.chatts.synthetic import generate
from tsloop.detectors import build, config_of
from tsloop.detectors.boosting import boosting_features

SEED = 4242
"""A collection of its own: neither the base nor the replay has seen it."""


def examples(first: int, count: int, rows: int) -> list[Example]:
    """Labelled synthetic series."""
    made = [generate(SEED, index, rows) for index in range(first, first + count)]
    return [Example(one.series, one.intervals) for one in made]


def clock(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def ours(name: str) -> tuple[Callable[[list[Example]], object], Callable[[Example], object]]:
    """Fit and score of a detector of this package, with decision and edges."""
    detector = build(config_of(name))
    return lambda labelled: detector.fit(labelled), lambda one: detector.analyse(one.series)


def plain(name: str) -> tuple[Callable[[list[Example]], object], Callable[[Example], object]]:
    """Fit and score of a scikit-learn model over the same point features."""
    from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest

    model: Any = (
        IsolationForest(random_state=0)
        if name == "iforest"
        else HistGradientBoostingClassifier(random_state=0)
    )

    def table(one: Example) -> Any:
        return boosting_features(one.series.filled())[0]

    def fit(labelled: list[Example]) -> object:
        truth = np.concatenate([mask(one) for one in labelled])
        features = np.concatenate([table(one) for one in labelled])
        return model.fit(features) if name == "iforest" else model.fit(features, truth)

    def score(one: Example) -> object:
        features = table(one)
        return model.score_samples(features) if name == "iforest" else model.predict_proba(features)

    return fit, score


def mask(one: Example) -> np.ndarray[Any, Any]:
    """True on the rows of events."""
    rows = np.zeros(len(one.series), bool)
    for interval in one.intervals:
        rows[interval.start : interval.end + 1] = True
    return rows


def measure(name: str, rows: int) -> dict[str, Any]:
    """One row of the table."""
    fit, score = (plain if name in ("iforest", "hgb") else ours)(name)
    labelled, new, warm = examples(0, 10, rows), examples(100, 40, rows), examples(90, 1, rows)
    fit_wall, fit_cpu = clock(lambda: fit(labelled))
    score(warm[0])
    score_wall, score_cpu = clock(lambda: [score(one) for one in new])
    return {
        "detector": name,
        "fit_seconds": round(fit_wall, 2),
        "fit_cpu_seconds": round(fit_cpu, 2),
        "score_seconds": round(score_wall, 2),
        "score_cpu_seconds": round(score_cpu, 2),
        "points_per_cpu_second": round(40 * rows / score_cpu),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Print a Markdown table; write JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--detectors", nargs="+", default=["knn", "iforest", "hgb", "boosting", "chatts"]
    )
    arguments = parser.parse_args()
    found = []
    for name in arguments.detectors:
        found.append(measure(name, arguments.rows))
        print(" | ".join(f"{key} {value}" for key, value in found[-1].items()), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps({"rows": arguments.rows, "table": found}, indent=1))


if __name__ == "__main__":
    main()
