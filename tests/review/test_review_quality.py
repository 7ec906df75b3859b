"""Blind items, planted proposals, second readings, controls, and what they tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tsloop.annotations.journal import read_journal
from tsloop.config.params import configure
from tsloop.project import Project
from tsloop.review import batches, listing
from tsloop.review.planting import plant
from tsloop.review.service import ReviewService


@pytest.fixture
def settings(waiting: Project) -> Callable[..., None]:
    """Choose settings before the service is made."""

    def choose(*overrides: str) -> None:
        configure(waiting, overrides)

    return choose


def queue(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/queue", params=query).json()["items"]
    return found


def save(client: TestClient, row: dict[str, Any], content: dict[str, Any]) -> Any:
    headers = {"If-Match": f'"{row["revision"]}"', "Idempotency-Key": str(uuid4())}
    body = {"content": content, "seconds": 3.0, "keys": 2}
    return client.put(f"/api/items/{row['id']}/decision", json=body, headers=headers)


def accept(item: dict[str, Any]) -> dict[str, Any]:
    own = [p for p in item["proposals"] if p["model"] == (item["model"] or "labels")]
    taken = [
        {**{k: p[k] for k in ("id", "start", "end", "label")}, "proposal": p["id"]} for p in own
    ]
    return {"state": "done", "result": "ok" if taken else "none", "intervals": taken}


def test_planted_proposals_are_measured_and_kept_out(
    settings: Any, service: ReviewService, client: TestClient, waiting: Project
) -> None:
    settings("review.planted_share=1.0")
    shown = 0
    for row in queue(client):
        item = client.get(f"/api/items/{row['id']}").json()
        own = [p for p in item["proposals"] if p["model"] == item["model"]]
        if len(own) == 2:
            shown += 1
            assert "planted" not in str(item)
            assert {p["score"] for p in own} == {0.9}
            assert [p["id"] for p in own] == ["it002/knn:0", "it002/knn:1"]
            assert own[0]["start"] <= own[1]["start"]
        assert save(client, item, accept(item)).status_code == 200
    assert shown
    (mine,) = client.get("/api/quality?iteration=it003").json()["reviewers"]
    assert (mine["planted_shown"], mine["planted_accepted"], mine["bias"]) == (shown, shown, 1.0)
    assert mine["median_seconds"] == 3.0
    done = client.post("/api/iterations/it003/finish", json={}).json()
    assert done["planted_removed"] == shown
    spans = [
        (i.start, i.end)
        for record in read_journal(waiting.labels("it003"))
        if not (record.queue or {}).get("revision")
        for i in record.intervals
    ]
    assert set(spans) == {(100, 120)}


def test_a_planted_proposal_lies_in_a_quiet_place() -> None:
    scores = np.full(1000, 0.1)
    scores[100:200] = 0.9
    true = [{"start": 100, "end": 199, "label": "a", "score": 0.9, "reason": ""}]
    for seed in range(30):
        found = plant(scores, 1000, true, ["a"], np.random.default_rng(seed))
        assert found is not None
        assert len(found) == 100
        assert found.start > 299
    assert plant(None, 1000, true, ["a"], np.random.default_rng(0)) is None
    assert plant(scores, 1000, [], ["a"], np.random.default_rng(0)) is None


def test_a_second_reading_is_blind_and_by_somebody_else(
    settings: Any, service: ReviewService, make_client: Any, waiting: Project
) -> None:
    settings("review.double_share=1.0")
    li, wang, boss = make_client("li"), make_client("王"), make_client()
    firsts = [row for row in queue(li) if row["kind"] == "queue" and row["model"]]
    row = firsts[0]
    item = li.get(f"/api/items/{row['id']}").json()
    save(li, row, accept(item))
    name = row["series"]["series_id"]
    second = next(i for i in queue(wang) if i["second"] and i["series"]["series_id"] == name)
    assert second["n_proposals"] is None
    seen = [i for i in queue(li) if i["series"]["series_id"] == name]
    assert [i["kind"] for i in seen] == ["queue"]
    assert li.get(f"/api/items/{second['id']}").status_code == 403
    assert save(li, second, accept(item)).status_code == 403
    shown = wang.get(f"/api/items/{second['id']}").json()
    assert (shown["proposals"], shown["models"], shown["previous"]) == ([], [], None)
    scores = f"/api/series/{row['series']['key']}/scores?model=it002/knn"
    open_one = next(i for i in queue(wang) if i["kind"] == "queue" and i["id"] != row["id"])
    for named in ("", f"&item={second['id']}", f"&item={row['id']}", f"&item={open_one['id']}"):
        assert wang.get(scores + named).status_code == 403
    strip = f"/api/series/{row['series']['key']}/overview?model=it002/knn"
    assert wang.get(strip).json()["heat"] is None
    # Whoever labelled the series first gives no second answer, so nothing has to be hidden.
    assert li.get(scores).status_code == 200
    assert li.get(strip).json()["heat"] is not None
    label = item["proposals"][0]["label"]
    drawn = [{"id": "w", "start": 100, "end": 120, "label": label}]
    assert (
        save(wang, second, {"state": "done", "result": "ok", "intervals": drawn}).status_code == 200
    )
    agreement = boss.get("/api/quality?iteration=it003").json()["agreement"]
    assert (agreement["pairs"], agreement["mean_iou"], agreement["kappa"]) == (1, 1.0, 1.0)
    done = boss.post("/api/iterations/it003/finish", json={"allow_open": True}).json()
    assert (done["records"], done["second_records"]) == (1, 1)
    (record,) = read_journal(waiting.second("it003"))
    assert (record.series_id, record.author) == (name, "王")
    assert record.queue is not None
    assert record.queue["proposal"] is None


def test_an_open_blind_item_hides_the_scores_on_every_other_item_of_the_series(
    settings: Any, service: ReviewService, make_client: Any
) -> None:
    """Naming an open item with proposals must not bring the scores back."""
    settings("review.double_share=1.0")
    li, wang = make_client("li"), make_client("王")
    row = next(r for r in queue(li) if r["kind"] == "queue" and r["model"])
    second = next(r for r in queue(li) if r["second"] and r["series"] == row["series"])
    scores = f"/api/series/{row['series']['key']}/scores?model=it002/knn"
    for client in (li, wang):
        assert client.get(f"{scores}&item={row['id']}").status_code == 403
        shown = client.get(f"/api/items/{row['id']}").json()
        assert shown["proposals"]
        assert not any(model["scores"] for model in shown["models"])
    save(wang, second, {"state": "done", "result": "none", "intervals": []})
    assert li.get(scores).status_code == 200
    assert li.get(f"/api/items/{row['id']}").json()["models"][0]["scores"]


def test_gold_is_labelled_blind_and_goes_to_gold(
    settings: Any, service: ReviewService, client: TestClient, waiting: Project
) -> None:
    settings("review.gold_items=2")
    waiting.labels("gold").write_text("", "utf-8")
    gold = [row for row in queue(client) if row["kind"] == "gold"]
    assert len(gold) == 2
    assert all(row["blind"] and row["n_proposals"] is None for row in gold)
    for row in gold:
        item = client.get(f"/api/items/{row['id']}").json()
        assert item["proposals"] == []
        save(client, row, {"state": "done", "result": "none", "intervals": []})
    done = client.post("/api/iterations/it003/finish", json={"allow_open": True}).json()
    assert (done["gold_records"], done["records"]) == (2, 0)
    ids = {record.series_id for record in read_journal(waiting.labels("gold"))}
    assert ids == {row["series"]["series_id"] for row in gold}


def test_a_share_of_a_batch_is_shown_again_blind(
    settings: Any, service: ReviewService, client: TestClient
) -> None:
    settings("review.audit_share=0.5")
    rows = [row for row in queue(client) if row["n_proposals"] and row["model"]]
    operations = [
        {"item": r["id"], "revision": 0, "op": "accept", "min_score": 0.5, "state": "done"}
        for r in rows
    ]
    answer = client.post(
        "/api/items/batch", json={"operations": operations}, headers={"Idempotency-Key": "b"}
    ).json()
    assert answer["saved"] == len(rows)
    assert answer["audit"] == []
    controls = [row for row in queue(client) if row["kind"] == "control"]
    assert len(controls) == round(len(rows) * 0.5)
    assert all(row["blind"] for row in controls)
    for row in controls:
        save(client, row, {"state": "done", "result": "none", "intervals": []})
    agreement = client.get("/api/quality?iteration=it003").json()["agreement"]
    assert agreement["mean_iou"] == 0.0


@pytest.mark.parametrize("chunk", [1, 100])
def test_a_batch_over_the_queue_takes_every_open_series_and_is_one_step_back(
    settings: Any,
    service: ReviewService,
    make_client: Any,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int,
) -> None:
    """However few rows a page, a batch of named items, or a transaction may have."""
    monkeypatch.setattr(batches, "CHUNK", chunk)
    settings("review.max_page=1", "review.max_batch=1", "review.audit_share=0")
    li, wang = make_client("li"), make_client("王")
    everything = service.batches.count_queue(service.owner(), "it003", 0.0)
    with service.database.read() as connection:
        rows = listing.open_rows(connection, "it003", service.owner())
    asked = [r for r in rows if any(p["model"] == r.model for p in r.proposals)]
    assert everything["accept"]["series"] >= len(asked) > 1
    held, given = asked[0], asked[1]
    assert wang.post(f"/api/items/{held.id}/lock").status_code == 200
    boss = make_client()
    assert boss.post(f"/api/items/{given.id}/assign", json={"user": "王"}).status_code == 200
    count = li.get("/api/queue/batch?score=0.5").json()
    assert count["accept"]["series"] == everything["accept"]["series"] - 2
    body = {"op": "accept", "score": 0.5, "state": "done"}
    answers = [
        li.post("/api/queue/batch", json=body, headers={"Idempotency-Key": "q"}) for _ in range(2)
    ]
    first, again = (answer.json() for answer in answers)
    assert first["saved"] == count["accept"]["series"] == again["saved"]
    assert again["batch"] == first["batch"]
    assert li.get("/api/queue/batch?score=0.5").json()["accept"]["series"] == 0
    for row in (held, given):
        assert wang.get(f"/api/items/{row.id}").json()["state"] == "pending"
    undone = li.post(
        f"/api/batches/{first['batch']}/undo", json={}, headers={"Idempotency-Key": "u"}
    )
    assert undone.json()["saved"] == first["saved"]
    assert li.get("/api/queue/batch?score=0.5").json() == count


def test_a_batch_over_the_queue_rejects_what_lies_below_and_nothing_on_the_line(
    settings: Any, service: ReviewService, client: TestClient
) -> None:
    headers = {"Idempotency-Key": "r"}
    line = client.get("/api/queue/batch?score=0.9").json()
    assert line["reject"]["series"] == 0
    assert line["accept"]["series"] > 0
    body = {"op": "reject", "score": 0.9}
    assert client.post("/api/queue/batch", json=body, headers=headers).json()["saved"] == 0
    for wrong in ({"op": "none", "score": 0.5}, {"op": "accept", "score": 1.5}):
        assert client.post("/api/queue/batch", json=wrong, headers=headers).status_code == 422


def test_locks_assignments_and_next(make_client: Any) -> None:
    li, wang, boss = make_client("li"), make_client("王"), make_client()
    one = li.get("/api/queue/next").json()
    assert li.post(f"/api/items/{one['id']}/lock").json()["holder"]["mine"]
    two = wang.get("/api/queue/next").json()
    assert two["id"] != one["id"]
    locked = wang.post(f"/api/items/{one['id']}/lock")
    assert (locked.status_code, locked.json()["error"]["holder"]["user"]) == (423, "li")
    assert boss.post(f"/api/items/{two['id']}/assign", json={"user": "li"}).status_code == 200
    assert wang.get("/api/queue/next").json()["id"] not in (one["id"], two["id"])
    assert li.get("/api/queue", params={"assignee": "me"}).json()["total"] == 1
    assert boss.post(f"/api/items/{two['id']}/assign", json={"user": "xy"}).status_code == 404
    assert li.delete(f"/api/items/{one['id']}/lock").status_code == 204
    trail = boss.get("/api/audit", params={"item": two["id"]}).json()["events"]
    assert trail[0]["action"] == "assigned"
