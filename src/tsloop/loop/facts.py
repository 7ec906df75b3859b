"""Look at a project's files and jobs and say what is there of one iteration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tsloop.config.params import read_params
from tsloop.config.pipeline import IterationSpec
from tsloop.execution import JobInfo, JobState, build_executor
from tsloop.files import read_json
from tsloop.loop.states import IterationFacts
from tsloop.project import Project

__all__ = ["gather_facts"]


def gather_facts(project: Project, spec: IterationSpec) -> IterationFacts:
    """What the files and jobs of a project show of one iteration, also of an archived one."""
    params = read_params(project)
    name = spec.name
    variants = _variants(params, spec)
    entry = params["datasets"].get(name)
    journal = project.root / entry["journal"] if entry else project.labels(name)
    labelled = journal.exists() or spec.archived
    published = project.registry(name).exists()
    jobs = [job for job in build_executor(project.root).list() if name in job.name.split()]
    return IterationFacts(
        journal_exists=labelled or entry is not None,
        labels_done=labelled,
        snapshot=_complete(project.snapshot(name) / "snapshot.json", spec),
        dataset=_complete(project.dataset(name) / "split.json", spec),
        models_done=_count(variants, lambda v: project.model(name, v) / "detector.json", spec),
        models_total=len(variants),
        fit_job_running=_running(jobs, "train"),
        predictions_done=_count(
            variants, lambda v: project.predictions(name, v) / "detections.jsonl", spec
        ),
        predictions_total=len(variants),
        predict_job_running=_running(jobs, "infer"),
        report=published or (project.report(name) / "scorecard.json").exists(),
        published=published,
        event_f1=_event_f1(project, name, params),
        min_event_f1=params["gate"].get("min_event_f1"),
        failure=_failure(jobs) if not published else "",
    )


def _variants(params: Mapping[str, Any], spec: IterationSpec) -> list[str]:
    if spec.archived:
        return list(spec.variants)
    return [
        entry["variant"] for entry in params["fits"].values() if entry["iteration"] == spec.name
    ] or list(params["variants"])


def _complete(path: Path, spec: IterationSpec) -> bool:
    """Garbage collection may have taken what an archived iteration once had."""
    return spec.archived or path.exists()


def _count(variants: Iterable[str], path_of: Any, spec: IterationSpec) -> int:
    return sum(_complete(path_of(variant), spec) for variant in variants)


def _running(jobs: Iterable[JobInfo], verb: str) -> bool:
    return any(
        job.state in (JobState.QUEUED, JobState.RUNNING) and job.name.split()[0] == verb
        for job in jobs
    )


def _failure(jobs: list[JobInfo]) -> str:
    """Why the newest job of the iteration failed; empty where it did not."""
    if jobs and jobs[-1].state in (JobState.FAILED, JobState.LOST):
        last = jobs[-1]
        why = last.reason or f"exit code {last.rc}"
        return f"job {last.id} ({last.name}): {why}; see `tsloop jobs log {last.id}`"
    return ""


def _event_f1(project: Project, name: str, params: Mapping[str, Any]) -> float | None:
    path = project.root / "reports" / "metrics" / f"{name}.json"
    if not path.exists():
        return None
    evaluation = params["evaluations"].get(name, {})
    primary = evaluation.get("primary", params["loop"]["primary"])
    value = read_json(path).get(primary, {}).get("event_f1")
    return None if value is None else float(value)
