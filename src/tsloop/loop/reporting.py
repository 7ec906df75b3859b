"""Gather what the report of an iteration shows, from the files of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsloop.annotations.gold import GoldSet
from tsloop.detectors.predictions import read_all_scores, read_detections
from tsloop.files import read_json, read_jsonl
from tsloop.labels import LabelSet
from tsloop.loop.assess import Assessment
from tsloop.project import Project
from tsloop.report.build import render_report
from tsloop.report.cases import select_cases
from tsloop.report.data import CaseData, HistoryPoint, ReportData, Verdict
from tsloop.series.store import SeriesStore

__all__ = ["build_report"]


def build_report(
    project: Project,
    params: Mapping[str, Any],
    name: str,
    assessment: Assessment,
    store: SeriesStore,
    gold: GoldSet,
    history: Sequence[Mapping[str, Any]],
    *,
    label_set: LabelSet,
    max_cases: int,
) -> str:
    """The HTML of ``reports/<it>/report.html``."""
    parent = params["evaluations"][name]["parent"]
    primary = params["evaluations"][name]["primary"]
    snapshot = read_json(project.snapshot(name) / "snapshot.json")
    version = assessment.gold["version"]
    data = ReportData(
        iteration=name,
        parent=parent,
        project=params["project"]["name"],
        primary=primary,
        variants=assessment.variants,
        baselines=assessment.baselines,
        parent_scorecards={
            f"{parent}/{variant}": card for variant, card in assessment.parents.items()
        },
        verdicts=_verdicts(name, parent, assessment),
        history=[
            HistoryPoint(
                point["iteration"],
                point["variant"],
                point["metrics"],
                {key: (low, high) for key, (low, high) in point["intervals"].items()},
                version,
            )
            for point in history
        ],
        training={
            variant: read_jsonl(project.model(name, variant) / "training.jsonl")
            for variant in assessment.variants
        },
        pr_curves={
            variant: [(recall, precision) for _, precision, recall in points]
            for variant, points in assessment.curves.items()
        },
        cases=_cases(project, name, primary, assessment, store, gold, max_cases),
        data_summary=_summary(store),
        snapshot=snapshot,
        dataset=read_json(project.dataset(name) / "split.json"),
        quality=read_json(project.snapshot(name) / "quality.json"),
        gold=assessment.gold,
        gold_version=version,
        lineage=_lineage(project, name, params, assessment),
        hashes={"snapshot": snapshot["annotations_sha256"], "gold": assessment.gold["sha256"]},
        config={
            variant: params["fits"][f"{name}-{variant}"]["detector"]
            for variant in assessment.variants
        },
        label_set=label_set,
    )
    return render_report(data)


def _verdicts(name: str, parent: str, assessment: Assessment) -> dict[str, Verdict]:
    verdicts = {}
    for variant, verdict in assessment.verdicts.items():
        own, other = assessment.variants[variant], assessment.parents.get(variant)
        metric = verdict.metric
        verdicts[f"{name}/{variant}"] = Verdict(
            outcome=str(verdict.result) if other else "first",
            candidate=f"{name}/{variant}",
            reference=f"{parent}/{variant}" if other else "",
            metric=metric,
            value=own.metrics.get(metric, float("nan")),
            interval=own.intervals.get(metric),
            reference_value=other.metrics.get(metric, float("nan")) if other else float("nan"),
            reference_interval=other.intervals.get(metric) if other else None,
            difference=verdict.delta if verdict.delta is not None else float("nan"),
            difference_interval=(
                (verdict.low, verdict.high)
                if verdict.low is not None and verdict.high is not None
                else None
            ),
            groups=verdict.n_groups,
            more_groups=verdict.more_groups_needed,
        )
    return verdicts


def _cases(
    project: Project,
    name: str,
    variant: str,
    assessment: Assessment,
    store: SeriesStore,
    gold: GoldSet,
    limit: int,
) -> Sequence[CaseData]:
    if variant not in assessment.variants or not limit:
        return ()
    directory = project.predictions(name, variant)
    scores = read_all_scores(directory)
    return select_cases(
        store, gold.records, read_detections(directory), scores.get, limit=limit, variant=variant
    )


def _summary(store: SeriesStore) -> dict[str, Any]:
    entries = store.entries.values()
    return {
        "n_series": len(store),
        "n_rows": sum(entry.n_rows for entry in entries),
        "n_groups": len({entry.group for entry in entries}),
        "by_role": {
            role: sum(str(entry.role) == role for entry in entries)
            for role in ("pool", "gold", "spare")
        },
    }


def _lineage(
    project: Project, name: str, params: Mapping[str, Any], assessment: Assessment
) -> dict[str, dict[str, Any]]:
    lineage = {}
    for variant in assessment.variants:
        card = read_json(project.model(name, variant) / "detector.json")
        lineage[variant] = {
            "parent": params["fits"][f"{name}-{variant}"]["parent_model"],
            "seed": params["fits"][f"{name}-{variant}"]["seed"],
            "decision": card["decision"],
            "files": card["files"],
            **{key: value for key, value in card["extra"].items() if key in ("base", "fit")},
        }
    return lineage
