"""How fast does a detector learn what a team calls an anomaly?

    python benchmarks/label_efficiency.py --data DIR --datasets wsd asd --k 2 5 10 20 --seeds 3 \
        --detectors knn boosting ensemble

For each data set and seed, k pool series are drawn in one random order (a smaller k is a prefix of
a larger one), the detector is fitted on them and scored on the eval series. ``--test pool`` scores
the pool series of groups that were not drawn instead: for choosing settings, eval is not looked at.
Detectors are short names (``knn``), names with settings (``adtk:method=level_shift``) or
``baselines``. One line per fit is printed at once; the table with mean and standard deviation over
seeds comes at the end, and ``--out`` writes every run as JSON lines.

``--data`` (or TSLOOP_DATA) holds ``manifest.json`` (id -> dataset, file, role, group,
intervals) and CSV files with ``timestamp,value``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsloop.annotations.examples import Example
from tsloop.detectors import build, config_of
from tsloop.detectors.base import Detector
from tsloop.evaluation.baselines import predict_nothing, random_scores, value_threshold
from tsloop.evaluation.scorecard import Scorecard, SeriesScore, score_series
from tsloop.intervals import Interval
from tsloop.series.types import Role, Series

FIGURES = {
    "vus_pr": "VUS-PR",
    "event_f1": "event-F1",
    "event_f1_iou30": "F1 IoU.3",
    "affiliation_f1": "affil-F1",
    "clicks_saved": "saved",
    "false_alarms_per_clean_series": "alarms",
    "fit_seconds": "fit s",
    "predict_seconds": "predict s",
}


@dataclass(frozen=True)
class Labelled:
    """A series and everything that is wrong with it."""

    series: Series
    truth: tuple[Interval, ...]


def read_dataset(root: Path, dataset: str, role: str) -> list[Labelled]:
    """All series of one role, sorted by id."""
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    manifest = manifest.get("series", manifest)
    out = []
    for name, entry in sorted(manifest.items()):
        if entry["dataset"] != dataset or entry["role"] != role:
            continue
        frame = pd.read_csv(root / entry["file"])
        seconds = frame["timestamp"].to_numpy(np.int64)
        if len(seconds) > 1 and not (np.diff(seconds) > 0).all():
            seconds = np.arange(len(seconds)) * 60  # repeated stamps: rows are all we need here
        series = Series(
            name,
            seconds * 10**9,
            frame["value"].to_numpy(np.float64),
            group=str(entry["group"]),
            role=Role.POOL if role == "pool" else Role.GOLD,
        )
        out.append(Labelled(series, tuple(Interval(a, b) for a, b in entry["intervals"])))
    return out


def judge(detector: Detector, tested: list[Labelled]) -> tuple[Scorecard, float]:
    """The scorecard over all tested series, and the seconds of processor time it took to answer."""
    scores: list[SeriesScore] = []
    spent = 0.0
    for item in tested:
        began = time.process_time()
        detection, rows = detector.analyse(item.series)
        spent += time.process_time() - began
        series = item.series
        scores.append(
            score_series(series.id, series.group, item.truth, detection, rows, len(series))
        )
    return Scorecard.of(scores, n_bootstrap=0), spent


def baselines(tested: list[Labelled]) -> Iterator[tuple[str, dict[str, float]]]:
    """Predict nothing, random scores, six sigmas of the value."""
    answers = {
        "nothing": lambda s: predict_nothing(len(s)),
        "random": lambda s: random_scores(len(s), seed=0),
        "value": value_threshold,
    }
    for name, answer in answers.items():
        scores = []
        for item in tested:
            series = item.series
            detection, rows = answer(series)
            scores.append(
                score_series(series.id, series.group, item.truth, detection, rows, len(series))
            )
        yield name, Scorecard.of(scores, n_bootstrap=0).metrics


def run_dataset(args: argparse.Namespace, dataset: str) -> Iterator[dict[str, Any]]:
    """One row of figures per seed, k and detector."""
    pool = read_dataset(args.data, dataset, "pool")
    gold = read_dataset(args.data, dataset, "eval") if args.test == "eval" else []
    if "baselines" in args.detectors:
        for name, metrics in baselines(gold or pool):
            yield {"dataset": dataset, "detector": name, "k": 0, "seed": 0, **metrics}
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        order = np.random.default_rng(seed).permutation(len(pool)).tolist()
        for k in args.k:
            chosen = [pool[i] for i in order[:k]]
            drawn = {item.series.group for item in chosen}
            tested = gold or [i for i in pool if i.series.group not in drawn]
            for name in args.detectors:
                if name == "baselines" or not tested:
                    continue
                examples = [Example(item.series, item.truth) for item in chosen]
                detector = build(config_of(name))
                began = time.process_time()
                figures = detector.fit(examples, seed=seed)
                fit_seconds = time.process_time() - began
                card, predict_seconds = judge(detector, tested)
                yield {
                    "dataset": dataset,
                    "detector": name,
                    "k": k,
                    "seed": seed,
                    "n_events_seen": sum(len(i.truth) for i in chosen),
                    "rule": detector.decision.rule,
                    **{f"fit_{key}": value for key, value in figures.items()},
                    **card.metrics,
                    "fit_seconds": fit_seconds,
                    "predict_seconds": predict_seconds,
                }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: mean, and the standard deviation over seeds where there are several."""
    head = ["dataset", "detector", "k", *FIGURES.values()]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    keys = dict.fromkeys((r["dataset"], r["k"], r["detector"]) for r in rows)
    for dataset, k, detector in keys:
        same = [r for r in rows if (r["dataset"], r["k"], r["detector"]) == (dataset, k, detector)]
        cells = [dataset, detector, str(k)]
        for figure in FIGURES:
            values = [float(r[figure]) for r in same if figure in r]
            text = f"{np.mean(values):.2f}" if values else "–"
            cells.append(text + (f"±{np.std(values):.2f}" if len(values) > 1 else ""))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("TSLOOP_DATA"))
    parser.add_argument("--datasets", nargs="+", default=["wsd", "asd"])
    parser.add_argument("--k", nargs="+", type=int, default=[10])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--detectors", nargs="+", default=["baselines", "knn", "boosting"])
    parser.add_argument("--test", choices=["eval", "pool"], default="eval")
    parser.add_argument("--out", type=Path, help="JSON lines, one per run")
    args = parser.parse_args()
    if args.data is None or not (args.data / "manifest.json").is_file():
        parser.error("--data (or TSLOOP_DATA) must name a directory with a manifest.json")
    rows = []
    for dataset in args.datasets:
        for row in run_dataset(args, dataset):
            rows.append(row)
            shown = "  ".join(f"{t} {row[f]:.2f}" for f, t in FIGURES.items() if f in row)
            print(f"{dataset} {row['detector']} k={row['k']} seed={row['seed']}  {shown}")
            sys.stdout.flush()
            if args.out:
                with args.out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row, sort_keys=True) + "\n")
    print("\n" + table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
