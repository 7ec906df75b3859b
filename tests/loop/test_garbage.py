"""Which weights garbage collection may take, and what `tsloop gc` says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from project_tools import commit, dvc, hashes, tsloop
from tsloop.config.pipeline import IterationSpec
from tsloop.errors import IterationError
from tsloop.files import write_json
from tsloop.loop.garbage import plan_garbage
from tsloop.loop.manager import IterationManager
from tsloop.project import Project

PLACES = ("models", "data/predictions", "data/datasets")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Six iterations with weights: four archived, two live."""
    for place in PLACES:
        for number in range(1, 7):
            write_json(tmp_path / place / f"it{number:03d}" / "file.json", "x" * 98)
    return Project(tmp_path)


def specs(live: int = 2, **parents: str) -> dict[str, IterationSpec]:
    names = [f"it{number:03d}" for number in range(1, 7)]
    before = dict(zip(names, ["base", *names], strict=False))
    return {
        name: IterationSpec(name, parents.get(name, before[name]), archived=name in names[:-live])
        for name in names
    }


def test_the_newest_keep_their_weights(project: Project) -> None:
    found = plan_garbage(project, specs(), 3, {})
    assert list(found.doomed) == ["it001", "it002", "it003"]
    assert found.directories[0] == project.root / "models" / "it001"
    assert len(found.directories) == 9
    assert found.size == 9 * 101
    assert found.kept == {}
    assert plan_garbage(project, specs(), 6, {}).directories == []
    assert plan_garbage(project, specs(), 60, {}).directories == []


def test_what_is_live_or_built_upon_stays_and_the_reason_is_said(project: Project) -> None:
    found = plan_garbage(project, specs(), 0, {})
    assert list(found.doomed) == ["it001", "it002", "it003"]
    assert "it005 builds on it" in found.kept["it004"]
    assert "it006 builds on it" in found.kept["it005"]
    assert "is live" in found.kept["it006"]
    aside = plan_garbage(project, specs(it006="it001"), 0, {})
    assert "it006 builds on it" in aside.kept["it001"]


def test_champions_and_the_challenger_stay(project: Project) -> None:
    found = plan_garbage(project, specs(), 1, {"it002": "it was champion", "it006": "new"})
    assert list(found.doomed) == ["it001", "it003"]
    assert found.kept["it002"] == "it was champion"
    assert "it006" not in found.kept, "it is among the newest anyway"


def test_a_negative_number_is_refused(project: Project) -> None:
    with pytest.raises(IterationError, match="keep is -1"):
        plan_garbage(project, specs(), -1, {})


def test_what_is_gone_is_not_counted(project: Project) -> None:
    for place in PLACES:
        (project.root / place / "it001" / "file.json").unlink()
        (project.root / place / "it001").rmdir()
    assert list(plan_garbage(project, specs(), 3, {}).doomed) == ["it002", "it003"]


def test_the_challenger_of_a_project_is_protected(finished: Project) -> None:
    """Though it is archived and nothing builds on it: a new line of iterations began elsewhere."""
    steward = IterationManager(finished)
    steward.create_iteration("it003", "base")
    commit(finished.root)
    assert steward.archive(keep=1) == ["it001", "it002"]
    found = steward.find_garbage(1)
    assert found.kept == {"it002": "it has the challenger"}
    assert list(found.doomed) == ["it001"]


def test_gc_says_what_stays_and_why(finished: Project) -> None:
    before = hashes(finished.root, "models/**/*.*")
    said = tsloop(finished.root, "gc", "--keep", "1").stdout
    assert "stays: it001, because it002 builds on it and is live" in said
    assert "Nothing to delete." in said
    refused = tsloop(finished.root, "gc", "--keep", "-1", check=False)
    assert refused.returncode == 2
    assert hashes(finished.root, "models/**/*.*") == before


@pytest.mark.slow
def test_gc_frees_the_work_tree_and_then_the_cache(finished: Project) -> None:
    root, steward = finished.root, IterationManager(finished)
    steward.create_iteration("it003", "base")
    commit(root)
    assert steward.archive(keep=1) == ["it001", "it002"]
    commit(root)
    treasure = hashes(root, "data/labels/*", "data/snapshots/**/*.*", "models/it002/**/*.*")
    planned = tsloop(root, "gc", "--keep", "1", "--dry-run", "--cache").stdout
    assert "would delete: models/it001" in planned
    assert "would run: dvc gc --workspace --all-branches --all-experiments" in planned
    assert (root / "models" / "it001").exists()
    said = tsloop(root, "gc", "--keep", "1").stdout
    assert "delete: models/it001" in said
    assert "free it with: dvc gc --workspace" in said
    assert not (root / "models" / "it001").exists()
    early = tsloop(root, "gc", "--keep", "1", "--cache", check=False)
    assert "not committed" in early.stderr
    commit(root)

    def cached() -> int:
        return sum(1 for path in (root / ".dvc" / "cache" / "files").rglob("*") if path.is_file())

    before = cached()
    tsloop(root, "gc", "--keep", "1", "--cache")
    assert cached() < before
    assert hashes(root, *treasure) == treasure
    shutil.rmtree(root / "models" / "it002" / "knn")
    dvc(root, "checkout", "archive/it002.dvc")
    assert hashes(root, *treasure) == treasure, "what stays is in the cache as well"
