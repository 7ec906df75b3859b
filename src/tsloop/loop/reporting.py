"""Gather what the report of an iteration shows, from the files of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsloop.annotations.gold import GoldSet
from tsloop.detectors.predictions import read_all_scores, read_detections
from tsloop.evaluation.scorecard import Scorecard
from tsloop.files import read_json, read_jsonl, sha256_file, sha256_tree
from tsloop.labels import LabelSet
from tsloop.loop.assess import Assessment
from tsloop.project import Project
from tsloop.report.cases import select_cases
from tsloop.report.data import CaseData, HistoryPoint, ReportData, Verdict
from tsloop.series.store import SeriesStore
from tsloop.tracking.promoted import read_kept_scorecard

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
    entry = params["evaluations"][name]
    fits = {v: params["fits"][f"{name}-{v}"] for v in assessment.variants}
    return ReportData(
        iteration=name,
        parent=entry["parent"],
        project=params["project"]["name"],
        primary=entry["primary"],
        variants=assessment.variants,
        baselines=assessment.baselines,
        parent_scorecards={
            _model_name(fits[variant]): card for variant, card in assessment.parents.items()
        },
        **_champion(project, entry.get("champion"), assessment, fits),
        verdicts=_verdicts(name, fits, assessment),
        history=_history(history, assessment.gold["version"]),
        training={
            variant: read_jsonl(project.model(name, variant) / "training.jsonl")
            for variant in assessment.variants
        },
        pr_curves={
            variant: [(recall, precision) for _, precision, recall in points]
            for variant, points in assessment.curves.items()
        },
        cases=_cases(project, name, entry["primary"], assessment, store, gold, max_cases),
        data_summary=_summary(store),
        snapshot=read_json(project.snapshot(name) / "snapshot.json"),
        dataset=read_json(project.dataset(name) / "split.json"),
        quality=read_json(project.snapshot(name) / "quality.json"),
        gold=assessment.gold,
        gold_version=assessment.gold["version"],
        lineage=_lineage(project, name, params, assessment),
        hashes=_hashes(project, name, assessment),
        config={variant: fit["detector"] for variant, fit in fits.items()},
        label_set=label_set,
    )


def _champion(
    project: Project,
    champion: Mapping[str, Any] | None,
    assessment: Assessment,
    fits: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The champion of the time, with its scorecard where that was measured on the same gold.

    A champion that is a parent was scored here; any other has the scorecard that was kept when it
    was promoted: a file in git that never changes, named by the parameters.
    """
    if champion is None:
        return {}
    model = str(champion["model"])
    parents = {_model_name(fits[v]): card for v, card in assessment.parents.items()}
    if champion["is_parent"] and model in parents:
        return {"champion": model, "champion_scorecard": parents[model]}
    # The parent was trained again after it had been promoted: not the same model.
    name = f"{model} (as promoted)" if model in parents else model
    if not champion["scorecard"]:
        return {"champion": name}
    kept = read_kept_scorecard(project.root / champion["scorecard"])
    if kept["gold"]["sha256"] != assessment.gold["sha256"]:
        return {"champion": name, "champion_gold_version": kept["gold"]["version"]}
    return {"champion": name, "champion_scorecard": Scorecard.from_dict(kept["scorecard"])}


def _history(history: Sequence[Mapping[str, Any]], gold_version: int) -> list[HistoryPoint]:
    return [
        HistoryPoint(
            point["iteration"],
            point["variant"],
            point["metrics"],
            {key: (low, high) for key, (low, high) in point["intervals"].items()},
            gold_version,
        )
        for point in history
    ]


def _hashes(project: Project, name: str, assessment: Assessment) -> dict[str, str]:
    snapshot = read_json(project.snapshot(name) / "snapshot.json")
    models = {
        f"model/{variant}": sha256_tree(project.model(name, variant))
        for variant in assessment.variants
    }
    return {
        "series": sha256_file(project.series / "manifest.json"),
        "snapshot": snapshot["annotations_sha256"],
        "dataset": sha256_tree(project.dataset(name)),
        "gold": assessment.gold["sha256"],
        **models,
    }


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
