"""Nothing imports upwards: the floors of docs/architecture.md, checked in every module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsloop

PACKAGE = Path(tsloop.__file__).parent
PAGE = PACKAGE.parent.parent / "docs" / "architecture.md"
KEPT_OUT = {"torch", "mlflow", "dvc", "hydra", "omegaconf", "fastapi", "transformers", "peft"}

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the docs are not part of an install")


def floors() -> dict[str, int]:
    """Room → floor, from the table under "The rooms"."""
    found: dict[str, int] = {}
    for number, rooms in re.findall(r"^\| (\d) \| ([^|]+) \|", PAGE.read_text("utf-8"), re.M):
        for room in re.findall(r"`([\w/.]+)`", rooms):
            found[room.removesuffix("/").removesuffix(".py")] = int(number)
    return found


def room_of(module: str) -> str:
    """``series`` for ``tsloop.series.store``, and for ``tsloop.series`` itself."""
    return module.removeprefix("tsloop").removeprefix(".").partition(".")[0]


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(("tsloop", *(part for part in parts if part != "__init__")))
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported anywhere in a module, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports hide where something comes from"
            if node.module == "tsloop":
                yield from ((node.lineno, f"tsloop.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def test_every_room_is_in_the_table() -> None:
    rooms = {room_of(name) for name, _ in modules()} - {""}
    assert rooms == set(floors())


def test_nothing_imports_upwards() -> None:
    floor = floors()
    wrong = [
        f"{name}:{line} (floor {floor[room]}) imports {target} (floor {floor[room_of(target)]})"
        for name, tree in modules()
        if (room := room_of(name))
        for line, target in imports(tree)
        if room_of(target) in floor
        and target.startswith("tsloop.")
        and floor[room_of(target)] > floor[room]
    ]
    assert wrong == []


def test_the_pure_core_knows_no_framework() -> None:
    """Floors 1 and 2 but ``chatts``, which is the model."""
    floor = floors()
    wrong = [
        f"{name}:{line} imports {target}"
        for name, tree in modules()
        if (room := room_of(name)) and floor[room] <= 2 and room != "chatts"
        for line, target in imports(tree)
        if target.partition(".")[0] in KEPT_OUT
    ]
    assert wrong == []


def test_rooms_of_the_lower_floors_do_not_go_round_in_circles() -> None:
    edges: dict[str, set[str]] = {}
    for name, tree in modules():
        room = room_of(name)
        targets = {room_of(t) for _, t in imports(tree) if t.startswith("tsloop.")}
        edges.setdefault(room, set()).update(targets - {room, ""})
    floor = floors()
    done: set[str] = set()

    def visit(room: str, path: tuple[str, ...]) -> None:
        assert room not in path, " → ".join((*path, room))
        if room not in done:
            for target in sorted(edges.get(room, ())):
                if floor.get(target) == floor.get(room):
                    visit(target, (*path, room))
            done.add(room)

    for room in sorted(room for room in floor if floor[room] <= 3):
        visit(room, ())
