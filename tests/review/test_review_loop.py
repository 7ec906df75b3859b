"""A whole iteration through the API: queue, decisions, journal, stages."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from tsloop.annotations.journal import read_journal
from tsloop.config.params import read_params
from tsloop.intervals import Basis, Status
from tsloop.project import Project
from tsloop.review.service import ReviewService


def queue(client: TestClient, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/queue", params=query).json()
    return found


def save(client: TestClient, item: int, revision: int, content: dict[str, Any], **more: Any) -> Any:
    return client.put(
        f"/api/items/{item}/decision",
        json={"content": content, **more},
        headers={"If-Match": f'"{revision}"', "Idempotency-Key": str(uuid4())},
    )


def accept_all(item: dict[str, Any]) -> dict[str, Any]:
    model = item["model"] or "labels"
    taken = [p for p in item["proposals"] if p["model"] == model]
    intervals = [
        {**{k: p[k] for k in ("id", "start", "end", "label")}, "proposal": p["id"]} for p in taken
    ]
    return {"state": "done", "result": "ok" if intervals else "none", "intervals": intervals}


def review_everything(client: TestClient) -> None:
    for row in queue(client)["items"]:
        item = client.get(f"/api/items/{row['id']}").json()
        assert save(client, row["id"], row["revision"], accept_all(item)).status_code == 200


def test_the_queue_is_that_of_the_sampler(client: TestClient, waiting: Project) -> None:
    from tsloop.loop.queues import read_queue

    found = queue(client)
    asked = read_queue(waiting.queue("it002"))
    assert found["iteration"] == "it003"
    assert [i["series"]["series_id"] for i in found["items"]] == [i.series_id for i in asked]
    assert [i["reason"] for i in found["items"]] == [i.reason for i in asked]
    assert found["counts"]["pending"] == len(asked) == found["total"]


def test_an_item_has_proposals_scores_and_models(client: TestClient) -> None:
    row = next(i for i in queue(client)["items"] if i["n_proposals"])
    item = client.get(f"/api/items/{row['id']}").json()
    model = item["models"][0]
    assert model["primary"]
    assert model["model"] == "it002/knn" == item["proposals"][0]["model"]
    assert item["previous"]["model"] == "it001/knn"
    assert item["proposals"][0]["t_start_ms"] <= item["proposals"][0]["t_end_ms"]
    scores = client.get(
        f"/api/series/{row['series']['key']}/scores",
        params={"model": ["it002/knn", "it009/x"], "item": row["id"]},
    ).json()
    assert scores["missing"] == ["it009/x"]
    assert max(v for v in scores["models"][0]["y"] if v is not None) > 0


def test_a_whole_iteration(client: TestClient, service: ReviewService, waiting: Project) -> None:
    assert client.post("/api/iterations/it003/finish", json={}).status_code == 409
    review_everything(client)
    assert queue(client)["summary"] == "it003: 5 of 5 reviewed"
    done = client.post("/api/iterations/it003/finish", json={}).json()
    assert done["opened"]
    assert done["records"] == 5
    records = read_journal(waiting.labels("it003"))
    assert len(records) == 5
    accepted = [i for record in records for i in record.intervals]
    assert accepted
    assert {i.basis for i in accepted} == {Basis.ACCEPTED}
    assert all(i.t_start is not None and i.author and i.time for i in accepted)
    assert all(record.queue is not None for record in records)
    assert "it003" in read_params(waiting)["datasets"]
    assert read_params(waiting)["datasets"]["it003"]["journal"] == "data/labels/it003.jsonl"
    before = waiting.labels("it003").read_bytes()
    again = client.post("/api/iterations/it003/finish", json={}).json()
    assert (again["changed"], again["opened"]) == (False, False)
    assert waiting.labels("it003").read_bytes() == before


def test_what_is_decided_differently_later_is_a_later_revision(
    client: TestClient, waiting: Project
) -> None:
    review_everything(client)
    client.post("/api/iterations/it003/finish", json={})
    row = queue(client)["items"][0]
    content = {"state": "done", "result": "none", "intervals": []}
    if row["result"] == "none":
        content = {
            "state": "done",
            "result": "ok",
            "intervals": [{"id": "n", "start": 3, "end": 9, "label": "spike"}],
        }
    label = client.get("/api/labels").json()["labels"][0]["id"]
    for interval in content["intervals"]:
        interval["label"] = label  # type: ignore[index]
    assert save(client, row["id"], row["revision"], content).status_code == 200
    done = client.post("/api/iterations/it003/finish", json={}).json()
    assert (done["new_records"], done["records"]) == (1, 5)
    mine = [
        r for r in read_journal(waiting.labels("it003"))
        if r.series_id == row["series"]["series_id"]
    ]  # fmt: skip
    assert [r.revision for r in mine] == [mine[0].revision, mine[0].revision + 1]


def test_an_older_label_is_corrected_in_the_open_journal(
    client: TestClient, waiting: Project
) -> None:
    """A series that nobody asks about can be labelled; saying it again gives the same item."""
    from tsloop.review.material import series_key
    from tsloop.series.store import SeriesStore
    from tsloop.series.types import Role

    asked = {i["series"]["series_id"] for i in queue(client)["items"]}
    other = next(i for i in SeriesStore.open(waiting.series).ids(Role.POOL) if i not in asked)
    body = {"series": series_key(other)}
    item = client.post("/api/items", json=body).json()
    assert (item["kind"], item["reason"]) == ("correction", "correction")
    assert client.post("/api/items", json=body).json()["id"] == item["id"]
    content = {"state": "done", "result": "none", "intervals": [], "comment": "quiet 安静"}
    assert save(client, item["id"], 0, content).status_code == 200
    client.post("/api/iterations/it003/finish", json={"allow_open": True})
    (record,) = read_journal(waiting.labels("it003"))
    assert (record.series_id, record.result) == (other, Status.NONE)
    assert record.comment == "quiet 安静"


def test_closed_iterations_take_no_decisions(client: TestClient, service: ReviewService) -> None:
    service.refresh("it001")
    row = queue(client, iteration="it001")["items"][0]
    answer = save(client, row["id"], 0, {"state": "done", "result": "none"})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "iteration_closed"
    assert client.post("/api/iterations/it001/finish", json={}).status_code == 409


def test_importing_again_changes_nothing_that_people_said(
    client: TestClient, service: ReviewService, waiting: Project
) -> None:
    from dataclasses import replace

    from tsloop.loop.queues import read_queue, write_queue

    first, second, *_ = queue(client)["items"]
    content = {"state": "done", "result": "none", "intervals": []}
    save(client, first["id"], 0, content)
    assert service.refresh()["kept"] == 5
    asked = read_queue(waiting.queue("it002"))
    changed = [replace(i, reason="new_reason", rank=6 - i.rank, proposal=None) for i in asked[:-1]]
    write_queue(waiting.queue("it002"), changed)
    after = {i["id"]: i for i in queue(client)["items"]}
    assert len(after) == 4
    assert after[first["id"]]["reason"] == first["reason"]
    assert after[first["id"]]["result"] == "none"
    assert after[second["id"]]["reason"] == "new_reason"


def test_status_says_how_far_the_review_is(
    client: TestClient, waiting: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    from tsloop.cli.status import show_status
    from tsloop.review.progress import review_progress

    assert str(review_progress(waiting, "it003")) == "it003: 0 of 5 reviewed"
    row = queue(client)["items"][0]
    save(client, row["id"], 0, {"state": "skipped", "result": None, "intervals": []})
    show_status(waiting)
    assert "it003: 1 of 5 reviewed: run `tsloop review`" in capsys.readouterr().out
    for row in queue(client, state="pending")["items"]:
        save(client, row["id"], 0, {"state": "done", "result": "none", "intervals": []})
    show_status(waiting)
    assert "it003: 5 of 5 reviewed. Next: tsloop review finish" in capsys.readouterr().out
    assert review_progress(waiting, "it009") is None
