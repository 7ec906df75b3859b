"""What every request passes before any route sees it: host, origin, size, kind of content.

A page of a foreign site can make a browser send requests here; browsers say so in ``Origin`` and
``Sec-Fetch-Site``, and a rebound DNS name shows in ``Host``. Answers carry a strict content
security policy, so that imported text is never run, whatever a page does with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ["CSP", "Guard", "hosts_of"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CSP = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
WRITES = ("POST", "PUT", "PATCH", "DELETE")
MAX_URL = 8192


def hosts_of(bind: str, more: Collection[str]) -> frozenset[str]:
    """Host names under which the page answers, without ports."""
    own = f"[{bind}]" if ":" in bind else bind
    return frozenset(h.lower() for h in (*LOOPBACK, own, *more) if h not in ("0.0.0.0", "[::]"))


class Guard:
    """ASGI middleware; refusals have the same shape as the errors of routes."""

    def __init__(self, app: App, hosts: Collection[str], max_body_bytes: int) -> None:
        self.app = app
        self.hosts = hosts
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with the body read and the headers set."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refused = self._refuse(scope, headers)
        body = b""
        if refused is None and scope["method"] in WRITES:
            read = await self._body(headers, receive)
            refused, body = (read, b"") if isinstance(read, tuple) else (None, read)
            if refused is None:
                refused = _check_json(headers, body)
        if refused is not None:
            await _answer(send, *refused)
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent or scope["method"] not in WRITES:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_defaults(message.get("headers", []), scope["path"])
            await send(message)

        await self.app(scope, replay, dressed)

    def _refuse(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        host = headers.get("host", "").lower()
        if _name_of(host) not in self.hosts:
            return 403, "host", f"This page does not answer to the host {host[:80]!r}."
        target = scope.get("raw_path", b"") + b"?" + scope.get("query_string", b"")
        if len(target) > MAX_URL:
            return 414, "too_large", f"The address has {len(target)} bytes."
        if b"\x00" in target or re.search(rb"%00", target):
            return 400, "bad_request", "The address holds a NUL character."
        is_api = scope["path"].startswith("/api")
        site = headers.get("sec-fetch-site", "same-origin")
        if (is_api or scope["method"] in WRITES) and site not in ("same-origin", "none"):
            return 403, "origin", "Requests from other sites are refused."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host:
            return 403, "origin", f"Requests from {origin[:80]!r} are refused."
        return None

    async def _body(
        self, headers: dict[str, str], receive: Receive
    ) -> bytes | tuple[int, str, str]:
        limit = self.max_body_bytes
        too_large = (413, "too_large", f"A request may have {limit} bytes (review.max_body_bytes).")
        announced = headers.get("content-length", "0")
        if not announced.isdigit() or int(announced[:20]) > limit:
            return too_large if announced.isdigit() else (400, "bad_request", "Bad length.")
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return 400, "bad_request", "The client went away."
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                return too_large
            if not message.get("more_body", False):
                return b"".join(parts)


def _name_of(host: str) -> str:
    """The host without its port."""
    return host.rpartition(":")[0] if re.search(r"[^:\]]:\d+$|\]:\d+$", host) else host


def _check_json(headers: dict[str, str], body: bytes) -> tuple[int, str, str] | None:
    """A body is JSON by name and by content; a form of a foreign page cannot be either."""
    if not body:
        return None
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return 415, "bad_request", f"Send application/json, not {kind[:60]!r}."
    try:
        json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return 400, "bad_request", f"The body is not JSON: {str(error)[:100]}."
    return None


def _no_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def _with_defaults(headers: list[tuple[bytes, bytes]], path: str) -> list[tuple[bytes, bytes]]:
    held = {name.lower() for name, _ in headers}
    more = dict(HEADERS)
    if path.startswith("/api"):
        more["cache-control"] = "no-store"
    added = [(k.encode(), v.encode()) for k, v in more.items() if k.encode() not in held]
    return [*headers, *added]


async def _answer(send: Send, status: int, code: str, message: str) -> None:
    error = {"code": code, "message": message, "hint": "", "field": None}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": _with_defaults(headers, "/api"),
        }
    )
    await send({"type": "http.response.body", "body": body})
