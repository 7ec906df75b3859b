"""``__all__`` names everything of a module that is not private."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tsloop.tracking

ROOM = Path(tsloop.tracking.__file__).parent


@pytest.mark.parametrize("module", sorted(path.name for path in ROOM.glob("*.py")))
def test_all_holds_every_public_name(module: str) -> None:
    public: set[str] = set()
    listed: set[str] = set()
    for node in ast.parse((ROOM / module).read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                public.add(name)
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                listed = set(ast.literal_eval(value))
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                public.add(name)
    assert {name for name in public if not name.startswith("_")} <= listed
