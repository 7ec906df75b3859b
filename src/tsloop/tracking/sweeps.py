"""Runs of the sweeps: one parent per sweep, one nested run per job's result file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsloop.errors import TrackingError
from tsloop.files import dump_json, read_json
from tsloop.project import Project
from tsloop.tracking.iterations import provenance_tags
from tsloop.tracking.provenance import Provenance
from tsloop.tracking.specs import (
    Metric,
    RunSpec,
    clipped,
    content_key,
    finite,
    flatten,
    scorecard_figures,
)

__all__ = ["SCHEMA", "job_run", "sweep_files", "sweep_run"]

SCHEMA = "tsloop.sweep/1"


def sweep_files(project: Project) -> dict[str, list[Path]]:
    """Result files per sweep, both sorted by name."""
    found: dict[str, list[Path]] = {}
    for path in sorted(project.sweeps.glob("*/*.json")):
        found.setdefault(path.parent.name, []).append(path)
    return found


def sweep_run(project: Project, sweep: str, time_ms: int) -> RunSpec:
    """The parent run of a sweep: it carries nothing but its name and its jobs."""
    return RunSpec(
        kind="sweep",
        name=f"sweep/{sweep}",
        key=content_key(["sweep", sweep]),
        time_ms=time_ms,
        tags={
            "tsloop.key": content_key(["sweep", sweep]),
            "tsloop.sweep": sweep,
            "tsloop.stage": "sweep",
            "mlflow.source.name": "tsloop",
            "mlflow.source.type": "LOCAL",
            "mlflow.note.content": f"Sweep {sweep}: one nested run per file of sweeps/{sweep}/.",
        },
    )


def job_run(project: Project, path: Path, provenance: Provenance) -> RunSpec:
    """The run of one job; a file that is no job result is a `TrackingError` that names it."""
    job = read_json(path)
    if not isinstance(job, dict) or job.get("schema") != SCHEMA:
        raise TrackingError(
            f"{path} is not the result of a sweep's job (schema {SCHEMA!r}).",
            hint="Delete it; the sweep makes it again when it is resumed.",
        )
    if job.get("sweep") != path.parent.name:
        raise TrackingError(
            f"{path} says that it belongs to sweep {job.get('sweep')!r}.",
            hint="Move it to that sweep's directory, or delete it.",
        )
    metrics, tags = scorecard_figures(job)
    seconds, _ = finite({"seconds": job.get("seconds")})
    duration_ms = int(seconds.get("seconds", 0.0) * 1000)
    key = content_key(job)
    return RunSpec(
        kind="job",
        name=str(job.get("job") or path.stem),
        key=key,
        time_ms=int(path.stat().st_mtime * 1000) - duration_ms,
        tags={
            **tags,
            **provenance_tags(provenance.head),
            "tsloop.key": key,
            "tsloop.sweep": path.parent.name,
            "tsloop.job": str(job.get("job") or path.stem),
            "tsloop.stage": "sweep",
            "tsloop.overrides": clipped(dump_json(job.get("overrides") or [])),
            "config.sha256": content_key(job.get("config") or {}),
            "mlflow.source.name": "tsloop",
            "mlflow.source.type": "LOCAL",
        },
        params=_params(job),
        metrics=(*metrics, *(Metric(name, value) for name, value in seconds.items())),
        files=((path, ""),),
    )


def _params(job: Mapping[str, Any]) -> dict[str, str]:
    return flatten(job.get("params") or {})
