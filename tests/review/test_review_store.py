"""Decisions are kept: revisions, conflicts, replays, kills, full disks, restarts, many at once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tsloop.errors import (
    ReviewConflictError,
    ReviewForbiddenError,
    ReviewInvalidError,
    ReviewLockedError,
    ReviewStorageError,
)
from tsloop.project import Project
from tsloop.review import items, listing, tables
from tsloop.review.backup import backup, export_lines
from tsloop.review.database import Database
from tsloop.review.decisions import Effort
from tsloop.review.people import User
from tsloop.review.service import ReviewService

LI, WANG, BOSS = User("li", "annotator"), User("王", "annotator"), User("boss", "reviewer")
NONE = {"state": "done", "result": "none", "intervals": []}
POSTGRES = os.environ.get("TSLOOP_TEST_POSTGRES", "")


def first(service: ReviewService, user: User = LI) -> dict[str, Any]:
    found, _, _ = listing.find_items(service.database, listing.Filters("it003"), user)
    return found[0]


def drawn(start: int, end: int, **more: Any) -> dict[str, Any]:
    interval = {"id": f"d{start}", "start": start, "end": end, "label": "upward_spike", **more}
    return {"state": "done", "result": "ok", "intervals": [interval]}


def save(service: ReviewService, item: int, basis: int, content: Any, **more: Any) -> Any:
    user = more.pop("user", LI)
    return service.decisions.save(user, item, basis, content, Effort("draw", 2.5, 3), **more)


def test_a_stale_save_gets_both_versions(service: ReviewService) -> None:
    item = first(service)["id"]
    save(service, item, 0, drawn(10, 20))
    with pytest.raises(ReviewConflictError) as caught:
        save(service, item, 0, drawn(50, 60), user=WANG)
    told = caught.value.details
    assert told["yours"]["content"]["intervals"][0]["start"] == 50
    assert told["theirs"]["content"]["intervals"][0]["start"] == 10
    assert told["theirs"]["author"] == "li"
    assert told["base"]["content"]["intervals"] == []
    reply, _ = save(service, item, 1, drawn(50, 60), user=WANG)
    assert reply["revision"] == 2
    assert [r["author"] for r in items.history(service.database, item)] == ["王", "li"]


def test_a_repeated_request_is_done_once(service: ReviewService) -> None:
    item = first(service)["id"]
    one, replayed = save(service, item, 0, drawn(10, 20), key="k1")
    assert not replayed
    two, replayed = save(service, item, 0, drawn(10, 20), key="k1")
    assert replayed
    assert two == one
    with pytest.raises(ReviewInvalidError, match="another request"):
        save(service, item, 0, drawn(10, 21), key="k1")
    # Another person's key of the same name is another key.
    with pytest.raises(ReviewConflictError):
        save(service, item, 0, drawn(10, 20), key="k1", user=WANG)


def test_a_refused_request_may_be_sent_again(service: ReviewService) -> None:
    item = first(service)["id"]
    save(service, item, 0, NONE)
    with pytest.raises(ReviewConflictError):
        save(service, item, 0, drawn(1, 2), key="k2")
    with pytest.raises(ReviewConflictError):
        save(service, item, 0, drawn(1, 2), key="k2")


def test_fifty_at_once_lose_nothing(service: ReviewService) -> None:
    """Everybody repeats until saved; all decisions are in the history, and nothing else."""
    item = first(service)["id"]
    refused = []

    def reviewer(number: int) -> None:
        user = User(f"r{number}", "annotator")
        while True:
            with service.database.read() as connection:
                basis = items.get_row(connection, item).revision
            try:
                content = drawn(number, number, comment=f"by {number}")
                service.decisions.save(user, item, basis, content, Effort(), key=f"n{number}")
                return
            except ReviewConflictError:
                refused.append(number)

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(reviewer, range(50)))
    saved = items.history(service.database, item)
    assert [r["revision"] for r in saved] == list(range(50, 0, -1))
    assert {r["author"] for r in saved} == {f"r{n}" for n in range(50)}


def test_the_same_request_from_two_threads_is_done_once(service: ReviewService) -> None:
    item = first(service)["id"]
    barrier = threading.Barrier(8)

    def send(_: int) -> Any:
        barrier.wait()
        return save(service, item, 0, drawn(3, 4), key="same")[0]

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(send, range(8)))
    assert all(reply == replies[0] for reply in replies)
    assert len(items.history(service.database, item)) == 1


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({**NONE, "state": "approved"}, "state"),
        ({**NONE, "extra": 1}, "extra"),
        ({"state": "done", "result": "ok", "intervals": []}, "result"),
        ({"state": "done", "result": None, "intervals": []}, "result"),
        ({**NONE, "rejected": ["it002/knn:99"]}, "rejected"),
        ({**NONE, "overall": {"mood": "bad"}}, "overall.mood"),
        ({**NONE, "comment": "x" * 5000}, "comment"),
        ({**NONE, "comment": "\ud800"}, "content"),
        ([], "content"),
    ],
)
def test_impossible_content_is_refused(service: ReviewService, content: Any, field: str) -> None:
    with pytest.raises(ReviewInvalidError) as caught:
        save(service, first(service)["id"], 0, content)
    assert caught.value.details["field"] == field
    assert first(service)["revision"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"start": 9, "end": 3},
        {"start": -1},
        {"end": 10**9},
        {"start": 1.5},
        {"start": float("nan")},
        {"start": True},
        {"start": None},
        {"label": "nonsense"},
        {"label": None},
        {"basis": "magic"},
        {"proposal": "it009/x:0"},
        {"comment": 5},
        {"id": "x" * 300},
    ],
)
def test_impossible_intervals_are_refused(service: ReviewService, change: Any) -> None:
    content = drawn(3, 9)
    content["intervals"][0] |= change
    with pytest.raises(ReviewInvalidError):
        save(service, first(service)["id"], 0, content)


def test_overlaps_of_one_label_are_refused(service: ReviewService) -> None:
    content = drawn(3, 9)
    content["intervals"].append({**content["intervals"][0], "id": "other", "start": 9, "end": 12})
    with pytest.raises(ReviewInvalidError, match="overlaps"):
        save(service, first(service)["id"], 0, content)


def test_an_accepted_interval_is_what_was_proposed(service: ReviewService) -> None:
    """Whatever the page claims: rows and label decide what is accepted and what is edited."""
    row = next(
        i for i in listing.find_items(service.database, listing.Filters("it003"), LI)[0]
        if i["n_proposals"]
    )  # fmt: skip
    proposal = service.item(row["id"], LI)["proposals"][0]
    taken = {k: proposal[k] for k in ("id", "start", "end", "label")}
    content = {
        "state": "done",
        "result": "ok",
        "intervals": [{**taken, "basis": "human", "proposal": proposal["id"]}],
    }
    reply, _ = save(service, row["id"], 0, content)
    assert reply["content"]["intervals"][0]["basis"] == "accepted"
    assert reply["content"]["intervals"][0]["score"] == 0.9
    content["intervals"][0]["end"] += 1  # type: ignore[index]
    reply, _ = save(service, row["id"], 1, {**content})
    assert reply["content"]["intervals"][0]["basis"] == "edited"


def test_a_batch_is_one_step(service: ReviewService) -> None:
    rows = [i for i in listing.find_items(service.database, listing.Filters("it003"), LI)[0]
            if i["n_proposals"]]  # fmt: skip
    ops = [
        {"item": r["id"], "revision": 0, "op": "accept", "min_score": 0.8, "state": "done"}
        for r in rows
    ]
    reply, _ = service.batches.apply(LI, ops, key="b1")
    assert reply["saved"] == len(rows)
    assert service.batches.apply(LI, ops, key="b1") == (reply, True)
    stale = [{**ops[0], "revision": 5}, {**ops[1], "revision": 1, "op": "none"}]
    with pytest.raises(ReviewConflictError) as caught:
        service.batches.apply(LI, stale)
    assert [r["status"] for r in caught.value.details["results"]] == ["conflict", "saved"]
    after = {r["id"]: r for r in listing.find_items(
        service.database, listing.Filters("it003"), LI)[0]}  # fmt: skip
    assert {after[r["id"]]["revision"] for r in rows} == {1}
    undone, _ = service.batches.undo(LI, reply["batch"])
    assert undone["saved"] == len(rows)
    for row in rows:
        content = service.item(row["id"], LI)["content"]
        assert (content["state"], content["intervals"]) == ("pending", [])


def test_an_approval_holds_for_one_revision(service: ReviewService) -> None:
    item = first(service)["id"]
    save(service, item, 0, NONE)
    with pytest.raises(ReviewForbiddenError):
        service.holding.judge(LI, item, 1, "approved")
    with pytest.raises(ReviewConflictError):
        service.holding.judge(BOSS, item, 0, "approved")
    approved, _ = service.holding.judge(BOSS, item, 1, "approved")
    assert approved["approval"] == "approved"
    reply, _ = save(service, item, 1, drawn(1, 2))
    assert reply["item"]["approval"] == "stale"
    returned, _ = service.holding.judge(BOSS, item, 2, "returned", "look again")
    assert (returned["state"], returned["author"]) == ("needs_fix", "li")


def test_locks_expire_and_revisions_protect(service: ReviewService) -> None:
    item = first(service)["id"]
    assert service.holding.lock(LI, item, 60)["mine"]
    with pytest.raises(ReviewLockedError) as caught:
        service.holding.lock(WANG, item, 60)
    assert caught.value.details["holder"]["user"] == "li"
    assert listing.next_item(service.database, "it003", WANG)["id"] != item  # type: ignore[index]
    service.holding.unlock(WANG, item)  # not Wang's to let go
    with service.database.write() as connection:
        connection.execute(tables.items.update().values(lock_until_ms=1))
    assert service.holding.lock(WANG, item, 60)["user"] == "王"


def test_a_restart_changes_nothing(service: ReviewService, waiting: Project) -> None:
    item = first(service)["id"]
    save(service, item, 0, drawn(7, 8), key="k")
    before, _, _ = listing.find_items(service.database, listing.Filters("it003"), LI)
    service.close()
    again = ReviewService(waiting)
    again.refresh()
    after, _, _ = listing.find_items(again.database, listing.Filters("it003"), LI)
    assert after == before
    assert save(again, item, 0, drawn(7, 8), key="k")[1]  # the old answer
    again.close()


def test_a_full_disk_loses_nothing(service: ReviewService) -> None:
    item = first(service)["id"]
    save(service, item, 0, drawn(7, 8))
    path = service.database.path
    assert path is not None
    service.database.dispose()

    def small(connection: Any, _: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    full = Database.at(path)
    sa.event.listen(full.engine, "connect", small)
    service.decisions._database = full
    revision = 1
    told = ""
    while not told and revision < 200:
        try:
            save(service, item, revision, drawn(7, 8, comment="x" * 3000))
            revision += 1
        except ReviewStorageError as error:
            told = str(error)
    assert str(path) in told
    assert "full" in told
    full.dispose()
    service.decisions._database = service.database
    saved = items.history(service.database, item)
    assert [r["revision"] for r in saved] == list(range(revision, 0, -1))
    save(service, item, revision, NONE)  # there is room again


KILLED = """
import sys
from pathlib import Path
from tsloop.project import Project
from tsloop.review.decisions import Effort
from tsloop.review.people import User
from tsloop.review.service import ReviewService

service, item = ReviewService(Project(Path(sys.argv[1]))), int(sys.argv[2])
content = {"state": "done", "result": "none", "intervals": [], "comment": "x" * 500}
for revision in range(100000):
    reply, _ = service.decisions.save(User("li", "annotator"), item, revision, content, Effort())
    print(reply["revision"], flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 23])
def test_what_was_answered_survives_a_kill(
    service: ReviewService, waiting: Project, after: int
) -> None:
    item = first(service)["id"]
    told = 0
    command = [sys.executable, "-c", KILLED, str(waiting.root), str(item)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = int(line)
            if told == after:
                process.send_signal(signal.SIGKILL)
    saved = items.history(service.database, item)
    assert len(saved) >= told >= after
    assert [r["revision"] for r in saved] == list(range(len(saved), 0, -1))
    assert first(service)["revision"] == len(saved)
    path = service.database.path
    assert path is not None
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_every_failing_statement_leaves_the_old_state(service: ReviewService) -> None:
    """Fail the n-th statement of a save, for every n."""
    item = first(service)["id"]
    save(service, item, 0, drawn(7, 8))
    before = items.history(service.database, item)
    fails_at = left = 0

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise sqlite3.OperationalError("disk I/O error")

    sa.event.listen(service.database.engine, "before_cursor_execute", count)
    while True:
        fails_at += 1
        left = fails_at
        try:
            save(service, item, 1, NONE, key="again")
        except ReviewStorageError:
            left = -1
            assert items.history(service.database, item) == before
            assert first(service)["revision"] == 1
            continue
        left = -1
        break
    assert fails_at > 6
    assert first(service)["revision"] == 2


def test_a_backup_is_the_store(service: ReviewService, tmp_path: Path) -> None:
    item = first(service)["id"]
    save(service, item, 0, drawn(7, 8))
    made = [backup(service.database, tmp_path / "copies", keep=2) for _ in range(3)]
    assert sorted(p.name for p in (tmp_path / "copies").iterdir()) == [
        Path(m["path"]).name for m in made[1:]
    ]
    copy = Database.at(Path(made[-1]["path"]))
    assert items.history(copy, item) == items.history(service.database, item)
    copy.dispose()
    (line,) = export_lines(service.database, "it003")
    assert '"author": "li"' in line


def test_the_migrations_make_the_tables(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = Database.at(tmp_path / "数据 base" / "review.db")
    database.migrate()
    database.migrate()
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ReviewStorageError, match="another tsloop"):
        database.migrate()
    database.dispose()
