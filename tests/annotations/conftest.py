"""A small series store on disk."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tsloop.series.store import SeriesStore, SeriesWriter
from tsloop.series.types import Series


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[[Iterable[Series]], SeriesStore]:
    """Write series to a store in the temporary directory (again: over the old one)."""

    def make(series: Iterable[Series]) -> SeriesStore:
        with SeriesWriter(tmp_path / "series", thumbnail_width=0) as writer:
            for item in series:
                writer.add(item)
        return SeriesStore.open(tmp_path / "series")

    return make
