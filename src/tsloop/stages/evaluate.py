"""Metrics on gold against parent and baselines, and the report of the iteration."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsloop.config.schema import EvaluateConfig
from tsloop.files import fresh_dir, read_json, write_json, write_text_atomic
from tsloop.project import BASE
from tsloop.stages.annotate import gold_label_set, label_set_of
from tsloop.stages.runner import Figures, StageContext, run_stage
from tsloop.typed import from_mapping

if TYPE_CHECKING:
    from tsloop.loop.assess import Assessment

__all__ = ["evaluate"]


def evaluate(context: StageContext) -> Figures:
    """Stage ``evaluate@<iteration>``."""
    from tsloop.loop.assess import assess
    from tsloop.loop.gate import GateConfig
    from tsloop.loop.gold import load_gold
    from tsloop.loop.reporting import report_data
    from tsloop.report.build import render_report
    from tsloop.report.standalone import chart_files
    from tsloop.series.store import SeriesStore

    project, entry, name = context.project, context.entry("evaluations"), context.key
    config = from_mapping(EvaluateConfig, entry["evaluate"], "evaluate")
    store = SeriesStore.open(project.series)
    gold_file = project.root / entry["gold"]
    with context.unchanged(gold_file):
        gold = load_gold(
            project, gold_file, context.params["iterations"], store, gold_label_set(context)
        )
        variants = {v: project.predictions(name, v) for v in entry["variants"]}
        assessment = assess(
            store,
            gold,
            variants,
            _parents(context, variants),
            gate=from_mapping(GateConfig, entry["gate"], "gate"),
            n_bootstrap=config.n_bootstrap,
            seed=config.seed,
            progress=context.progress,
        )
    metrics = {variant: card.metrics for variant, card in assessment.variants.items()}
    history = _history(context, assessment)
    data = report_data(
        context.project,
        context.params,
        name,
        assessment,
        store,
        gold,
        history,
        label_set=label_set_of(entry),
        max_cases=config.report_cases,
    )
    with fresh_dir(project.report(name)) as directory:
        write_json(directory / "scorecard.json", assessment.to_dict() | {"history": history})
        write_text_atomic(directory / "report.html", render_report(data))
    with fresh_dir(project.root / "reports" / "plots" / name) as directory:
        for file, picture in chart_files(data).items():
            write_text_atomic(directory / file, picture)
    write_json(project.root / "reports" / "metrics" / f"{name}.json", metrics)
    _write_curves(project.root / "reports" / "curves" / f"{name}.csv", assessment)
    primary = metrics.get(entry["primary"], {})
    return {
        "gold": len(gold.records),
        "gold_remapped": len(gold.remapped),
        "event_f1": primary.get("event_f1"),
    }


def _parents(context: StageContext, variants: Mapping[str, Path]) -> dict[str, Path]:
    """Variant → predictions of the model it was fine-tuned from.

    A variant that is new in this iteration starts from a base that nothing was predicted with.
    """
    fits, parent = context.params["fits"], context.entry("evaluations")["parent"]
    parents = {}
    for variant in variants:
        _, iteration, name = Path(fits[f"{context.key}-{variant}"]["parent_model"]).parts
        directory = context.project.predictions(iteration, name)
        if iteration == parent and directory.is_dir():
            parents[variant] = directory
    return parents


def _history(context: StageContext, assessment: Assessment) -> list[dict[str, Any]]:
    """Metrics of the earlier iterations on the same gold, oldest first, and of this one."""
    entry = context.entry("evaluations")
    history: list[dict[str, Any]] = []
    if entry["parent"] == BASE:
        history += [_point(BASE, name, card) for name, card in assessment.parents.items()]
    else:
        before = read_json(context.project.root / entry["parent_report"])
        # Numbers on different gold are never compared: older points are dropped when it grows.
        if before["gold"]["sha256"] == assessment.gold["sha256"]:
            history += before["history"]
        else:
            parent = entry["parent"]
            history += [_point(parent, name, card) for name, card in assessment.parents.items()]
    return history + [_point(context.key, name, card) for name, card in assessment.variants.items()]


def _point(iteration: str, variant: str, card: Any) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "variant": variant,
        "metrics": dict(card.metrics),
        "intervals": {name: list(bounds) for name, bounds in card.intervals.items()},
    }


def _write_curves(path: Path, assessment: Assessment) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["variant", "recall", "precision", "threshold"])
    for variant, points in assessment.curves.items():
        for threshold, precision, recall in points:
            writer.writerow([variant, f"{recall:.6f}", f"{precision:.6f}", f"{threshold:.6f}"])
    write_text_atomic(path, stream.getvalue())


if __name__ == "__main__":
    raise SystemExit(run_stage("evaluate", evaluate))
