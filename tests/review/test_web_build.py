"""The committed build of the review page comes from the committed source, and is served as is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
BUILD = ROOT / "src" / "tsloop" / "review" / "static"
SOURCES = ("index.html", "package.json", "package-lock.json", "src", "tsconfig.json")
MORE_SOURCES = ("vite.config.ts",)
MAX_GZIP_BYTES = 150_000
KNOWN_NAMES = {"http://www.w3.org", "https://vuejs.org"}
"""Name spaces and a hint in an error message; nothing is fetched from there."""


def _digest(base: Path, paths: Iterable[Path]) -> str:
    """The hash that ``web/stamp.mjs`` writes: names and contents, in the order of the names."""
    names = {path.relative_to(base).as_posix(): path for path in paths}
    whole = hashlib.sha256()
    for name in sorted(names):
        content = hashlib.sha256(names[name].read_bytes()).hexdigest()
        whole.update(f"{name}\0{content}\n".encode())
    return whole.hexdigest()


def _files(path: Path) -> list[Path]:
    return [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]


@pytest.fixture(scope="module")
def stamp() -> dict[str, str]:
    loaded: dict[str, str] = json.loads((BUILD / "build.json").read_text(encoding="utf-8"))
    return loaded


def test_the_build_was_made_from_this_source(stamp: dict[str, str]) -> None:
    if not WEB.is_dir():
        pytest.skip("no web/ here: an installed package has the build only")
    sources = [f for name in (*SOURCES, *MORE_SOURCES) for f in _files(WEB / name)]
    assert _digest(WEB, sources) == stamp["sources"], "web/ was changed: run `make web`, commit"


def test_the_build_is_complete_and_nobody_edited_it(stamp: dict[str, str]) -> None:
    files = [path for path in _files(BUILD) if path.name != "build.json"]
    assert _digest(BUILD, files) == stamp["files"]


def test_the_page_needs_nothing_from_elsewhere_and_no_inline_code() -> None:
    html = (BUILD / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", html)
    for reference in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert reference.startswith("/assets/")
        assert (BUILD / reference.removeprefix("/")).is_file()
        assert re.search(r"-[\w-]{8}\.\w+$", reference), (
            "names carry a hash: they are cached for ever"
        )
    for path in _files(BUILD / "assets"):
        text = path.read_text(encoding="utf-8")
        assert "eval(" not in text
        assert "new Function" not in text
        assert set(re.findall(r"https?://[\w.]+", text)) <= KNOWN_NAMES, path.name


def test_the_page_is_light() -> None:
    import gzip

    weight = sum(len(gzip.compress(p.read_bytes())) for p in _files(BUILD / "assets"))
    assert weight < MAX_GZIP_BYTES


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not name or "integrity" in package or package.get("link"), name


def test_exact_versions_only() -> None:
    package = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    for versions in (package["dependencies"], package["devDependencies"]):
        for name, version in versions.items():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
