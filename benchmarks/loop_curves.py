"""Learning curves of the whole loop: `dvc repro` over three iterations, several seeds.

Run as::

    python benchmarks/loop_curves.py plant --seeds 0 1 2
    TSLOOP_DATA=DIR python benchmarks/loop_curves.py wsd --seeds 0 1 2

Each seed is a project of its own (``--work``), configured and run with the commands a user types;
a project that is already there is brought up to date, so a killed run goes on. The results go to
``docs/results/<name>.json`` and, as a table and a picture, next to it. The seed changes the plant,
the annotator's errors, the sampler and the fits; for real series all but the series.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tsloop.evaluation.bootstrap import paired_bootstrap
from tsloop.evaluation.measures import MEASURES
from tsloop.evaluation.scorecard import Scorecard, SeriesScore, count_table
from tsloop.execution.dvc_command import dvc_environment
from tsloop.project import Project
from tsloop.template import create_project

METRICS = ("event_f1", "event_f1_iou30", "vus_pr", "clicks_saved")
ITERATIONS = ("base", "it001", "it002", "it003")


def overrides(name: str, seed: int) -> list[str]:
    """What a user would type after `tsloop configure`."""
    chosen = [f"loop.seed={seed}", f"annotator.seed={seed}", f"sampler.seed={seed}"]
    if name == "plant":
        return [*chosen, f"source.seed={seed}"]
    return [
        *chosen,
        "experiment=series_folder",
        f"source.datasets=[{name}]",
        "annotator.budget=10",
        "prepare.sample_step_s=60",
        "prepare.duplicates=mean",
    ]


def run(project: Project, name: str, seed: int) -> float:
    """Configure and bring up to date; returns the seconds that `dvc repro` took."""
    if not (project.root / "dvc.yaml").exists():
        create_project(project.root)
    tsloop = [sys.executable, "-m", "tsloop.cli"]
    environment = dvc_environment()
    subprocess.run(
        [*tsloop, "configure", *overrides(name, seed)],
        cwd=project.root,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    started = time.monotonic()
    subprocess.run([*tsloop, "repro"], cwd=project.root, env=environment, check=True)
    return time.monotonic() - started


def read(project: Project) -> dict[str, dict[str, Scorecard]]:
    """Iteration → variant → scorecard."""
    cards: dict[str, dict[str, Scorecard]] = {}
    for name in ITERATIONS[1:]:
        data = json.loads((project.report(name) / "scorecard.json").read_text("utf-8"))
        if name == "it001":
            cards["base"] = {v: Scorecard.from_dict(c) for v, c in data["parents"].items()}
        cards[name] = {v: Scorecard.from_dict(c) for v, c in data["variants"].items()}
    return cards


def gain(
    runs: list[dict[str, dict[str, Scorecard]]], variant: str, since: str
) -> dict[str, float | None]:
    """it003 minus ``since`` in event-F1, pooled over seeds; groups of each seed are resampled."""
    late: list[SeriesScore] = []
    early: list[SeriesScore] = []
    groups: list[str] = []
    for number, cards in enumerate(runs):
        late += cards["it003"][variant].series
        early += cards[since][variant].series
        groups += [f"{number}/{score.group}" for score in cards["it003"][variant].series]
    estimate = paired_bootstrap(
        count_table(late), count_table(early), groups, MEASURES["event_f1"], n_bootstrap=2000
    )
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def summarise(name: str, seeds: list[int], runs: list[Any], seconds: list[float]) -> dict[str, Any]:
    """Means, spreads and single values of every metric."""
    variants = sorted(runs[0]["it003"])
    table = {
        variant: {
            iteration: {
                metric: _spread([cards[iteration][variant].metrics.get(metric) for cards in runs])
                for metric in METRICS
            }
            for iteration in ITERATIONS
        }
        for variant in variants
    }
    return {
        "name": name,
        "seeds": seeds,
        "repro_seconds": [round(s, 1) for s in seconds],
        "gold_series": len(runs[0]["it003"][variants[0]].series),
        "table": table,
        "gains": {
            since: {variant: gain(runs, variant, since) for variant in variants}
            for since in ("base", "it001")
        },
    }


def markdown(summary: dict[str, Any]) -> str:
    """The table of docs/results.md."""
    head = "| detector | metric | " + " | ".join(ITERATIONS) + " |"
    lines = [head, "|---" * (2 + len(ITERATIONS)) + "|"]
    for variant, rows in summary["table"].items():
        for metric in METRICS:
            cells = [f"{rows[i][metric]['mean']:.3f} ± {rows[i][metric]['sd']:.3f}" for i in rows]
            lines.append(f"| {variant} | {metric} | " + " | ".join(cells) + " |")
    for since, gains in summary["gains"].items():
        for variant, found in gains.items():
            low, high = found["low"], found["high"]
            bounds = f"({low:+.3f} … {high:+.3f})" if low is not None else ""
            lines.append(f"\n{variant}: event-F1 it003 − {since} = {found['value']:+.3f} {bounds}")
    return "\n".join(lines) + "\n"


def _spread(values: list[float | None]) -> dict[str, Any]:
    found = [value for value in values if value is not None]
    sd = stdev(found) if len(found) > 1 else 0.0
    return {"mean": mean(found) if found else 0.0, "sd": sd, "values": values}


def picture(summaries: list[dict[str, Any]], path: Path) -> None:
    """Event-F1 over the iterations, one panel a data set, band ± one standard deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(summaries), 3.2), layout="constrained")
    axes = figure.subplots(1, len(summaries), sharey=False, squeeze=False)[0]
    for axis, summary in zip(axes, summaries, strict=True):
        for variant, rows in summary["table"].items():
            cells = [rows[i]["event_f1"] for i in ITERATIONS]
            middle = [c["mean"] for c in cells]
            axis.plot(ITERATIONS, middle, marker="o", label=variant)
            low = [c["mean"] - c["sd"] for c in cells]
            high = [c["mean"] + c["sd"] for c in cells]
            axis.fill_between(ITERATIONS, low, high, alpha=0.15)
        axis.set_title(f"{summary['name']} ({len(summary['seeds'])} seeds)")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("event-F1 on gold")
    axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def main() -> None:
    """Run all seeds, then write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", help="plant, or a dataset of the folder TSLOOP_DATA")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("../loop-curves"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    runs, seconds = [], []
    for seed in arguments.seeds:
        project = Project((arguments.work / f"{arguments.name}-{seed}").resolve())
        seconds.append(run(project, arguments.name, seed))
        runs.append(read(project))
    summary = summarise(arguments.name, arguments.seeds, runs, seconds)
    arguments.out.mkdir(parents=True, exist_ok=True)
    stem = arguments.out / arguments.name
    stem.with_suffix(".json").write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")
    stem.with_suffix(".md").write_text(markdown(summary))
    found = [json.loads(path.read_text("utf-8")) for path in sorted(arguments.out.glob("*.json"))]
    every = [summary for summary in found if "gains" in summary]  # other benchmarks write there too
    picture(every, arguments.out.parent / "images" / "curves.png")
    print(markdown(summary))


if __name__ == "__main__":
    main()
