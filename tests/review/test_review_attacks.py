"""What strangers try: traversal, cross-site writes, rebinding, hostile bodies, forged sessions."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from tsloop.project import Project
from tsloop.review.service import ReviewService
from tsloop.review.web.guard import CSP

PUT = {"If-Match": '"0"'}
NONE = {"content": {"state": "done", "result": "none", "intervals": []}}


def first(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/queue").json()["items"][0]
    return found


def put(client: TestClient, item: int, body: Any = NONE, **headers: str) -> Any:
    sent = {**PUT, "Idempotency-Key": str(uuid4()), "Content-Type": "application/json", **headers}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.put(f"/api/items/{item}/decision", content=raw, headers=sent)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%252e%252e/%252e%252e/etc/passwd",
        "/assets/..%2f..%2f..%2fpyproject.toml",
        "/assets/..\\..\\config.py",
        "/assets//etc/passwd",
        "/api/series/..%2f..%2fetc%2fpasswd",
        "/api/series/..%5c..%5cetc/window",
        "/api/series/" + "a" * 5000,
        "/api/series/温度😀/window",
        "/api/iterations/..%2f..%2fsecret",
        "/api/iterations/" + "x" * 3000,
        "/reports/..%2f..%2f.tsloop%2freview.secret",
        "/reports/it001%00",
        "/api/jobs/..%2f..%2fetc/log",
        "/api/jobs/....",
    ],
)
def test_no_address_leaves_the_project(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert "root:" not in answer.text
    if path.startswith(("/api", "/reports", "/assets")):
        assert 400 <= answer.status_code < 500
    else:
        assert answer.headers["content-type"].startswith("text/html")


def test_names_of_series_are_text_in_any_script(client: TestClient, service: ReviewService) -> None:
    found = client.get("/api/queue", params={"q": "'; DROP TABLE items; -- 温度😀 %_\\"})
    assert found.json()["items"] == []
    assert client.get("/api/queue", params={"q": "%"}).json()["items"] == []
    assert client.get("/api/queue").json()["total"] == 5


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "host"),
        ({"Host": "127.0.0.1.evil.example"}, "host"),
        ({"Host": "localhost@evil.example"}, "host"),
        ({"Host": ""}, "host"),
        ({"Origin": "https://evil.example"}, "origin"),
        ({"Origin": "null"}, "origin"),
        ({"Origin": "http://127.0.0.1:9999"}, "origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "origin"),
        ({"Sec-Fetch-Site": "same-site"}, "origin"),
        ({"X-Tsloop-Csrf": ""}, "csrf"),
        ({"X-Tsloop-Csrf": "0" * 64}, "csrf"),
        ({"X-Tsloop-Csrf": "ü"}, "csrf"),
    ],
)
def test_other_sites_change_nothing(client: TestClient, headers: dict[str, str], code: str) -> None:
    item = first(client)["id"]
    sent = {k: v.encode("latin-1") for k, v in headers.items()}
    answer = put(client, item, **sent)  # type: ignore[arg-type]
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == code
    assert first(client)["revision"] == 0


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_forms_are_no_json(client: TestClient, kind: str) -> None:
    assert put(client, first(client)["id"], **{"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"content": ' * 3000,
        b'{"content": {}, "seconds": NaN}',
        b'{"content": {}, "seconds": Infinity}',
        b'{"content": {"comment": ' + b"1" * 5000 + b"}}",
        b"null",
        b"[]",
        b'{"content": []}',
        b'{"content": {"intervals": [[[]]]}}',
        b'{"content": {"intervals": {"a": 1}}}',
        b'{"content": {"comment": "\\ud800"}}',
        b'{"content": {"comment": "\\u0000"}}',
        b'{"content": {}, "keys": -1}',
        b'{"content": {}, "seconds": 1e300}',
    ],
)
def test_hostile_bodies_are_refused(client: TestClient, body: bytes) -> None:
    answer = put(client, first(client)["id"], body)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]
    assert first(client)["revision"] == 0


def test_too_much_is_refused_early(client: TestClient, service: ReviewService) -> None:
    limit = service.material.config.max_body_bytes
    item = first(client)["id"]
    assert put(client, item, b" " * (limit + 1)).status_code == 413

    def endless() -> Any:
        for _ in range(limit // 1000 + 2):
            yield b" " * 1000

    streamed = client.put(
        f"/api/items/{item}/decision", content=endless(),
        headers={**PUT, "Content-Type": "application/json"},
    )  # fmt: skip
    assert streamed.status_code == 413
    ops = [{"item": n, "revision": 0, "op": "none"} for n in range(1, 2100)]
    answer = client.post(
        "/api/items/batch", json={"operations": ops}, headers={"Idempotency-Key": "x"}
    )
    assert answer.status_code == 422
    key = first(client)["series"]["key"]
    window = client.get(f"/api/series/{key}/window", params={"px": 10**9})
    assert window.status_code == 200
    assert len(window.json()["row"]) <= service.material.config.max_points
    assert client.get(f"/api/series/{key}/window?start=9&end=3").status_code == 422
    assert client.get(f"/api/series/{key}/window?start=99999999999999999999").status_code == 422
    assert client.get("/api/items/99999999999999999999").status_code == 422
    assert client.get(f"/api/series/{key}/window?t0_ms=nan&t1_ms=inf").status_code == 422


def test_saves_name_their_basis_and_a_key(client: TestClient) -> None:
    item = first(client)["id"]
    assert put(client, item, **{"If-Match": ""}).status_code == 428
    assert put(client, item, **{"Idempotency-Key": " "}).status_code == 428
    assert put(client, item, **{"If-Match": "*"}).status_code == 400
    assert put(client, item, **{"Idempotency-Key": "k" * 300}).status_code == 422


def test_text_comes_back_as_text_under_a_strict_policy(client: TestClient) -> None:
    item = first(client)["id"]
    evil = "<img src=x onerror=alert(1)>"
    body = {"content": {**NONE["content"], "comment": evil}}
    assert put(client, item, body).status_code == 200
    answer = client.get(f"/api/items/{item}")
    assert answer.json()["content"]["comment"] == evil
    assert answer.headers["content-type"] == "application/json"
    for address in ("/", f"/api/items/{item}", "/api/nothing", "/assets/nothing.js"):
        headers = client.get(address).headers
        assert headers["content-security-policy"] == CSP
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    report = client.get("/reports/it001")
    assert report.status_code == 200
    assert "sandbox" in report.headers["content-security-policy"]


def test_off_this_machine_everybody_needs_a_token(service: ReviewService, make_client: Any) -> None:
    client = make_client(host="0.0.0.0")
    session = client.get("/api/session").json()
    assert (session["user"], session["login"], session["settings"]) == (None, "token", None)
    for address in ("/api/queue", "/api/labels", "/api/items/1", "/api/jobs", "/reports/it001"):
        assert client.get(address).status_code == 401
    assert client.post("/api/session", json={"name": "boss"}).status_code == 401
    assert client.post("/api/session", json={"token": "admin"}).status_code == 401
    owner = service.owner()
    service.people.put(owner, "李", "annotator")
    token = service.people.make_token(owner, "李")
    assert service.database.path is not None
    assert token.encode() not in service.database.path.read_bytes()
    answer = client.post("/api/session", json={"token": token})
    assert answer.json()["user"] == {"name": "李", "role": "annotator"}
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.get("/api/queue").status_code == 200
    bearer = {"Authorization": f"Bearer {token}"}
    other = make_client(host="0.0.0.0")
    assert other.get("/api/queue", headers=bearer).status_code == 200
    assert other.get("/api/queue", headers={"Authorization": "Bearer x"}).status_code == 401
    service.people.put(owner, "李", "annotator", active=False)
    assert client.get("/api/queue").status_code == 401
    assert other.get("/api/queue", headers=bearer).status_code == 401


def test_a_revoked_token_and_every_login_by_it_stop_working(
    service: ReviewService, make_client: Any
) -> None:
    boss, outside = make_client(), make_client(host="0.0.0.0")
    assert boss.put("/api/users/李", json={"role": "reviewer"}).status_code == 200
    token = boss.post("/api/users/李/token").json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert outside.post("/api/session", json={"token": token}).status_code == 200
    assert outside.get("/api/queue").status_code == 200
    assert outside.delete("/api/users/李/token", headers=bearer).status_code == 403
    assert boss.delete("/api/users/李/token").status_code == 204
    assert outside.get("/api/queue").status_code == 401
    assert make_client(host="0.0.0.0").get("/api/queue", headers=bearer).status_code == 401
    people = {one["name"]: one for one in boss.get("/api/users").json()["users"]}
    assert not people["李"]["has_token"]
    assert boss.delete("/api/users/nobody/token").status_code == 404
    assert boss.get("/api/audit").json()["events"][0]["action"] == "token revoked"


def test_a_forged_cookie_is_nobody(service: ReviewService, make_client: Any) -> None:
    service.people.ensure("boss", "admin")
    client = make_client("li")
    (name,) = [c.name for c in client.cookies.jar]
    good = client.cookies[name]
    packed, _, signature = good.partition(".")
    outside = make_client(host="0.0.0.0")
    for forged in ("", ".", "x.y", packed, f"{packed}.{'0' * 64}", f"{packed[:-2]}.{signature}"):
        answer = outside.get("/api/queue", headers={"Cookie": f"{name}={forged}"})
        assert answer.status_code == 401
    assert outside.get("/api/queue", headers={"Cookie": f"{name}={good}"}).status_code == 200


def test_the_key_is_random_and_private(service: ReviewService, client: TestClient) -> None:
    path = service.project.local / "review.secret"
    assert path.stat().st_mode & 0o077 == 0
    assert len(set(path.read_bytes())) > 8


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/users/boss", {"role": "admin"}),
        ("POST", "/api/users/li/token", None),
        ("POST", "/api/backup", None),
        ("POST", "/api/iterations", None),
        ("POST", "/api/iterations/it003/finish", {"allow_open": True}),
        ("POST", "/api/iterations/it003/repro", None),
        ("POST", "/api/jobs/0001-x/cancel", None),
        ("GET", "/api/quality", None),
        ("GET", "/api/audit", None),
        ("GET", "/api/export", None),
        ("POST", "/api/items/1/approval", {"revision": 1, "verdict": "approved"}),
        ("POST", "/api/items/1/assign", {"user": "boss"}),
    ],
)
def test_roles_are_kept(
    make_client: Any, waiting: Project, method: str, path: str, body: Any
) -> None:
    client = make_client("li")
    assert client.get("/api/session").json()["user"]["role"] == "annotator"
    answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert not waiting.labels("it003").exists()


def test_the_last_admin_stays(client: TestClient) -> None:
    name = client.get("/api/session").json()["user"]["name"]
    assert client.put(f"/api/users/{name}", json={"role": "annotator"}).status_code == 403
    assert client.put("/api/users/王 芳", json={"role": "admin"}).status_code == 200
    assert client.put(f"/api/users/{name}", json={"role": "reviewer"}).status_code == 200
    assert client.put("/api/users/<b>", json={"role": "admin"}).status_code in (403, 422)
