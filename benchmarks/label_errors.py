"""Does `tsloop labels suspects` find label errors? Plant some, and look where in the list they are.

    python benchmarks/label_errors.py --data DIR --datasets wsd asd --seeds 5

For each data set and seed a share of the pool's labels is spoiled, a third each: events that were
overlooked, labels where nothing is, labels beside their event (by 0.5 to 1.5 lengths). The
detectors behind the evidence are fitted on the spoiled labels. Figures, as median and range over
the seeds:

list        places in the list: every label, and every unlabelled spot
held        share of the planted errors in the first 10 % of the list
held/labels the same in as many places as 10 % of the labels (stricter: spots do not lengthen it)
missed, spurious, shifted   share held of each kind
all         share of the errors that are anywhere in the list
random      share that a random order would hold

An error is held by its wrong label or, where an event lacks its label, by a spot that overlaps it.
Eval series are never read. ``--data`` (or TSLOOP_DATA) is as for label_efficiency.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from label_efficiency import read_dataset

from tsloop.annotations.examples import Example
from tsloop.loop.suspects.evidence import DEFAULT_DETECTORS, gather
from tsloop.loop.suspects.planting import KINDS, Planted, plant
from tsloop.loop.suspects.ranking import Suspect, rank_suspects

FIGURES = ("list", "held", "held/labels", *KINDS, "all", "random", "cpu_s")


def holds(suspect: Suspect, error: Planted) -> bool:
    """Whether looking at this place shows this error."""
    if suspect.series != error.series:
        return False
    if suspect.kind != "missed":
        return suspect.interval == error.wrong
    return error.right is not None and bool(suspect.interval.overlap(error.right))


def share_held(ranked: Sequence[Suspect], errors: Sequence[Planted], first: int) -> float:
    """Share of the errors that the first places hold."""
    top = ranked[:first]
    return (
        float(np.mean([any(holds(s, e) for s in top) for e in errors])) if errors else float("nan")
    )


def run(args: argparse.Namespace, dataset: str, seed: int) -> dict[str, Any]:
    """The figures of one data set and seed."""
    began = time.process_time()
    pool = read_dataset(args.data, dataset, "pool")
    rng = np.random.default_rng([seed, 99])
    n_rows = [len(item.series) for item in pool]
    labels, errors = plant([item.truth for item in pool], n_rows, args.share, rng)
    examples = [Example(item.series, some) for item, some in zip(pool, labels, strict=True)]
    evidence = gather(examples, detectors=args.detectors, seed=seed)
    assert len(evidence) == len(examples), "a series that cannot be scored would shift the numbers"
    ranked = rank_suspects(evidence, seed=seed)
    n_labels = sum(len(some) for some in labels)
    tenth = round(0.1 * len(ranked))
    row: dict[str, Any] = {
        "dataset": dataset,
        "seed": seed,
        "errors": len(errors),
        "labels": n_labels,
        "list": len(ranked),
        "held": share_held(ranked, errors, tenth),
        "held/labels": share_held(ranked, errors, round(0.1 * n_labels)),
        "all": share_held(ranked, errors, len(ranked)),
    }
    for kind in KINDS:
        row[kind] = share_held(ranked, [e for e in errors if e.kind == kind], tenth)
    row["random"] = 0.1 * row["all"]
    row["cpu_s"] = time.process_time() - began
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: median and range over the seeds."""
    head = ["dataset", "labels", "errors", *FIGURES]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        same = [row for row in rows if row["dataset"] == dataset]
        cells = [dataset, str(same[0]["labels"]), str(same[0]["errors"])]
        for figure in FIGURES:
            values = np.array([row[figure] for row in same], dtype=float)
            form = "{:.0f}" if figure in ("list", "cpu_s") else "{:.2f}"
            low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
            spread = f" ({form.format(low)}–{form.format(high)})" if low != high else ""
            cells.append(form.format(middle) + spread)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("TSLOOP_DATA"))
    parser.add_argument("--datasets", nargs="+", default=["wsd", "asd"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.1, help="of the labels that are spoiled")
    parser.add_argument("--detectors", nargs="+", default=list(DEFAULT_DETECTORS))
    parser.add_argument("--out", type=Path, help="JSON lines, one per run")
    args = parser.parse_args()
    if args.data is None or not (Path(args.data) / "manifest.json").is_file():
        parser.error("--data (or TSLOOP_DATA) must name a directory with a manifest.json")
    rows = []
    for dataset in args.datasets:
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            rows.append(run(args, dataset, seed))
            print(
                "  ".join(
                    f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}"
                    for k, v in rows[-1].items()
                )
            )
            sys.stdout.flush()
            if args.out:
                with args.out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(rows[-1], sort_keys=True) + "\n")
    print("\n" + table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
