"""How well bases rank without a label: mean VUS-PR over the pool series of each collection.

    python benchmarks/base_quality.py --data DIR embedded DIR_OF_A_BASE --spread 1 17 --weight 0 0.7

For choosing pre-training recipes and the blend that holds without labels; the eval series are not
touched. ``--weight`` is that of the nearest-neighbour evidence (1: the evidence alone),
``--spread`` the rows over which the network's log-odds are spread (`tsloop.chatts.blending`).
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path
from statistics import mean

from label_efficiency import Labelled, read_dataset

from tsloop.chatts.bases import load_base, load_model
from tsloop.chatts.blending import Blend, mix
from tsloop.chatts.channels import series_channels
from tsloop.chatts.model import ChattsModel, deterministic
from tsloop.chatts.scoring import score_channels
from tsloop.evaluation.vus import vus_pr, vus_window
from tsloop.intervals import to_mask

COLLECTIONS = ["wsd", "asd", "aiops", "mscloud", "nab", "nasa", "ucr"]


def figures(model: ChattsModel, item: Labelled, blends: list[Blend]) -> list[float]:
    """VUS-PR of one series for each blend."""
    found = series_channels(item.series)
    with deterministic(1):
        logits, _ = score_channels(model, found.channels)
    mask, window = to_mask(item.truth, len(logits)), vus_window(len(logits))
    return [vus_pr(mask, mix(logits, found.knn_z, blend), window) for blend in blends]


def main() -> int:
    """One table per base: a line per blend, a column per collection, the mean last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bases", nargs="+", help="embedded, or a directory that pretrain wrote")
    parser.add_argument("--data", type=Path, default=os.environ.get("TSLOOP_DATA"))
    parser.add_argument("--datasets", nargs="+", default=COLLECTIONS)
    parser.add_argument("--spread", type=int, nargs="+", default=[1, 9, 17, 33])
    parser.add_argument("--weight", type=float, nargs="+", default=[0.0, 0.5, 0.7, 1.0])
    args = parser.parse_args()
    if args.data is None or not (Path(args.data) / "manifest.json").is_file():
        parser.error("--data (or TSLOOP_DATA) must name a directory with a manifest.json")
    blends = [Blend(w, s) for w, s in itertools.product(args.weight, args.spread)]
    pools = {
        name: [item for item in read_dataset(Path(args.data), name, "pool") if item.truth]
        for name in args.datasets
    }
    for base in args.bases:
        model = load_model(load_base(base))
        columns = []
        for items in pools.values():
            rows = [figures(model, item, blends) for item in items]
            columns.append([mean(column) for column in zip(*rows, strict=True)])
        print(f"\n{base}\n\n| weight | spread | " + " | ".join(pools) + " | mean |")
        print("|---" * (len(pools) + 3) + "|")
        for blend, line in zip(blends, zip(*columns, strict=True), strict=True):
            cells = " | ".join(f"{value:.3f}" for value in (*line, mean(line)))
            print(f"| {blend.weight:g} | {blend.spread} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
