"""What routes are given: the service, the user behind a request, and answers with an ETag."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request, Response

from tsloop.review.people import User
from tsloop.review.service import ReviewService
from tsloop.review.web.errors import ApiError
from tsloop.review.web.sessions import Signer

__all__ = [
    "Caller", "Context", "CurrentUser", "IdempotencyKey", "ItemId", "Iteration", "Key", "Px",
    "Row", "Service", "This", "is_loopback", "tagged", "whoever",
]  # fmt: skip

MAX_INT = 2**31 - 1


@dataclass(frozen=True)
class Context:
    """One running page."""

    service: ReviewService
    signer: Signer
    loopback: bool
    """Bound to this machine alone: whoever reaches it works here, and needs no token."""


@dataclass(frozen=True)
class Caller:
    """Who asks; with a bearer token no foreign page can have sent the request."""

    user: User | None
    by_token: bool = False


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


This = Annotated[Context, Depends(_context)]


def _service(context: This) -> ReviewService:
    return context.service


Service = Annotated[ReviewService, Depends(_service)]


def whoever(request: Request, context: This) -> Caller:
    """The caller, known or not. A change needs the page's token against cross-site requests."""
    caller = _identify(request, context)
    changes = request.method not in ("GET", "HEAD", "OPTIONS")
    if changes and not caller.by_token:
        given = request.headers.get("x-tsloop-csrf", "")
        name = caller.user.name if caller.user else ""
        if not context.signer.is_csrf(given, name):
            raise ApiError(
                403, "csrf", "The header X-Tsloop-Csrf is missing or old.", "GET /api/session"
            )
    return caller


def _identify(request: Request, context: Context) -> Caller:
    people = context.service.people
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if token:
        user = people.by_token(token.strip()) if kind.lower() == "bearer" else None
        if user is None:
            raise ApiError(401, "unauthenticated", "This token is not valid.")
        return Caller(user, by_token=True)
    cookie = request.cookies.get(context.signer.cookie, "")
    said = context.signer.read(cookie) if cookie else None
    found = people.get(said[0]) if said else None
    # Who logged in by a token is logged in as long as that token is good.
    if said and found and said[1] in ("", people.token_mark(found.name)):
        return Caller(found)
    return Caller(context.service.owner() if context.loopback else None)


def _user(caller: Annotated[Caller, Depends(whoever)]) -> User:
    if caller.user is None:
        raise ApiError(
            401, "unauthenticated", "Log in first.", "An admin makes tokens: tsloop review user"
        )
    return caller.user


CurrentUser = Annotated[User, Depends(_user)]
ItemId = Annotated[int, Path(ge=1, le=MAX_INT)]
Key = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]
Iteration = Annotated[str, Path(max_length=64)]
Row = Annotated[int | None, Query(ge=0, le=MAX_INT)]
Px = Annotated[int, Query(ge=1, le=MAX_INT)]
IdempotencyKey = Annotated[str, Header(max_length=200)]


def tagged(request: Request, data: Any) -> Response:
    """JSON with a weak ETag of its content, or 304 where the client has it."""
    body = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
