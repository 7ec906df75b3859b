"""The commit of an iteration is the one that recorded it (M9)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tracking_project import ProjectBuilder

from tsloop.errors import TrackingError
from tsloop.tracking.provenance import NO_COMMIT, Provenance

ENTRY = "registry/it001.json"


@pytest.fixture
def plain(tmp_path: Path) -> ProjectBuilder:
    """A project without a store; the directory above is no repository."""
    made = ProjectBuilder(tmp_path / "项目 one")
    made.iteration("it001")
    made.lock("data/series", "data/datasets/it001")
    return made


def test_outside_git_there_is_no_commit(plain: ProjectBuilder) -> None:
    origin = Provenance(plain.root).origin(ENTRY)
    assert (origin.commit, origin.dirty, origin.time_ms) == (NO_COMMIT, True, 0)
    assert Provenance(plain.root).lock_sha256(origin)


def test_a_repository_without_commits(plain: ProjectBuilder) -> None:
    plain.git("init", "-q")
    assert Provenance(plain.root).origin(ENTRY).commit == NO_COMMIT


def test_the_commit_is_the_last_that_touched_the_file(plain: ProjectBuilder) -> None:
    first = plain.commit()
    plain.iteration("it002", "it001")
    second = plain.commit()
    found = Provenance(plain.root)
    assert (found.origin(ENTRY).commit, found.origin(ENTRY).dirty) == (first, False)
    assert found.origin("registry/it002.json").commit == second
    assert found.origin(ENTRY).time_ms > 0


def test_an_uncommitted_change_is_dirty(plain: ProjectBuilder) -> None:
    first = plain.commit()
    plain.iteration("it001", rank=99)
    plain.iteration("it002", "it001")
    found = Provenance(plain.root)
    for path in (ENTRY, "registry/it002.json"):
        assert (found.origin(path).commit, found.origin(path).dirty) == (first, True)


def test_the_lock_is_the_one_of_the_commit(plain: ProjectBuilder) -> None:
    plain.commit()
    committed = hashlib.sha256((plain.root / "dvc.lock").read_bytes()).hexdigest()
    plain.lock("data/other")
    found = Provenance(plain.root)
    origin = found.origin(ENTRY)
    assert found.lock_sha256(origin) == committed
    expected = hashlib.md5(b"data/series").hexdigest() + ".dir"
    assert found.dvc_md5(origin, "data/nothing", "data/series") == expected
    assert found.dvc_md5(origin, "data/other") == ""


def test_a_project_inside_a_larger_repository(tmp_path: Path) -> None:
    outer = ProjectBuilder(tmp_path / "repository")
    inner = ProjectBuilder(outer.root / "projects" / "pumps")
    inner.iteration("it001")
    inner.lock("data/series")
    commit = outer.commit()
    found = Provenance(inner.root)
    assert found.origin(ENTRY).commit == commit
    assert found.dvc_md5(found.origin(ENTRY), "data/series")


def test_a_broken_lock_is_an_error(plain: ProjectBuilder) -> None:
    (plain.root / "dvc.lock").write_text("<<<<<<< HEAD\nstages:\n=======\n", encoding="utf-8")
    found = Provenance(plain.root)
    with pytest.raises(TrackingError, match=r"dvc\.lock .* cannot be read"):
        found.dvc_md5(found.origin(ENTRY), "data/series")


def test_no_lock_at_all(plain: ProjectBuilder) -> None:
    (plain.root / "dvc.lock").unlink()
    found = Provenance(plain.root)
    assert found.lock_sha256(found.head) == ""
    assert found.dvc_md5(found.head, "data/series") == ""
