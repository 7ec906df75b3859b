"""Iterations, finishing them, jobs, quality, export and backup."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel

from tsloop.annotations.journal import latest, read_journal
from tsloop.config.schema import section
from tsloop.errors import ReviewError, TsloopError
from tsloop.execution import Executor, JobInfo, build_executor
from tsloop.execution.dvc_command import dvc_environment
from tsloop.loop.manager import Iteration as LoopIteration
from tsloop.loop.manager import IterationManager
from tsloop.review import listing
from tsloop.review.audit import events
from tsloop.review.backup import backup, export_lines
from tsloop.review.people import require
from tsloop.review.quality import quality
from tsloop.review.replies import once
from tsloop.review.service import ReviewService
from tsloop.review.web.context import (
    MAX_INT,
    CurrentUser,
    IdempotencyKey,
    Iteration,
    Service,
    tagged,
)
from tsloop.review.web.errors import ApiError

__all__ = ["router"]

router = APIRouter()

JobId = Annotated[str, Path(max_length=80, pattern=r"^[0-9a-z][0-9a-z.-]*$")]
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)


class Finish(BaseModel):
    """How to finish."""

    repro: bool = False
    allow_open: bool = False


@router.get("/api/iterations")
def get_iterations(request: Request, service: Service, _: CurrentUser) -> Response:
    """All iterations, where they stand, and how far their review is."""
    found = IterationManager(service.project).list_iterations()
    metrics = {it.name: it.metrics for it in found}
    data = {
        "open": service.material.open_iteration(),
        "iterations": [_iteration(service, it, metrics.get(it.parent, {})) for it in found],
    }
    return tagged(request, data)


@router.post("/api/iterations", status_code=201)
def create_iteration(service: Service, user: CurrentUser) -> dict[str, Any]:
    """The next iteration, on top of the newest one (reviewer)."""
    require(user, "reviewer")
    made = IterationManager(service.project).create_iteration()
    service.refresh()
    return _iteration(service, made, {})


@router.get("/api/iterations/{iteration}")
def get_iteration(iteration: Iteration, service: Service, _: CurrentUser) -> dict[str, Any]:
    """One iteration with its metrics and those of its parent."""
    manager = IterationManager(service.project)
    found = manager.show(iteration)
    parent = found.parent
    before = manager.get_iteration_metrics(parent) if parent in service.material.iterations else {}
    return _iteration(service, found, before)


def _iteration(
    service: ReviewService, found: LoopIteration, before: dict[str, Any]
) -> dict[str, Any]:
    project, name = service.project, found.name
    counts = listing.count_states(service.database, name)
    path = project.labels(name)
    report = (project.report(name) / "report.html").is_file()
    return {
        "name": name,
        "parent": found.parent,
        "base_model": found.base_model,
        "state": str(found.state),
        "failure": found.failure,
        "archived": found.archived,
        "published": found.published,
        "n_labelled": found.n_labelled,
        "metrics": found.metrics,
        "parent_metrics": before,
        "review": {**counts, "summary": listing.to_review(name, counts)}
        if counts["total"]
        else None,
        "journal": {
            "path": project.relative(path),
            "exists": path.exists(),
            "records": _n_records(service, name),
        },
        "closed": service.material.is_closed(name),
        "can_finish": bool(counts["total"]) and not service.material.is_closed(name),
        "links": {"report": f"/reports/{name}" if report else None, "mlflow": "tsloop tracking ui"},
    }


def _n_records(service: ReviewService, name: str) -> int:
    path = service.project.labels(name)
    try:
        return len(latest(read_journal(path))) if path.exists() else 0
    except TsloopError:
        return 0


@router.post("/api/iterations/{iteration}/import")
def import_iteration(iteration: Iteration, service: Service, user: CurrentUser) -> dict[str, Any]:
    """Take in the queue and the predictions; never over what people saved."""
    service.material.parent(iteration)
    return service.refresh(iteration)


@router.post("/api/iterations/{iteration}/finish")
def finish_iteration(
    iteration: Iteration,
    body: Finish,
    service: Service,
    user: CurrentUser,
    response: Response,
    idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:
    """Write the journal, open the stages, and start `dvc repro` where that is asked for."""
    if not idempotency_key:
        return _finish(service, user, iteration, body)
    done: dict[str, Any] = {}

    def act(_: Any) -> dict[str, Any]:
        return done

    # Finishing is idempotent by itself; the key only brings the same answer back.
    done = _finish(service, user, iteration, body)
    request = ["finish", iteration, body.model_dump()]
    reply, replayed = once(service.database, user.name, idempotency_key, request, act)
    if replayed:
        response.headers["Idempotent-Replay"] = "true"
    return reply


def _finish(service: ReviewService, user: Any, iteration: str, body: Finish) -> dict[str, Any]:
    done = service.finish(user, iteration, allow_open=body.allow_open)
    return {**done, "job": _repro(service, iteration) if body.repro else None}


@router.post("/api/iterations/{iteration}/repro")
def start_repro(iteration: Iteration, service: Service, user: CurrentUser) -> dict[str, Any]:
    """Start `dvc repro` in the background, once."""
    require(user, "reviewer")
    service.material.parent(iteration)
    return {"job": _repro(service, iteration)}


def _executor(service: ReviewService) -> Executor:
    config = section(service.material.params, "executor")
    return build_executor(service.project.root, config)


def _repro(service: ReviewService, iteration: str) -> str:
    return _executor(service).submit(
        [sys.executable, "-m", "tsloop.cli", "repro"],
        name=f"repro {iteration}",
        cwd=service.project.root,
        env=dvc_environment(),
        key="repro",
    )


@router.get("/api/jobs")
def get_jobs(service: Service, _: CurrentUser) -> dict[str, Any]:
    """Background jobs, newest last."""
    return {"jobs": [_job(job) for job in _executor(service).list()]}


@router.get("/api/jobs/{job_id}")
def get_job(job_id: JobId, service: Service, _: CurrentUser) -> dict[str, Any]:
    """One job, now."""
    return _job(_executor(service).status(job_id))


def _job(job: JobInfo) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "state": str(job.state),
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "rc": job.rc,
        "reason": job.reason,
        "progress": dict(job.progress) if job.progress else None,
    }


@router.get("/api/jobs/{job_id}/log")
def get_log(
    job_id: JobId,
    service: Service,
    _: CurrentUser,
    offset: Annotated[int, Query(ge=0, le=MAX_INT)] = 0,
) -> dict[str, Any]:
    """What a job printed from a place on."""
    executor = _executor(service)
    finished = executor.status(job_id).state.finished
    text = executor.logs(job_id)
    piece = text[offset : offset + 200_000]
    after = min(offset, len(text)) + len(piece)
    return {
        "offset": offset,
        "next": after,
        "text": piece,
        "finished": finished and after >= len(text),
    }


@router.post("/api/jobs/{job_id}/cancel")
def cancel_job(job_id: JobId, service: Service, user: CurrentUser) -> dict[str, Any]:
    """Stop a job and everything that it started (reviewer)."""
    require(user, "reviewer")
    return _job(_executor(service).cancel(job_id))


@router.get("/api/quality")
def get_quality(service: Service, user: CurrentUser, iteration: str = "") -> dict[str, Any]:
    """Effort, readiness to accept, planted proposals, agreement (reviewer)."""
    require(user, "reviewer")
    name = iteration or service.material.open_iteration()
    if not name:
        raise ReviewError("No iteration is open.", hint="Name one: ?iteration=it001")
    service.material.parent(name)
    return quality(service.database, name)


@router.get("/api/audit")
def get_audit(
    service: Service,
    user: CurrentUser,
    item: Annotated[int | None, Query(ge=1, le=MAX_INT)] = None,
    name: Annotated[str | None, Query(alias="user", max_length=100)] = None,
    before: Annotated[int | None, Query(ge=1, le=MAX_INT)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """Who did what, newest first (reviewer)."""
    require(user, "reviewer")
    found = events(service.database, item=item, user=name, before=before, limit=limit)
    return {"events": found}


@router.get("/api/export", response_class=StreamingResponse)
def get_export(service: Service, user: CurrentUser, iteration: str = "") -> StreamingResponse:
    """Every revision as a line of JSON (reviewer)."""
    require(user, "reviewer")
    if iteration:
        service.material.parent(iteration)
    return StreamingResponse(
        export_lines(service.database, iteration or None),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": 'attachment; filename="review.jsonl"'},
    )


@router.post("/api/backup")
def post_backup(service: Service, user: CurrentUser) -> dict[str, Any]:
    """A copy of the store, now (admin)."""
    require(user, "admin")
    place = service.project.local / "backups"
    made = backup(service.database, place, service.material.config.keep_backups)
    return {**made, "path": service.project.relative(service.project.root / made["path"])}


@router.get("/reports/{iteration}", response_class=FileResponse, include_in_schema=False)
def get_report(iteration: Iteration, service: Service, _: CurrentUser) -> FileResponse:
    """The report of an iteration, in a sandbox of its own."""
    service.material.parent(iteration)
    path = service.project.report(iteration) / "report.html"
    if not path.is_file():
        raise ApiError(404, "not_found", f"{iteration} has no report yet.", "Run `dvc repro`.")
    headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-cache"}
    return FileResponse(path, media_type="text/html; charset=utf-8", headers=headers)
