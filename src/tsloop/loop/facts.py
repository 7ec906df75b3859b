"""Look at a project's files and jobs and say what is there of one iteration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tsloop.config.params import read_iterations, read_params
from tsloop.config.pipeline import IterationSpec
from tsloop.execution import JobInfo, JobState, build_executor
from tsloop.execution.dvc_lock import dvc_commands
from tsloop.execution.failures import StageFailure, read_failures
from tsloop.files import read_json
from tsloop.loop.freshness import Records
from tsloop.loop.states import IterationFacts
from tsloop.project import BASE, Project

__all__ = ["ProjectView", "gather_facts", "new_labels_wait"]

_SECTIONS = {
    "base": "bases",
    "annotate": "annotations",
    "dataset": "datasets",
    "fit": "fits",
    "predict": "predictions",
    "evaluate": "evaluations",
    "queue": "queues",
    "publish": "publications",
}
"""Stage → the section of ``params.yaml`` that it iterates over."""


class ProjectView:
    """What the facts of all iterations are read from; read once, so make a new one each time."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.params = read_params(project)
        self.specs = read_iterations(project)

    @cached_property
    def records(self) -> Records:
        """What DVC recorded of the stages."""
        return Records(self.project, self.params)

    @cached_property
    def jobs(self) -> list[JobInfo]:
        """Background jobs, in the order of their submission."""
        return list(build_executor(self.project.root).list())

    @cached_property
    def being_made(self) -> frozenset[Path]:
        """Outputs that some run of DVC is making now."""
        root = self.project.root.resolve()
        commands = dvc_commands(root)
        return frozenset(path for command in commands for path in command.writes)

    @cached_property
    def failures(self) -> list[StageFailure]:
        """Stages whose last run failed and whose outputs are still missing, the latest first."""
        found = read_failures(self.project.root)
        found = [f for f in found if self._exists(f.stage) and not self._is_done(f.stage)]
        return sorted(found, key=lambda failure: failure.time, reverse=True)

    def is_made(self, stage: str, *paths: Path) -> bool:
        """Whether these outputs of a stage are there and belong to what holds today."""
        return all(path.exists() for path in paths) and self.records.is_current(stage)

    def _exists(self, stage: str) -> bool:
        name, _, key = stage.partition("@")
        return not key or key in (self.params.get(_SECTIONS.get(name, "")) or {})

    def _is_done(self, stage: str) -> bool:
        """Made without running it again: by `dvc checkout`, or from DVC's cache of runs."""
        outs = self.records.stages.get(stage, {}).get("outs") or ()
        return self.is_made(stage, *(self.project.root / out["path"] for out in outs))


def gather_facts(
    project: Project, spec: IterationSpec, view: ProjectView | None = None
) -> IterationFacts:
    """What the files and jobs of a project show of one iteration, also of an archived one."""
    view = view or ProjectView(project)
    params, name = view.params, spec.name
    variants = _variants(params, spec)
    entry = params["datasets"].get(name)
    journal = project.root / entry["journal"] if entry else project.labels(name)
    labelled = journal.exists() or spec.archived

    def made(stage: str, *paths: Path) -> bool:
        # Garbage collection may have taken what an archived iteration once had.
        return spec.archived or view.is_made(stage, *paths)

    data = made(
        f"dataset@{name}",
        project.snapshot(name) / "snapshot.json",
        project.dataset(name) / "split.json",
    ) and not (entry and new_labels_wait(view, name))
    models = sum(
        made(f"fit@{name}-{v}", project.model(name, v) / "detector.json") for v in variants
    )
    predictions = sum(
        made(f"predict@{name}-{v}", project.predictions(name, v) / "detections.jsonl")
        for v in variants
    )
    published = made(f"publish@{name}", project.registry(name))
    jobs = [job for job in view.jobs if name in job.name.split()]
    return IterationFacts(
        journal_exists=labelled or entry is not None,
        labels_done=labelled,
        snapshot=data,
        dataset=data,
        models_done=models,
        models_total=len(variants),
        fit_job_running=_trains(jobs) or _makes(view, project.root / "models" / name),
        predictions_done=predictions,
        predictions_total=len(variants),
        predict_job_running=_makes(view, project.root / "data" / "predictions" / name),
        report=made(f"evaluate@{name}", project.report(name) / "scorecard.json"),
        published=published,
        event_f1=_event_f1(project, name, params),
        min_event_f1=params["gate"].get("min_event_f1"),
        failure="" if published else _failure(view, spec, jobs, models == len(variants)),
    )


def new_labels_wait(view: ProjectView, name: str) -> bool:
    """Whether people have labelled an iteration whose stages do not know it yet.

    `tsloop configure` lets them in. One that was published and built upon keeps its old labels.
    """
    project, entry = view.project, view.params["datasets"].get(name)
    if not project.labels(name).exists():
        return False
    if entry is None:
        return True
    closed = project.registry(name).exists() and any(s.parent == name for s in view.specs.values())
    return not closed and project.root / entry["journal"] != project.labels(name)


def _variants(params: Mapping[str, Any], spec: IterationSpec) -> list[str]:
    if spec.archived:
        return list(spec.variants)
    return [
        entry["variant"] for entry in params["fits"].values() if entry["iteration"] == spec.name
    ] or list(params["variants"])


def _trains(jobs: Iterable[JobInfo]) -> bool:
    waiting = (JobState.QUEUED, JobState.RUNNING)
    return any(job.state in waiting and job.name.split()[0] == "train" for job in jobs)


def _makes(view: ProjectView, directory: Path) -> bool:
    return any(path.is_relative_to(directory.resolve()) for path in view.being_made)


def _failure(view: ProjectView, spec: IterationSpec, jobs: list[JobInfo], trained: bool) -> str:
    """Why the last stage or job of the iteration failed; empty where none did."""
    if spec.archived:
        return ""
    for failure in view.failures:
        key = failure.stage.partition("@")[2]
        if key.partition("-")[0] in (spec.name, "", BASE, "gold") or key in view.params["bases"]:
            return str(failure)
    if jobs and not trained and jobs[-1].state in (JobState.FAILED, JobState.LOST):
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
