"""What reviewing costs with the proposals of each iteration, against labelling from nothing.

Run: python benchmarks/review_cost.py --project DIR [--out docs/results/review_cost.json]

DIR is a project whose source knows the truth and whose `dvc repro` is through, as `tsloop demo`
leaves it. The scripted reviewer of `reviewer_model.py` corrects the same series with the proposals
of the base and of every iteration, and without any. Counted are series that no model learned from:
gold, the pool series that nobody labelled, and of these the ones that come next in the queue.
Seconds are those of the keystroke-level model, plus what the project's own review server takes to
bring the next series. Prints a table in markdown and writes every figure as JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from review_server import Browser
from reviewer_model import (
    LOOK_FIXATIONS,
    OPERATOR_S,
    PLOT_PX,
    TARGET_PX,
    Plan,
    page_keys,
    review_plan,
    same_answer,
)

from tsloop.annotations.snapshot import read_snapshot
from tsloop.config.params import configure, read_iterations, read_params
from tsloop.detectors.predictions import read_detections
from tsloop.evaluation.matching import match_events
from tsloop.intervals import Interval
from tsloop.labels import builtin_label_set
from tsloop.loop.annotator import Truth, read_truth
from tsloop.loop.manager import IterationManager
from tsloop.loop.queues import read_queue
from tsloop.project import BASE, Project
from tsloop.series.store import SeriesStore
from tsloop.series.types import Role
from tsloop.testing.review_page import running_page

NOTHING = "nothing"
N_BOOTSTRAP = 2000
Plans = dict[str, Plan]
"""A plan for each series."""


def unseen(project: Project) -> dict[str, list[str]]:
    """Series that no model of the project learned from, in overlapping sets."""
    newest = list(read_iterations(project))[-1]
    labelled = set(read_snapshot(project.snapshot(newest)).records)
    store = SeriesStore.open(project.series)
    pool = [i for i in store.ids(Role.POOL) if i not in labelled]
    asked = [row.series_id for row in read_queue(project.queue(newest)) if not row.revision]
    return {"gold": store.ids(Role.GOLD), "pool": pool, "queue": [i for i in asked if i in pool]}


def plans(
    project: Project, source: str, variant: str, truth: Mapping[str, Truth], ids: Sequence[str]
) -> Plans:
    """The reviewer's way through each series; one label in hand goes on to the next series."""
    labels, keys = builtin_label_set().ids, page_keys()
    detections = {}
    if source != NOTHING:
        detections = read_detections(project.predictions(source, variant))
    made: Plans = {}
    in_hand = labels[0]
    for series_id in ids:
        known = truth[series_id]
        found = detections.get(series_id)
        shown: Sequence[Interval] = found.intervals if found is not None else ()
        plan = review_plan(known.intervals, shown, known.n_rows, labels, keys, in_hand)
        if not same_answer(known.intervals, plan.answer):
            raise SystemExit(f"{series_id}: the reviewer did not arrive at the truth ({source})")
        in_hand = plan.draw_label
        made[series_id] = plan
    return made


def figures(
    made: Plans, bare: Plans, groups: Mapping[str, str], latency_s: float
) -> dict[str, Any]:
    """Means per series, and the share of keys and seconds that the proposals save."""
    ids = list(made)
    n = len(ids)
    seconds = np.array([made[i].seconds + latency_s for i in ids])
    before = np.array([bare[i].seconds + latency_s for i in ids])
    saved, low, high = saved_share(seconds, before, [groups[i] for i in ids])
    operators: Counter[str] = sum((made[i].operators for i in ids), Counter())
    decisions: Counter[str] = sum((made[i].decisions for i in ids), Counter())
    return {
        "series": n,
        "decisions": sum(decisions.values()) / n,
        "keys": sum(made[i].n_keys for i in ids) / n,
        "gestures": sum(made[i].n_gestures for i in ids) / n,
        "seconds": float(seconds.mean()),
        "seconds_saved": saved,
        "seconds_saved_95": [low, high],
        "by_decision": {name: decisions[name] / n for name in sorted(decisions)},
        "operators": {name: operators[name] / n for name in OPERATOR_S},
    }


def saved_share(
    seconds: np.ndarray, before: np.ndarray, groups: Sequence[str]
) -> tuple[float, float, float]:
    """``1 - with / without`` with its 95 % interval, groups of series resampled."""
    names = sorted(set(groups))
    index = np.array([names.index(group) for group in groups])
    table = np.stack(
        [np.bincount(index, weights=w, minlength=len(names)) for w in (seconds, before)]
    )
    draws = np.random.default_rng(0).integers(0, len(names), (N_BOOTSTRAP, len(names)))
    some = table[:, draws].sum(axis=2)
    low, high = np.quantile(1 - some[0] / some[1], [0.025, 0.975])
    return float(1 - seconds.sum() / before.sum()), float(low), float(high)


def events(
    project: Project, source: str, variant: str, truth: Mapping[str, Truth], ids: Sequence[str]
) -> dict[str, float]:
    """What is proposed, per series: in all, and how many answer a true event."""
    found = read_detections(project.predictions(source, variant))
    hits = sum(len(match_events(truth[i].intervals, found[i].intervals).pairs) for i in ids)
    return {
        "proposed": sum(len(found[i].intervals) for i in ids) / len(ids),
        "true": hits / len(ids),
    }


def measured_latency_s(project: Project, n: int = 30) -> float:
    """Median seconds that the server takes from a saved decision to the next series on screen."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Project(Path(directory) / "project")
        left_out = shutil.ignore_patterns("cache", ".git", "sweeps", "jobs")
        shutil.copytree(project.root, copy.root, symlinks=True, ignore=left_out)
        configure(copy, ["annotator=human", "tracking=off"])
        IterationManager(copy).create_iteration()
        with running_page(copy.root) as url:
            browser = Browser(url)
            items = browser.get(f"/api/queue?limit={n + 1}")["items"]
            times = []
            for item in items[:-1]:
                begin = time.perf_counter()
                browser.save(item["id"], 0)
                following = browser.get(f"/api/queue/next?after={item['id']}")
                browser.get(f"/api/items/{following['id']}")
                key = following["series"]["key"]
                browser.get(f"/api/series/{key}/overview?px=900")
                times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def markdown(result: Mapping[str, Any], variant: str) -> str:
    """The table of docs/results.md."""
    lines = [
        "| series | proposals of | proposed / true | decisions | keys | mouse | seconds | saved |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, part in result["sets"].items():
        for source, row in part["variants"][variant].items():
            low, high = (f"{100 * v:+.0f}" for v in row["seconds_saved_95"])
            saved = f"{100 * row['seconds_saved']:+.0f} % ({low} … {high})"
            shown = row.get("events")
            lines.append(
                f"| {name} ({row['series']}) | {source} "
                f"| {'{proposed:.1f} / {true:.1f}'.format(**shown) if shown else '–'} "
                f"| {row['decisions']:.1f} | {row['keys']:.1f} | {row['gestures']:.1f} "
                f"| {row['seconds']:.1f} | {saved if source != NOTHING else ''} |"
            )
    return "\n".join(lines)


def measure(project: Project, latency_s: float) -> dict[str, Any]:
    """Every set of series, variant and source of proposals."""
    truth = read_truth(project.truth / "intervals.jsonl")
    store = SeriesStore.open(project.series)
    groups = {i: store.entry(i).group for i in store.ids()}
    sources = [BASE, *read_iterations(project)]
    variants = sorted(read_params(project)["variants"])
    sets: dict[str, Any] = {}
    for name, found in unseen(project).items():
        ids = [i for i in found if i in truth]
        if not ids:
            continue
        bare = plans(project, NOTHING, "", truth, ids)
        rows: dict[str, Any] = {}
        for variant in variants:
            rows[variant] = {NOTHING: figures(bare, bare, groups, latency_s)}
            for source in sources:
                made = plans(project, source, variant, truth, ids)
                row = figures(made, bare, groups, latency_s)
                shown = events(project, source, variant, truth, ids)
                rows[variant][source] = {**row, "events": shown}
        n_events = sum(len(truth[i].intervals) for i in ids) / len(ids)
        sets[name] = {"true_events": n_events, "variants": rows}
    return {
        "model": {
            "operators_s": OPERATOR_S,
            "look_fixations": LOOK_FIXATIONS,
            "plot_px": PLOT_PX,
            "target_px": TARGET_PX,
            "server_s": latency_s,
        },
        "sets": sets,
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    project = Project(given.project)
    primary = str(read_params(project)["loop"]["primary"])
    result = measure(project, measured_latency_s(project))
    print(markdown(result, primary))
    if given.out:
        text = json.dumps(_rounded({"primary": primary, **result}), indent=1)
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
