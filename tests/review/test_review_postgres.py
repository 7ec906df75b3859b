"""The store on a real PostgreSQL, started for these tests on this machine alone."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tsloop.errors import ReviewConflictError, ReviewInvalidError, ReviewStorageError
from tsloop.project import Project
from tsloop.review import items, listing, tables
from tsloop.review.backup import backup, export_lines
from tsloop.review.database import Database
from tsloop.review.decisions import Effort
from tsloop.review.people import User
from tsloop.review.quality import quality
from tsloop.review.service import ReviewService

LI = User("li", "annotator")
NONE = {"state": "done", "result": "none", "intervals": []}

pytestmark = pytest.mark.services


def _find(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ["PATH"]]))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a fresh server on loopback; PostgreSQL refuses to run as root."""
    pytest.importorskip("psycopg")
    initdb, postgres = _find("initdb"), _find("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL is not installed")
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    place = Path(tempfile.mkdtemp(prefix="tsloop-pg-"))
    if who:
        os.chown(place, who["user"], who["group"])
    data = place / "data"
    command = [initdb, "-D", str(data), "-U", "tsloop", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, cwd=place, **who)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [postgres, "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(place)]
    running = subprocess.Popen(
        command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who
    )
    url = f"postgresql://tsloop@127.0.0.1:{port}"
    try:
        _wait(url)
        yield url
    finally:
        running.terminate()
        running.wait(30)
        shutil.rmtree(place, ignore_errors=True)


def _wait(url: str) -> None:
    import time

    for _ in range(100):
        database = Database(f"{url}/postgres", busy_timeout_s=2)
        try:
            with database.read():
                return
        except ReviewStorageError:
            time.sleep(0.1)
        finally:
            database.dispose()
    raise AssertionError("PostgreSQL did not start")


@pytest.fixture
def url(server: str) -> str:
    """A new, empty database."""
    name = f"review_{uuid.uuid4().hex[:8]}"
    database = Database(f"{server}/postgres")
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    database.dispose()
    return f"{server}/{name}"


@pytest.fixture
def shared(waiting: Project, url: str) -> Iterator[ReviewService]:
    """The review of the project with its store in PostgreSQL."""
    service = ReviewService(waiting, Database(url))
    service.refresh()
    yield service
    service.close()


def first(service: ReviewService) -> dict[str, Any]:
    return listing.find_items(service.database, listing.Filters("it003"), LI)[0][0]


def test_the_migrations_make_the_tables(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = Database(url)
    with ThreadPoolExecutor(4) as pool:  # four servers start at once
        list(pool.map(lambda _: database.migrate(), range(4)))
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    database.dispose()


def test_it_keeps_what_sqlite_keeps(
    shared: ReviewService, waiting: Project, tmp_path: Path
) -> None:
    assert shared.refresh()["kept"] == 5
    item = first(shared)["id"]
    said = {**NONE, "comment": "安静 😀"}
    reply, _ = shared.decisions.save(LI, item, 0, said, Effort(), key="k")
    assert shared.decisions.save(LI, item, 0, said, Effort(), key="k") == (reply, True)
    with pytest.raises(ReviewConflictError) as caught:
        shared.decisions.save(LI, item, 0, NONE, Effort())
    assert caught.value.details["theirs"]["content"]["comment"] == "安静 😀"
    with pytest.raises(ReviewInvalidError):
        shared.decisions.save(LI, item, 1, {**NONE, "comment": "\x00"}, Effort())
    others = listing.find_items(shared.database, listing.Filters("it003", text="_"), LI)[0][1:]
    ops = [{"item": o["id"], "revision": 0, "op": "none"} for o in others]
    batch, _ = shared.batch(LI, ops, key="b")
    assert batch["saved"] == len(others)
    assert shared.undo(LI, batch["batch"])[0]["saved"] == len(others)
    assert shared.holding.lock(LI, item, 60)["mine"]
    assert quality(shared.database, "it003")["reviewers"][0]["user"] == "li"
    assert len(list(export_lines(shared.database))) == 1 + 2 * len(others)
    made = backup(shared.database, tmp_path / "copies", 3)
    assert made["path"].endswith(".jsonl")
    again = ReviewService(waiting, Database(str(shared.database.url)))
    assert first(again) == first(shared)
    again.close()


def test_fifty_at_once_lose_nothing(shared: ReviewService) -> None:
    item = first(shared)["id"]

    def reviewer(number: int) -> None:
        user = User(f"r{number}", "annotator")
        while True:
            with shared.database.read() as connection:
                basis = items.get_row(connection, item).revision
            try:
                shared.decisions.save(user, item, basis, NONE, Effort(), key=f"n{number}")
                return
            except ReviewConflictError:
                continue

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(reviewer, range(50)))
    saved = items.history(shared.database, item)
    assert [r["revision"] for r in saved] == list(range(50, 0, -1))
    assert {r["author"] for r in saved} == {f"r{n}" for n in range(50)}


def test_a_database_that_is_away_is_named(waiting: Project) -> None:
    with pytest.raises(ReviewStorageError, match=r"127\.0\.0\.1"):
        ReviewService(waiting, Database("postgresql://me@127.0.0.1:1/nothing", busy_timeout_s=1))
