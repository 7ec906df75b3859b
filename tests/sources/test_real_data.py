"""The folder source on the open collections, where ``TSLOOP_DATA`` says where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tsloop.errors import SeriesValidationError
from tsloop.files import read_jsonl
from tsloop.series.prepare import PrepareConfig, prepare_store
from tsloop.series.store import SeriesStore
from tsloop.series.types import Role
from tsloop.sources import acquire, build
from tsloop.sources.folder import FolderConfig, FolderSource

DATA = os.environ.get("TSLOOP_DATA", "")
pytestmark = pytest.mark.skipif(not DATA, reason="TSLOOP_DATA is not set")


def test_all_collections_are_listed() -> None:
    found = FolderSource(FolderConfig(path=DATA))
    assert len(found.list()) == 448
    same = FolderSource(FolderConfig(path=DATA, protocol="role_same"))
    assert len(same.list()) == 110


@pytest.mark.parametrize(
    ("dataset", "config"),
    [
        ("wsd", {}),
        ("asd", {"sample_step_s": 1.0}),
        ("aiops", {}),
        ("mscloud", {"duplicates": "mean"}),
        ("nab", {"duplicates": "mean"}),
        ("nasa", {"sample_step_s": 60.0}),
        ("ucr", {"sample_step_s": 60.0}),
    ],
)
def test_a_collection_goes_through(tmp_path: Path, dataset: str, config: dict[str, object]) -> None:
    source = build("folder", {"path": DATA, "datasets": [dataset], "limit": 4})
    acquire(source, tmp_path / "raw")
    figures = prepare_store(
        tmp_path / "raw",
        tmp_path / "series",
        tmp_path / "truth",
        PrepareConfig(**config),  # type: ignore[arg-type]
    )
    store = SeriesStore.open(tmp_path / "series")
    assert figures["n_series"] == len(store) == len(source.list())
    assert figures["n_with_truth"] == len(store)
    assert store.ids(Role.POOL)
    assert store.ids(Role.GOLD)
    truth = read_jsonl(tmp_path / "truth" / "intervals.jsonl")
    assert {row["series_id"]: row["series_sha256"] for row in truth} == {
        series_id: entry.sha256 for series_id, entry in store.entries.items()
    }
    if dataset == "asd":  # the step that its manifest states, not the one of the configuration
        assert {entry.step_ns for entry in store.entries.values()} == {300 * 10**9}


def test_sample_numbers_and_duplicates_are_refused_by_default(tmp_path: Path) -> None:
    for dataset, words in (("asd", "sample number"), ("mscloud", "was there before")):
        acquire(build("folder", {"path": DATA, "datasets": [dataset]}), tmp_path / dataset)
        with pytest.raises(SeriesValidationError, match=words):
            prepare_store(tmp_path / dataset, tmp_path / "s", tmp_path / "t", PrepareConfig())
