"""What the chart gets: real samples, spikes and gaps of one row, other days, look-alikes."""

from __future__ import annotations

import json
import struct
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from tsloop.errors import ReviewInvalidError
from tsloop.review.series_data import days, heat, reduced, view_of
from tsloop.series.types import Series

HOUR = 3_600_000_000_000


def series(n: int, step: int = HOUR, zone: str = "UTC", start: int = 0) -> Series:
    values = np.sin(np.arange(n) / 50.0)
    return Series("温度😀", start + np.arange(n, dtype=np.int64) * step, values, zone=zone)


def with_values(base: Series, values: Any) -> Series:
    return Series(base.id, base.timestamps, values, zone=base.zone)


@pytest.mark.parametrize("px", [16, 100, 800])
def test_a_spike_and_a_gap_of_one_row_stay_at_every_zoom(px: int) -> None:
    values = np.zeros(1_000_000)
    values[654_321] = 9.0
    values[123_456] = np.nan
    whole = with_values(series(1_000_000), values)
    for half in (400_000, 40_000, 4000, 400):
        for row in (654_321, 123_456):
            low, high = max(0, row - half), min(999_999, row + half)
            view = view_of(whole, start=low, end=high, px=px)
            assert row in view.rows
            assert len(view.rows) <= 6 * 4 * px
            json.dumps(view.to_dict(), allow_nan=False)


@given(st.data())
def test_a_view_holds_real_samples_and_reaches_its_edges(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 3000))
    whole = series(n)
    low = data.draw(st.integers(0, n + 5))
    high = data.draw(st.integers(low, n + 50))
    view = view_of(whole, start=low, end=high, px=data.draw(st.integers(1, 200)))
    assert view.rows[0] == view.start == max(0, min(low, n - 1) - 1)
    assert view.rows[-1] == view.end == min(n - 1, min(high, n - 1) + 1)
    told = view.to_dict()
    assert told["y"] == whole.values[told["row"]].tolist()
    assert np.diff(told["row"]).min(initial=1) > 0


def test_times_and_bytes_say_the_same() -> None:
    whole = series(5000)
    one = view_of(whole, start=100, end=300, px=400)
    two = view_of(whole, t0_ms=100 * 3.6e6, t1_ms=300 * 3.6e6, px=400)
    assert one.to_dict() == two.to_dict()
    raw = one.to_bytes()
    n, exact, start, end = struct.unpack_from("<IIII", raw)
    assert (n, exact, start, end) == (len(one.rows), 1, 99, 301)
    assert np.frombuffer(raw, "<f8", n, 16).tolist() == one.to_dict()["t_ms"]
    assert np.frombuffer(raw, "<u4", n, 16 + 16 * n).tolist() == one.rows.tolist()
    with pytest.raises(ReviewInvalidError):
        view_of(whole, start=9, end=3)
    outside = view_of(whole, t0_ms=-1e15, t1_ms=-1e14, px=10)
    assert outside.start == 0


def test_many_gaps_stay_within_the_limit() -> None:
    values = np.tile([1.0, np.nan], 200_000)
    assert len(reduced(values, 4096, 20_000)) <= 20_000


def test_heat_is_the_largest_of_each_stretch() -> None:
    scores = np.zeros(1003, np.float32)
    scores[500] = 0.75
    found = heat(scores, 100)
    assert len(found) == 100
    assert max(v for v in found if v is not None) == 0.75
    assert heat(np.full(3, np.nan, np.float32), 100) == [None, None, None]


def test_other_days_are_days_of_the_calendar() -> None:
    """Clocks in Berlin went forward on 31 March 2024: local hours, not 24 hours, are compared."""
    from datetime import datetime

    start = int(datetime(2024, 3, 28, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()) * 10**9
    whole = series(24 * 8, zone="Europe/Berlin", start=start)

    def local_hour(row: int) -> int:
        seconds = whole.timestamps[row] // 10**9
        return datetime.fromtimestamp(int(seconds), ZoneInfo("Europe/Berlin")).hour

    low = next(r for r in range(24 * 4, 24 * 6) if local_hour(r) == 8)  # after the change
    found = days(whole, low, low + 4, 6, 200, 10_000)
    assert [day["offset"] for day in found][:3] == [-1, 1, -2]
    for day in found:
        assert local_hour(day["row"][0]) == 8
        assert day["t_ms"][0] == whole.timestamps[low] / 1e6


def test_series_of_the_project(client: TestClient) -> None:
    row = client.get("/api/queue").json()["items"][0]
    key = row["series"]["key"]
    told = client.get(f"/api/series/{key}").json()
    assert told["series_id"] == row["series"]["series_id"]
    assert told["zone"] == "Asia/Shanghai"
    window = client.get(f"/api/series/{key}/window").json()
    assert (window["start"], window["end"]) == (0, told["n_rows"] - 1)
    raw = client.get(f"/api/series/{key}/window", headers={"Accept": "application/octet-stream"})
    assert struct.unpack_from("<I", raw.content)[0] == len(window["row"])
    sisters = client.get(f"/api/series/{key}/sisters").json()["sisters"]
    assert key not in {s["key"] for s in sisters}
    overview = client.get(
        f"/api/series/{key}/overview", params={"model": "it002/knn", "item": row["id"]}
    ).json()
    assert overview["heat"]["model"] == "it002/knn"
    assert client.get("/api/series/0123456789abcdef").status_code == 404


def test_look_alikes_are_found_and_ranked(client: TestClient) -> None:
    row = client.get("/api/queue").json()["items"][0]
    key = row["series"]["key"]
    found = client.get(
        f"/api/series/{key}/similar", params={"start": 60, "end": 90, "scope": "pool"}
    ).json()
    distances = [m["distance"] for m in found["matches"]]
    assert distances == sorted(distances)
    assert all(m["end"] - m["start"] == 30 for m in found["matches"])
    own = [m for m in found["matches"] if m["key"] == key]
    assert all(m["end"] < 60 or m["start"] > 90 for m in own)
    narrow = client.get(f"/api/series/{key}/similar", params={"start": 60, "end": 60}).json()
    assert all(m["start"] == m["end"] for m in narrow["matches"])
    assert client.get(f"/api/series/{key}/similar?start=90&end=60").status_code == 422
