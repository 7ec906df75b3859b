"""The API against its own description: no request that it allows makes the server fail."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tsloop.review.service import ReviewService

EXPECTED = {
    "/api/audit", "/api/backup", "/api/batches/{batch_id}/undo", "/api/export", "/api/health",
    "/api/items", "/api/items/batch", "/api/items/{item_id}", "/api/items/{item_id}/approval",
    "/api/items/{item_id}/assign", "/api/items/{item_id}/decision", "/api/items/{item_id}/lock",
    "/api/items/{item_id}/revisions", "/api/iterations", "/api/iterations/{iteration}",
    "/api/iterations/{iteration}/finish", "/api/iterations/{iteration}/import",
    "/api/iterations/{iteration}/repro", "/api/jobs", "/api/jobs/{job_id}",
    "/api/jobs/{job_id}/cancel", "/api/jobs/{job_id}/log", "/api/labels", "/api/quality",
    "/api/queue", "/api/queue/batch", "/api/queue/next",
    "/api/series/{key}", "/api/series/{key}/days",
    "/api/series/{key}/overview", "/api/series/{key}/scores", "/api/series/{key}/similar",
    "/api/series/{key}/sisters", "/api/series/{key}/window", "/api/session", "/api/users",
    "/api/users/{name}", "/api/users/{name}/token",
}  # fmt: skip


def test_every_route_is_described(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()
    assert set(described["paths"]) == EXPECTED
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description") or operation.get("summary"), (path, method)


@pytest.mark.slow
def test_no_described_request_makes_the_server_fail(
    client: TestClient, service: ReviewService
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schemathesis = pytest.importorskip("schemathesis")
        import hypothesis

        schema = schemathesis.openapi.from_dict(client.get("/api/openapi.json").json())
    skipped = {
        "/api/iterations", "/api/iterations/{iteration}/repro",
        "/api/iterations/{iteration}/finish",
    }  # fmt: skip  # these start work in the background
    failed: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in skipped and operation.method != "get":
            continue

        @hypothesis.settings(
            max_examples=15,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def attack(case: Any) -> None:
            answer = send(client, case)
            if answer.status_code >= 500:
                failed.append(
                    f"{case.method} {case.path}: {answer.status_code} {answer.text[:200]}"
                )

        attack()
    assert failed == []


def send(client: TestClient, case: Any) -> Any:
    """The case as a browser with the right token sends it."""
    import hypothesis

    client.cookies.clear()  # a log-in of an earlier case would make the others foreign
    sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
    headers = {k: v for k, v in dict(sent.get("headers") or {}).items() if k.lower() != "host"}
    rest = {k: sent[k] for k in ("params", "json", "content") if sent.get(k) is not None}
    if isinstance(sent.get("data"), bytes | str):
        rest["content"] = sent["data"]
    headers["X-Tsloop-Csrf"] = client.headers["X-Tsloop-Csrf"]
    url = sent["url"].removeprefix("http://127.0.0.1")
    try:
        return client.request(sent["method"], url, headers=headers, **rest)
    except (UnicodeEncodeError, ValueError):  # no client can send this
        hypothesis.reject()
