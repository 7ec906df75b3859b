"""The server side of the review page, over HTTP: times of the answers that a reviewer waits for.

Run: python benchmarks/review_server.py [--items 10000] [--rows 1000000] [--reviewers 50]

A project with one long and many short series is made in a temporary directory, `tsloop review`
serves it, and the answers are timed from another process. Medians and the worst of each are printed
as one line of JSON. On one core-pair of a shared machine expect a few times the numbers of a desk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tsloop.detectors.predictions import PredictionWriter
from tsloop.files import write_json
from tsloop.intervals import Detection, Interval
from tsloop.loop.queues import QueueItem, write_queue
from tsloop.project import Project
from tsloop.series.store import SeriesWriter
from tsloop.series.types import Series
from tsloop.template import create_project
from tsloop.testing.review_page import running_page

STEP = 60_000_000_000


def make(root: Path, n_items: int, n_rows: int) -> Project:
    """A project whose first iteration waits for people, its long series first in the queue."""
    create_project(root)
    project = Project(root)
    rng = np.random.default_rng(0)
    found = Detection.of([Interval(20, 30, "anomaly", 0.9)])
    place = project.predictions("base", "chatts")
    with SeriesWriter(project.series, thumbnail_width=0) as store, PredictionWriter(place) as out:
        for number in range(n_items):
            n = n_rows if number == 0 else 200
            times = np.arange(n, dtype=np.int64) * STEP
            values = np.sin(np.arange(n) / 300) + rng.normal(scale=0.1, size=n)
            values[n // 3] = np.nan
            series = Series(f"s{number:05d}", times, values, group=f"g{number // 8}")
            store.add(series)
            out.add(series.id, series.sha256, found, rng.random(n))
    write_json(place / "decision.json", {"hi": 0.5})
    write_queue(
        project.queue("base"),
        [
            QueueItem(n + 1, f"s{n:05d}", 0.5, "uncertain", 1.0, found, "base/chatts")
            for n in range(n_items)
        ],
    )
    return project


class Browser:
    """One reviewer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.csrf = self.get("/api/session")["csrf"]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self.url + path,
            json.dumps(body).encode(),
            {
                "Content-Type": "application/json",
                "Idempotency-Key": str(uuid.uuid4()),
                "X-Tsloop-Csrf": self.csrf,
            },
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def save(self, item: int, revision: int, comment: str = "") -> Any:
        content = {"state": "done", "result": "none", "intervals": [], "comment": comment}
        request = urllib.request.Request(
            f"{self.url}/api/items/{item}/decision",
            json.dumps({"content": content}).encode(),
            {
                "Content-Type": "application/json",
                "If-Match": f'"{revision}"',
                "Idempotency-Key": str(uuid.uuid4()),
                "X-Tsloop-Csrf": self.csrf,
            },
            method="PUT",
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


def timed(act: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Milliseconds: of the first call, the median and the worst of the others."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - begin))
    rest = times[1:] or times
    return {
        "first_ms": round(times[0], 1),
        "median_ms": round(statistics.median(rest), 1),
        "worst_ms": round(max(rest), 1),
    }


def crowd(url: str, items: list[int], n_reviewers: int) -> dict[str, Any]:
    """Everybody saves at once, each on series of their own; then all on one series."""
    lock, saved = threading.Lock(), []

    def reviewer(number: int) -> list[float]:
        browser, times = Browser(url), []
        for item in items[number::n_reviewers]:
            begin = time.perf_counter()
            reply = browser.save(item, 0, f"r{number}")
            times.append(1000 * (time.perf_counter() - begin))
            with lock:
                saved.append(reply["id"])
        return times

    begin = time.perf_counter()
    with ThreadPoolExecutor(n_reviewers) as pool:
        times = [t for part in pool.map(reviewer, range(n_reviewers)) for t in part]
    return {
        "saves": len(times),
        "lost": len(set(items)) - len(set(saved)),
        "per_s": round(len(times) / (time.perf_counter() - begin), 1),
        "median_ms": round(statistics.median(times), 1),
        "worst_ms": round(max(times), 1),
    }


def whole_queue(browser: Browser) -> dict[str, Any]:
    """Count, accept and take back in every series that is still open."""
    begin = time.perf_counter()
    count = browser.get("/api/queue/batch?score=0.5")
    counted = time.perf_counter()
    done = browser.post("/api/queue/batch", {"op": "accept", "score": 0.5, "state": "done"})
    accepted = time.perf_counter()
    undone = browser.post(f"/api/batches/{done['batch']}/undo", {})
    end = time.perf_counter()
    return {
        "counted": count["accept"]["series"],
        "saved": done["saved"],
        "undone": undone["saved"],
        "count_s": round(counted - begin, 2),
        "accept_s": round(accepted - counted, 1),
        "undo_s": round(end - accepted, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--reviewers", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        project = make(Path(directory) / "project", given.items, given.rows)
        begin = time.perf_counter()
        with running_page(project.root) as url:
            started = time.perf_counter() - begin
            browser = Browser(url)
            queue = browser.get("/api/queue?limit=500")
            first = queue["items"][0]
            key, ids = first["series"]["key"], [row["id"] for row in queue["items"]]
            rng = np.random.default_rng(1)

            def pan() -> None:
                width = int(10 ** rng.uniform(2, np.log10(given.rows)))
                start = int(rng.integers(0, given.rows - width + 1))
                browser.get(f"/api/series/{key}/window?start={start}&end={start + width}&px=1000")

            place = iter(range(1, len(ids)))

            def decide() -> None:
                number = next(place)
                browser.save(ids[number], 0)
                following = browser.get(f"/api/queue/next?after={ids[number]}")
                browser.get(f"/api/items/{following['id']}")
                browser.get(f"/api/series/{following['series']['key']}/window?px=1000")

            def paint() -> None:
                browser.get(f"/api/items/{first['id']}")
                browser.get(f"/api/series/{key}/window?px=1000")
                browser.get(f"/api/series/{key}/overview?px=1000&model=base/chatts")

            figures = {
                "items": queue["total"],
                "rows": given.rows,
                "start_with_import_s": round(started, 1),
                "first_paint": timed(paint, 10),
                "pan_or_zoom": timed(pan, 60),
                "decision_to_next": timed(decide, 40),
                "queue_page": timed(lambda: browser.get("/api/queue?limit=200"), 10),
                "similar_in_queue": timed(
                    lambda: browser.get(f"/api/series/{key}/similar?start=500&end=600"), 2
                ),
                "crowd": crowd(url, ids[60:460], given.reviewers),
                "whole_queue": whole_queue(browser),
            }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
