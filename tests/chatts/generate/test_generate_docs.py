"""The example of docs/chatts.md runs as it is written, and every public name is there."""

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tsloop
from tsloop.chatts.native.processor import ProcessorConfig, TimeSeriesProcessor
from tsloop.chatts.native.tiny import tiny_model, tiny_tokenizer
from tsloop.series.types import Series

PACKAGE = Path(tsloop.__file__).parent
PAGE = PACKAGE.parent.parent / "docs" / "chatts.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the docs are not part of an install")
def test_the_example_runs() -> None:
    text = PAGE.read_text("utf-8").partition("## Answering by generation")[2]
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {
        "model": tiny_model("8b"),
        "processor": TimeSeriesProcessor(tiny_tokenizer(), ProcessorConfig()),
        "series": Series("s", np.arange(80) * 10**9, np.sin(np.arange(80.0))),
    }
    exec(block, names)
    assert names["result"].scores.shape == (80,)
    assert names["result"].prompt in text


def test_every_public_name_is_there() -> None:
    for path in sorted((PACKAGE / "chatts" / "generate").glob("*.py")):
        if path.stem != "__init__":
            module = importlib.import_module(f"tsloop.chatts.generate.{path.stem}")
            assert all(hasattr(module, name) for name in module.__all__), path.stem


def test_the_pure_parts_import_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "import tsloop.chatts.generate.constraints, tsloop.chatts.generate.tokens\n"
        "import tsloop.chatts.generate.windows, tsloop.chatts.generate.targets\n"
        "import tsloop.chatts.generate.settings, tsloop.chatts.generate.confidence\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
