"""The application: routes behind the guard."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from tsloop import __version__
from tsloop.review.service import ReviewService
from tsloop.review.web import (
    routes_items,
    routes_loop,
    routes_series,
    routes_session,
)
from tsloop.review.web.context import Context, is_loopback
from tsloop.review.web.errors import add_handlers
from tsloop.review.web.guard import Guard, hosts_of
from tsloop.review.web.pages import STATIC, make_router
from tsloop.review.web.sessions import Signer, load_secret

__all__ = ["create_app"]


def create_app(
    service: ReviewService,
    *,
    host: str = "127.0.0.1",
    require_tokens: bool = False,
    static: Path = STATIC,
) -> FastAPI:
    """The page of one project, bound to ``host``: off this machine everybody needs a token.

    So does everybody with ``require_tokens``, for a proxy makes strangers look like neighbours.
    """
    config = service.material.config
    app = FastAPI(
        title="tsloop review",
        version=__version__,
        description="Everything that the review page can do. Changes need `X-Tsloop-Csrf` from "
        "`GET /api/session`, or a bearer token.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    secret = load_secret(service.project.local / "review.secret")
    signer = Signer(secret, config.session_days)
    app.state.context = Context(service, signer, is_loopback(host) and not require_tokens)
    add_handlers(app)
    for module in (routes_session, routes_items, routes_series, routes_loop):
        app.include_router(module.router)

    @app.get("/api/health")
    def health() -> dict[str, bool]:
        """Whether the server answers."""
        return {"ok": True}

    app.include_router(make_router(static))
    app.add_middleware(
        Guard, hosts=hosts_of(host, config.allowed_hosts), max_body_bytes=config.max_body_bytes
    )
    return app
