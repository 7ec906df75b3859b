"""Tiny checkpoints, written once a session; nobody may change them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsloop.offline import work_offline

work_offline()

Get = Callable[[str], Any]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``checkpoint(kind, file_format="safetensors", shards=1)`` -> its directory."""
    from tsloop.chatts.native.tiny import write_tiny

    written: dict[tuple[Any, ...], Path] = {}

    def get(kind: str = "8b", file_format: str = "safetensors", shards: int = 1) -> Path:
        key = (kind, file_format, shards)
        if key not in written:
            directory = tmp_path_factory.mktemp(f"{kind}-{file_format}-{shards}")
            written[key] = write_tiny(directory, kind, file_format=file_format, shards=shards)
        return written[key]

    return get


@pytest.fixture(scope="session")
def loaded(checkpoint: Callable[..., Path]) -> Callable[[str], tuple[Any, Any]]:
    """``loaded(kind)`` -> model and processor, to be read only."""
    from tsloop.chatts.native.checkpoints import load_checkpoint, load_processor

    kept: dict[str, tuple[Any, Any]] = {}

    def get(kind: str = "8b") -> tuple[Any, Any]:
        if kind not in kept:
            model = load_checkpoint(checkpoint(kind))
            kept[kind] = model, load_processor(checkpoint(kind), model)
        return kept[kind]

    return get


@pytest.fixture
def series() -> list[np.ndarray[Any, Any]]:
    """Series of 40, 13, 8 and 1 samples."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=n).cumsum() for n in (40, 13, 8, 1)]
