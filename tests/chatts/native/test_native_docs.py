"""The examples of docs/chatts.md run as they are written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tsloop

PAGE = Path(tsloop.__file__).parent.parent.parent / "docs" / "chatts.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the docs are not part of an install")


def test_the_examples_run(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(checkpoint("8b", "bin", 3), tmp_path / "ChatTS-8B")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    text = PAGE.read_text("utf-8").partition("## Answering by generation")[0]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    assert isinstance(names["text"], str)
    assert names["scores"].row_logits.shape == (1, 2, 6)
    assert names["tuned"].peft_config["default"].r == 8
    assert names["again"].score_labels == ("spike", "level_shift")


def test_every_public_name_is_there() -> None:
    import importlib

    package = Path(tsloop.__file__).parent / "chatts" / "native"
    for path in sorted(package.rglob("*.py")):
        if path.stem != "__init__":
            place = ".".join(path.relative_to(package.parents[1]).with_suffix("").parts)
            module = importlib.import_module(f"tsloop.{place}")
            assert all(hasattr(module, name) for name in module.__all__), path.stem
