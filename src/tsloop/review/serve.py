"""Run the page: one process, bound to this machine unless told otherwise."""

from __future__ import annotations

import contextlib
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import closing

from tsloop.errors import ReviewError
from tsloop.review.service import ReviewService

__all__ = ["DEFAULT_PORT", "serve"]

DEFAULT_PORT = 8642
TRIES = 20
GRACE_S = 5


def serve(
    service: ReviewService,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    require_tokens: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until interrupted. Without a port the first free one from 8642 on is taken.

    Off this machine, and behind a proxy (``require_tokens``), nobody gets in without a token, so at
    least one must have been made.
    """
    # Beside the imports below: the first series is read when the first browser asks.
    threading.Thread(target=_warm, args=(service,), daemon=True).start()
    import uvicorn

    from tsloop.review.web.app import create_app
    from tsloop.review.web.context import is_loopback

    trusted = is_loopback(host) and not require_tokens
    if not trusted and not any(u["has_token"] for u in service.people.all()):
        raise ReviewError(
            f"On {host} everybody shall need a token, and nobody has one.",
            hint="Make one: tsloop review user NAME --role admin --token",
        )
    if not trusted and not service.material.config.allowed_hosts:
        say("Attention: reachable under its address only; name others: review.allowed_hosts")
    chosen = _free_port(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{chosen}/"
    config = uvicorn.Config(
        create_app(service, host=host, require_tokens=require_tokens),
        host=host,
        port=chosen,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="off",
    )
    say(f"Review page: {url}  (end it with Ctrl+C; whatever was saved stays)")
    if browser:
        threading.Timer(0.5, webbrowser.open, [url]).start()
    with contextlib.suppress(KeyboardInterrupt):  # how one ends it
        uvicorn.Server(config).run()


def _warm(service: ReviewService) -> None:
    # What is wrong with a file is told to whoever asks for it.
    with contextlib.suppress(Exception):
        service.warm()


def _free_port(host: str, port: int | None) -> int:
    wanted = range(DEFAULT_PORT, DEFAULT_PORT + TRIES) if port is None else (port,)
    for candidate in wanted:
        if _is_free(host, candidate):
            return candidate
    raise ReviewError(
        f"Port {wanted[0]} of {host} is taken.", hint="Choose another: tsloop review --port N"
    )


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
