"""The built page: a fixed list of files, read once. No request is ever turned into a path."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Response

from tsloop.review.web.errors import ApiError

__all__ = ["STATIC", "make_router"]

STATIC = Path(__file__).parent.parent / "static"
FOREVER = "public, max-age=31536000, immutable"
KINDS = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
}

MISSING = """<!doctype html><meta charset="utf-8"><title>tsloop review</title>
<h1>tsloop review</h1><p>The page is not built. In the repository:
<code>cd web &amp;&amp; npm ci &amp;&amp; npm run build</code>.
The API works: <a href="/api/openapi.json">its description</a>.</p>"""


@dataclass(frozen=True)
class _File:
    content: bytes
    kind: str


def _read(directory: Path) -> dict[str, _File]:
    files = {}
    for path in sorted(directory.rglob("*")) if directory.is_dir() else []:
        if path.is_file() and not path.is_symlink():
            kind = KINDS.get(path.suffix) or mimetypes.guess_type(path.name)[0]
            name = path.relative_to(directory).as_posix()
            files[name] = _File(path.read_bytes(), kind or "application/octet-stream")
    return files


def make_router(directory: Path = STATIC) -> APIRouter:
    """Serve a built page; every address that is no file and no part of the API shows it."""
    router = APIRouter(include_in_schema=False)
    files = _read(directory)
    index = files.get("index.html", _File(MISSING.encode(), "text/html"))

    @router.get("/{path:path}")
    def get_page(path: str) -> Response:
        if path.startswith(("api/", "reports/")) or path == "api":
            raise ApiError(404, "not_found", "There is no such address.")
        found = files.get(path)
        if found is None and path.startswith("assets/"):
            raise ApiError(404, "not_found", "There is no such file.")
        shown = found or index
        hashed = found is not None and path.startswith("assets/")
        kind = shown.kind + ("; charset=utf-8" if shown.kind.startswith("text/") else "")
        cache = {"Cache-Control": FOREVER if hashed else "no-cache"}
        return Response(shown.content, headers=cache, media_type=kind)

    return router
