"""The queue, its items, and what people decide."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field

from tsloop.review import items, listing
from tsloop.review.content import STATES
from tsloop.review.decisions import Effort
from tsloop.review.service import ReviewService
from tsloop.review.web.context import (
    MAX_INT,
    CurrentUser,
    IdempotencyKey,
    ItemId,
    Service,
    This,
    tagged,
)
from tsloop.review.web.errors import ApiError

__all__ = ["router"]

router = APIRouter(prefix="/api")

State = Annotated[list[str] | None, Query(max_length=10)]
BatchId = Annotated[int, Path(ge=1, le=MAX_INT)]


class Decision(BaseModel):
    """What somebody says of an item, as a whole, and what it cost."""

    content: dict[str, Any]
    decision: str = Field("save", min_length=1, max_length=60)
    seconds: float = Field(0.0, ge=0, le=86_400)
    keys: int = Field(0, ge=0, le=MAX_INT)
    clicks: int = Field(0, ge=0, le=MAX_INT)


class Assignment(BaseModel):
    """Who shall do it; ``null``: anybody."""

    user: str | None = Field(max_length=100)


class Verdict(BaseModel):
    """A judgement of one revision."""

    revision: int = Field(ge=0, le=MAX_INT)
    verdict: str = Field(max_length=20)
    comment: str = Field("", max_length=4000)


class Batch(BaseModel):
    """Many changes that are saved together."""

    operations: list[dict[str, Any]]
    all_or_nothing: bool = True
    seconds: float = Field(0.0, ge=0, le=86_400)


class QueueBatch(BaseModel):
    """One verdict for every open series: accept from a score on, or reject below it."""

    op: str = Field(pattern="^(accept|reject)$")
    score: float = Field(ge=0, le=1)
    state: str | None = Field(None, pattern="^done$")
    iteration: str = Field("", max_length=64)
    seconds: float = Field(0.0, ge=0, le=86_400)


class Correction(BaseModel):
    """A series to label again in the open iteration."""

    series: str = Field(pattern=r"^[0-9a-f]{16}$")
    iteration: str | None = Field(None, max_length=64)


@router.get("/queue")
def get_queue(
    request: Request,
    service: Service,
    user: CurrentUser,
    iteration: str = "",
    state: State = None,
    reason: State = None,
    assignee: str = "",
    q: Annotated[str, Query(max_length=200)] = "",
    offset: Annotated[int, Query(ge=0, le=MAX_INT)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_INT)] = 200,
) -> Response:
    """The series of an iteration in the sampler's order, with counts of states and reasons."""
    name = _iteration(service, iteration)
    if name is None:
        counts = dict.fromkeys((*STATES, "total"), 0)
        return tagged(
            request,
            {"iteration": None, "total": 0, "counts": counts, "reasons": {}, "items": []},
        )
    limit = min(limit, service.material.config.max_page)
    filters = listing.Filters(
        name, tuple(state or ()), tuple(reason or ()), assignee, q, offset, limit
    )
    found, total, reasons = listing.find_items(service.database, filters, user)
    counts = listing.count_states(service.database, name)
    data = {
        "iteration": name,
        "summary": listing.to_review(name, counts),
        "total": total,
        "counts": counts,
        "reasons": reasons,
        "items": found,
    }
    return tagged(request, data)


def _iteration(service: ReviewService, name: str) -> str | None:
    if name:
        service.material.parent(name)  # an unknown one is an error
    name = name or service.material.open_iteration() or ""
    service.keep_up(name)
    return name or None


@router.get("/queue/next", responses={204: {"description": "Nothing is left."}})
def get_next(
    service: Service,
    user: CurrentUser,
    iteration: str = "",
    after: Annotated[int | None, Query(ge=1, le=MAX_INT)] = None,
    state: State = None,
) -> Any:
    """The next item that is for this user and that nobody else holds."""
    name = _iteration(service, iteration)
    states = tuple(state or ("pending", "needs_fix"))
    found = (
        listing.next_item(service.database, name, user, after=after, states=states)
        if name is not None
        else None
    )
    return found if found is not None else Response(status_code=204)


@router.get("/queue/batch")
def count_queue_batch(
    service: Service,
    user: CurrentUser,
    score: Annotated[float, Query(ge=0, le=1)],
    iteration: str = "",
) -> dict[str, Any]:
    """How many open series and proposals lie at or above a score (accept) and below it (reject)."""
    name = _iteration(service, iteration) or ""
    return service.batches.count_queue(user, name, score)


@router.post("/queue/batch")
def post_queue_batch(
    body: QueueBatch,
    service: Service,
    user: CurrentUser,
    response: Response,
    idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:
    """Accept or reject by score in the whole queue, however long it is: one step to undo."""
    _need_key(idempotency_key)
    reply, replayed = service.batches.judge_queue(
        user,
        _iteration(service, body.iteration) or "",
        body.op,
        body.score,
        state=body.state,
        seconds=body.seconds,
        key=idempotency_key,
    )
    return _replayed(reply, replayed, response)


@router.post("/items")
def make_item(body: Correction, service: Service, user: CurrentUser) -> dict[str, Any]:
    """An item in the open iteration for any series: how older labels are corrected."""
    return service.correct(user, body.series, body.iteration)


@router.get("/items/{item_id}")
def get_item(
    item_id: ItemId, service: Service, user: CurrentUser, response: Response
) -> dict[str, Any]:
    """One item: series, proposals, and what was said so far."""
    found = service.item(item_id, user)
    response.headers["ETag"] = f'"{found["revision"]}"'
    return found


@router.get("/items/{item_id}/revisions")
def get_revisions(item_id: ItemId, service: Service, user: CurrentUser) -> dict[str, Any]:
    """Everything that was ever said of an item, newest first."""
    with service.database.read() as connection:
        items.check_may_see(connection, items.get_row(connection, item_id), user)
    return {"revisions": items.history(service.database, item_id)}


@router.put("/items/{item_id}/decision")
def put_decision(
    item_id: ItemId,
    body: Decision,
    service: Service,
    user: CurrentUser,
    response: Response,
    if_match: Annotated[str, Header(max_length=40)] = "",
    idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:
    """Save a decision on top of the revision in If-Match; 409 with both where it is old."""
    basis = _revision(if_match)
    _need_key(idempotency_key)
    effort = Effort(body.decision, body.seconds, body.keys, body.clicks)
    reply, replayed = service.decisions.save(
        user, item_id, basis, body.content, effort, key=idempotency_key
    )
    response.headers["ETag"] = f'"{reply["revision"]}"'
    return _replayed(reply, replayed, response)


def _revision(if_match: str) -> int:
    if not if_match:
        raise ApiError(
            428, "precondition_required", "If-Match is missing.", 'Send the revision: "0", …'
        )
    found = re.fullmatch(r'"?(\d{1,9})"?', if_match.strip().removeprefix("W/"))
    if found is None:
        raise ApiError(400, "bad_request", "If-Match must be a revision in quotes.")
    return int(found.group(1))


def _need_key(key: str) -> None:
    if not key.strip():
        raise ApiError(
            428, "precondition_required", "Idempotency-Key is missing.", "Send a fresh UUID."
        )


def _replayed(reply: dict[str, Any], replayed: bool, response: Response) -> dict[str, Any]:
    if replayed:
        response.headers["Idempotent-Replay"] = "true"
    return reply


@router.post("/items/{item_id}/lock")
def lock_item(item_id: ItemId, service: Service, user: CurrentUser) -> dict[str, Any]:
    """Tell others that one is at work on it; again before ``lock_s`` have passed."""
    seconds = service.material.config.lock_s
    return {"holder": service.holding.lock(user, item_id, seconds)}


@router.delete("/items/{item_id}/lock", status_code=204)
def unlock_item(item_id: ItemId, service: Service, user: CurrentUser) -> None:
    """Let go of it."""
    service.holding.unlock(user, item_id)


@router.post("/items/{item_id}/assign")
def assign_item(
    item_id: ItemId, body: Assignment, service: Service, user: CurrentUser
) -> dict[str, Any]:
    """Give it to somebody."""
    return service.holding.assign(user, item_id, body.user)


@router.post("/items/{item_id}/approval")
def judge_item(
    item_id: ItemId,
    body: Verdict,
    context: This,
    user: CurrentUser,
    response: Response,
    idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:
    """Approve a revision or return it; a later edit asks again."""
    reply, replayed = context.service.holding.judge(
        user,
        item_id,
        body.revision,
        body.verdict,
        body.comment,
        alone=context.loopback,
        key=idempotency_key,
    )
    return _replayed(reply, replayed, response)


@router.post("/items/batch")
def post_batch(
    body: Batch,
    service: Service,
    user: CurrentUser,
    response: Response,
    idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:
    """Change many items in one transaction, which is one step to undo."""
    _need_key(idempotency_key)
    reply, replayed = service.batches.apply(
        user,
        body.operations,
        seconds=body.seconds,
        all_or_nothing=body.all_or_nothing,
        key=idempotency_key,
    )
    return _replayed(reply, replayed, response)


@router.post("/batches/{batch_id}/undo")
def undo_batch(
    batch_id: BatchId,
    service: Service,
    user: CurrentUser,
    response: Response,
    idempotency_key: IdempotencyKey = "",
) -> dict[str, Any]:
    """Take a batch back, where nobody changed its items since."""
    reply, replayed = service.batches.undo(user, batch_id, idempotency_key)
    return _replayed(reply, replayed, response)
