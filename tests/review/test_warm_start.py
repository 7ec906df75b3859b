"""The server reads the first series while it starts, and never reads one twice at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tsloop.review.service import ReviewService
from tsloop.series.store import SeriesStore


def test_a_series_that_several_ask_for_at_once_is_read_once(
    service: ReviewService, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    begun = threading.Event()
    real = SeriesStore.__getitem__

    def slowly(store: SeriesStore, series_id: str) -> Any:
        read.append(series_id)
        begun.wait(0.3)
        return real(store, series_id)

    monkeypatch.setattr(SeriesStore, "__getitem__", slowly)
    name = service.material.store.ids()[0]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: service.material.series(name), range(8)))
    assert read == [name]
    assert all(series is found[0] for series in found)


def test_the_first_open_series_and_its_scores_are_there_before_anybody_asks(
    service: ReviewService, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.warm()
    first = client.get("/api/queue/next").json()

    def unexpected(*_: Any) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(SeriesStore, "__getitem__", unexpected)
    assert client.get(f"/api/items/{first['id']}").status_code == 200
    assert client.get(f"/api/series/{first['series']['key']}/overview").status_code == 200
