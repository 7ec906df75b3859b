"""Session, labels, users: who one is, and what one may say."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from tsloop import __version__
from tsloop.config.schema import section
from tsloop.labels import Label
from tsloop.review.people import User, check_user_name, require
from tsloop.review.web.context import (
    Caller,
    Context,
    CurrentUser,
    Service,
    This,
    tagged,
    whoever,
)
from tsloop.review.web.errors import ApiError

__all__ = ["router"]

router = APIRouter(prefix="/api")

SHOWN = (
    "accept_moves_on", "max_px", "lock_s", "batch_min_score", "max_intervals", "max_body_bytes",
    "max_comment", "max_batch", "enforce_locks",
)  # fmt: skip


class LogIn(BaseModel):
    """A name on this machine, or a token from elsewhere."""

    name: str = Field("", max_length=100)
    token: str = Field("", max_length=200)


class UserChange(BaseModel):
    """What an admin says of a user."""

    role: str = Field(max_length=20)
    active: bool = True


def _session(context: Context, user: User | None) -> dict[str, Any]:
    material = context.service.material
    config = material.config
    settings = {name: getattr(config, name) for name in SHOWN}
    settings["heartbeat_s"] = max(1, config.lock_s // 3)
    known = user is not None
    return {
        "user": {"name": user.name, "role": user.role} if user else None,
        "login": "name" if context.loopback else "token",
        "csrf": context.signer.csrf(user.name if user else ""),
        "project": section(material.params, "project").name if known else None,
        "iteration": material.open_iteration() if known else None,
        "label_set": material.label_set.ref if known else None,
        "settings": settings if known else None,
        "version": __version__,
    }


@router.get("/session")
def get_session(context: This, caller: Annotated[Caller, Depends(whoever)]) -> dict[str, Any]:
    """Who is asking, the token for changes, and the settings of the page."""
    return _session(context, caller.user)


@router.post("/session")
def log_in(
    request: Request,
    response: Response,
    body: LogIn,
    context: This,
    _: Annotated[Caller, Depends(whoever)],
) -> dict[str, Any]:
    """Log in: by name on this machine, by token from elsewhere."""
    people = context.service.people
    mark = ""
    if body.token:
        user = people.by_token(body.token.strip())
        if user is None:
            raise ApiError(401, "unauthenticated", "This token is not valid.")
        mark = people.token_mark(user.name)
    elif context.loopback and body.name:
        user = people.ensure(check_user_name(body.name), "annotator")
    else:
        raise ApiError(401, "unauthenticated", "A token is needed.", "An admin makes it.")
    response.set_cookie(
        context.signer.cookie,
        context.signer.session(user.name, mark),
        max_age=context.service.material.config.session_days * 86_400,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path="/",
    )
    return _session(context, user)


@router.delete("/session", status_code=204)
def log_out(response: Response, context: This, _: Annotated[Caller, Depends(whoever)]) -> None:
    """Forget the cookie."""
    response.delete_cookie(context.signer.cookie, path="/")


@router.get("/labels")
def get_labels(request: Request, service: Service, _: CurrentUser) -> Response:
    """The label set of the project, with its version."""
    labels = service.material.label_set
    data = {
        "ref": labels.ref,
        "labels": [_label(label) for label in labels.labels],
        "attributes": [
            {"id": a.id, "zh": a.zh, "en": a.en, "values": [_label(v) for v in a.values]}
            for a in labels.attributes
        ],
    }
    return tagged(request, data)


def _label(label: Label) -> dict[str, str]:
    return {
        "id": label.id,
        "zh": label.zh,
        "en": label.en,
        "color": label.color,
        "group": label.group,
    }


@router.get("/users")
def get_users(service: Service, _: CurrentUser) -> dict[str, Any]:
    """Everybody who reviews."""
    return {"users": service.people.all()}


@router.put("/users/{name}")
def put_user(name: str, body: UserChange, service: Service, user: CurrentUser) -> dict[str, Any]:
    """Make or change a user (admin)."""
    require(user, "admin")
    changed = service.people.put(user, name, body.role, active=body.active)
    return {"name": changed.name, "role": changed.role, "active": body.active}


@router.post("/users/{name}/token")
def make_token(name: str, service: Service, user: CurrentUser) -> dict[str, Any]:
    """A new token of a user (admin); it is shown once."""
    return {"token": service.people.make_token(user, name)}


@router.delete("/users/{name}/token", status_code=204)
def revoke_token(name: str, service: Service, user: CurrentUser) -> None:
    """Let a token stop working (admin)."""
    service.people.revoke_token(user, name)
