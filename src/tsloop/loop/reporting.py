"""Gather what the report of an iteration shows, from the files of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsloop.annotations.gold import GoldSet
from tsloop.detectors.predictions import read_all_scores, read_detections
from tsloop.files import read_json, read_jsonl, sha256_file, sha256_tree
from tsloop.labels import LabelSet
from tsloop.loop.assess import Assessment
from tsloop.project import Project
from tsloop.report.cases import select_cases
from tsloop.report.data import CaseData, HistoryPoint, ReportData, Verdict
from tsloop.series.store import SeriesStore

__all__ = ["report_data"]


def report_data(
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
) -> ReportData:
    """What ``reports/<it>/report.html`` and the charts of `dvc plots` show."""
    parent = params["evaluations"][name]["parent"]
    primary = params["evaluations"][name]["primary"]
    snapshot = read_json(project.snapshot(name) / "snapshot.json")
    version = assessment.gold["version"]
    fits = {v: params["fits"][f"{name}-{v}"] for v in assessment.variants}
    return ReportData(
        iteration=name,
        parent=parent,
        project=params["project"]["name"],
        primary=primary,
        variants=assessment.variants,
        baselines=assessment.baselines,
        parent_scorecards={
            _model_name(fits[variant]): card for variant, card in assessment.parents.items()
        },
        verdicts=_verdicts(name, fits, assessment),
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
        hashes={
            "series": sha256_file(project.series / "manifest.json"),
            "snapshot": snapshot["annotations_sha256"],
            "dataset": sha256_tree(project.dataset(name)),
            "gold": assessment.gold["sha256"],
            **{
                f"model/{variant}": sha256_tree(project.model(name, variant))
                for variant in assessment.variants
            },
        },
        config={variant: entry["detector"] for variant, entry in fits.items()},
        label_set=label_set,
    )


def _model_name(fit: Mapping[str, Any]) -> str:
    """``it002/chatts`` for ``models/it002/chatts``."""
    return str(fit["parent_model"]).removeprefix("models/")


def _verdicts(
    name: str, fits: Mapping[str, Mapping[str, Any]], assessment: Assessment
) -> dict[str, Verdict]:
    verdicts = {}
    for variant, verdict in assessment.verdicts.items():
        own, other = assessment.variants[variant], assessment.parents.get(variant)
        metric = verdict.metric
        verdicts[f"{name}/{variant}"] = Verdict(
            outcome=str(verdict.result) if other else "first",
            candidate=f"{name}/{variant}",
            reference=_model_name(fits[variant]) if other else "",
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
        store,
        gold.records,
        read_detections(directory),
        scores.get,
        limit=limit,
        variant=variant,
        threshold=read_json(directory / "decision.json")["hi"],
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
            "parent": _model_name(params["fits"][f"{name}-{variant}"]),
            "seed": params["fits"][f"{name}-{variant}"]["seed"],
            "decision": card["decision"],
            "files": card["files"],
            **{key: value for key, value in card["extra"].items() if key in ("base", "fit")},
        }
    return lineage
