"""What the chart draws."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from tsloop.errors import ReviewInvalidError
from tsloop.review import series_data
from tsloop.review import tables as t
from tsloop.review.service import ReviewService
from tsloop.review.similar import find_similar
from tsloop.review.web.context import MAX_INT, CurrentUser, Key, Px, Row, Service
from tsloop.review.web.errors import ApiError
from tsloop.series.types import Role, Series

__all__ = ["router"]

router = APIRouter(prefix="/api/series")

Moment = Annotated[float | None, Query(ge=-1e16, le=1e16)]
Models = Annotated[list[str] | None, Query(max_length=20)]
MAX_SISTERS = 20
MAX_DAYS = 30
HEAT = 600


def _series(service: ReviewService, key: str) -> Series:
    return service.material.series(service.material.entry(key).id)


def _px(service: ReviewService, px: int) -> int:
    return min(px, service.material.config.max_px)


@router.get("/{key}")
def get_series(key: Key, service: Service, _: CurrentUser) -> dict[str, Any]:
    """Length, true time range, zone, gaps, value range."""
    entry = service.material.entry(key)
    return series_data.summary(entry, service.material.series(entry.id), key)


@router.get("/{key}/window", response_model=None)
def get_window(
    key: Key,
    request: Request,
    service: Service,
    _: CurrentUser,
    start: Row = None,
    end: Row = None,
    t0_ms: Moment = None,
    t1_ms: Moment = None,
    px: Px = 1200,
) -> Any:
    """A viewport by rows or times: extremes, spikes and gaps of one row stay.

    With ``Accept: application/octet-stream`` as bytes, else as JSON.
    """
    view = series_data.view_of(
        _series(service, key),
        start=start,
        end=end,
        t0_ms=t0_ms,
        t1_ms=t1_ms,
        px=_px(service, px),
        max_points=service.material.config.max_points,
    )
    if "application/octet-stream" in request.headers.get("accept", ""):
        return Response(view.to_bytes(), media_type="application/octet-stream")
    return view.to_dict()


@router.get("/{key}/overview")
def get_overview(
    key: Key,
    service: Service,
    user: CurrentUser,
    px: Px = 1200,
    model: str = "",
) -> dict[str, Any]:
    """The whole series, and a strip of the largest scores."""
    series = _series(service, key)
    limit = service.material.config.max_points
    view = series_data.view_of(series, px=_px(service, px), max_points=limit)
    heat = None
    if model and not service.hides_scores(key, user):
        scores = service.material.scores(model, series.id)
        if scores is not None:
            largest = series_data.heat(scores, min(HEAT, _px(service, px)))
            heat = {"model": model, "n": len(largest), "max": largest}
    return {**view.to_dict(), "heat": heat}


@router.get("/{key}/scores")
def get_scores(
    key: Key,
    service: Service,
    user: CurrentUser,
    model: Models = None,
    start: Row = None,
    end: Row = None,
    px: Px = 1200,
) -> dict[str, Any]:
    """Score curves of one or several models; none while the series is to be labelled blind."""
    if service.hides_scores(key, user):
        raise ApiError(403, "forbidden", "This series is labelled blind: scores stay hidden.")
    series = _series(service, key)
    limit = service.material.config.max_points
    view = series_data.view_of(series, start=start, end=end, px=16, max_points=limit)
    found, missing = [], []
    for name in model or ():
        scores = service.material.scores(name, series.id)
        if scores is None:
            missing.append(name)
            continue
        curve = series_data.scores_view(
            series, scores, view.start, view.end, _px(service, px), limit
        )
        found.append({"model": name, "threshold": service.material.threshold(name), **curve})
    return {"models": found, "missing": missing}


@router.get("/{key}/days")
def get_days(
    key: Key,
    service: Service,
    _: CurrentUser,
    start: Row = None,
    end: Row = None,
    n: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 5,
    px: Px = 600,
) -> dict[str, Any]:
    """The same local hours on other days, moved onto the view."""
    series = _series(service, key)
    low, high = _rows(series, start, end)
    limit = service.material.config.max_points
    return {"days": series_data.days(series, low, high, n, _px(service, px), limit)}


@router.get("/{key}/sisters")
def get_sisters(
    key: Key,
    service: Service,
    _: CurrentUser,
    t0_ms: Moment = None,
    t1_ms: Moment = None,
    px: Px = 600,
    limit: Annotated[int, Query(ge=1, le=MAX_SISTERS)] = 6,
) -> dict[str, Any]:
    """Other series of the same group over the same time."""
    material = service.material
    entry = material.entry(key)
    names = [
        other.id
        for other in material.store.entries.values()
        if other.group == entry.group and other.id != entry.id
    ]
    found = []
    for name in names[:limit]:
        series = material.series(name)
        view = series_data.view_of(
            series,
            t0_ms=t0_ms,
            t1_ms=t1_ms,
            px=_px(service, px),
            max_points=material.config.max_points // limit,
        )
        from tsloop.review.material import series_key

        found.append(
            {
                "key": series_key(name),
                "series_id": name,
                "unit": series.unit,
                "zone": series.zone,
                **view.to_dict(),
            }
        )
    return {"sisters": found, "total": len(names)}


@router.get("/{key}/similar")
def get_similar(
    key: Key,
    service: Service,
    _: CurrentUser,
    start: Annotated[int, Query(ge=0, le=MAX_INT)],
    end: Annotated[int, Query(ge=0, le=MAX_INT)],
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    scope: Annotated[str, Query(pattern="^(queue|group|self|pool)$")] = "queue",
    iteration: str = "",
) -> dict[str, Any]:
    """Stretches that look like rows start..end, the most similar first."""
    material = service.material
    entry = material.entry(key)
    series = material.series(entry.id)
    low, high = _rows(series, start, end)
    if not np.isfinite(series.values[low : high + 1]).any():
        raise ReviewInvalidError("start: there are no values to compare.", field="start")
    name = iteration or material.open_iteration() or ""
    held = _items_by_series(service, name)
    pool = _pool(service, entry.id, entry.group, scope, held)
    most = material.config.max_similar_series
    matches = find_similar(material, series, low, high, pool[:most], limit)
    labelled = service.labelled_ids(name)
    return {
        "query": {"start": low, "end": high},
        "searched": min(len(pool), most),
        "truncated": len(pool) > most,
        "matches": [
            {
                **match.sketch(material.series(match.series_id)),
                **held.get(match.series_id, {"item": None, "revision": None, "state": None}),
                "labelled": match.series_id in labelled,
            }
            for match in matches
        ],
    }


def _pool(
    service: ReviewService, own: str, group: str, scope: str, held: dict[str, Any]
) -> list[str]:
    """Which series to search, the own one first; gold is never shown beside others."""
    store = service.material.store
    pool = store.ids(Role.POOL)
    if scope == "self":
        found = []
    elif scope == "group":
        found = [i for i in pool if store.entries[i].group == group]
    elif scope == "queue":
        found = [i for i in pool if i in held]
    else:
        found = pool
    return [own, *(i for i in found if i != own)]


def _items_by_series(service: ReviewService, iteration: str) -> dict[str, dict[str, Any]]:
    import sqlalchemy as sa

    c = t.items.c
    query = sa.select(c.series_id, c.id, c.revision, c.state).where(
        c.iteration == iteration, c.active, c.kind.in_(("queue", "correction"))
    )
    with service.database.read() as connection:
        rows = connection.execute(query).all()
    return {r.series_id: {"item": r.id, "revision": r.revision, "state": r.state} for r in rows}


def _rows(series: Series, start: int | None, end: int | None) -> tuple[int, int]:
    """Rows inside the series; a view that ends before it starts is an error."""
    last = len(series) - 1
    low = 0 if start is None else start
    high = last if end is None else min(end, last)
    if low > high:
        raise ReviewInvalidError(f"start: rows {low} to {high} are no stretch.", field="start")
    return low, high
