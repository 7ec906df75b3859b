"""``__all__`` says what of a module is for others: in the rooms of the series, all of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tsloop

ROOT = Path(tsloop.__file__).parent
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in ("series", "sources")
    for path in ROOT.glob(f"{room}/*.py")
)


@pytest.mark.parametrize("module", MODULES)
def test_all_holds_every_public_name(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    public: list[str] = []
    listed: list[str] = []
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                public.append(name)
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                listed = ast.literal_eval(value)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                public.append(name)
    assert sorted(name for name in public if name[0] != "_" and name not in listed) == []


def test_no_helper_is_written_twice() -> None:
    """A private function of one body in two modules of a room belongs into one place."""
    bodies: dict[str, list[str]] = {}
    for module in MODULES:
        for node in ast.parse((ROOT / module).read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                bodies.setdefault(ast.dump(ast.Module(node.body, [])), []).append(
                    f"{module}:{node.name}"
                )
    assert [places for places in bodies.values() if len(places) > 1] == []
