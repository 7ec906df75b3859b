"""Work trees and merges: what git does to a project of several people."""

from __future__ import annotations

from pathlib import Path

import pytest

from project_tools import changed, commit, dvc, hashes, run, run_stages, tsloop
from tsloop.annotations.journal import read_journal, write_journal
from tsloop.config.params import configure, read_iterations, read_params, write_iterations
from tsloop.config.pipeline import IterationSpec
from tsloop.errors import ConfigError
from tsloop.loop.manager import IterationManager
from tsloop.project import Project


@pytest.mark.slow
def test_a_work_tree_is_a_project_of_its_own(finished: Project, tmp_path: Path) -> None:
    """An experiment there composes what is there and leaves the first tree alone (dvc#10812)."""
    tree = tmp_path / "tree"
    run(finished.root, "git", "worktree", "add", "-q", str(tree), "-b", "other")
    before = hashes(finished.root, "params.yaml", "dvc.lock", "conf/**/*", "data/queues/*")
    dvc(tree, "cache", "dir", "--local", str(finished.root / ".dvc" / "cache"))
    dvc(tree, "checkout")
    assert not changed(tree)
    ran = dvc(tree, "exp", "run", "-S", "sampler.budget=4", "queue@it002")
    assert "Running stage 'queue@it002'" in ran.stdout
    assert read_params(Project(tree))["queues"]["it002"]["sampler"]["budget"] == 4
    assert hashes(finished.root, *before) == before
    tsloop(tree, "configure")  # back from the experiment
    assert "Created it003" in tsloop(tree, "iteration", "create").stdout
    assert list(read_iterations(finished)) == ["it001", "it002"]


def label(project: Project, name: str, keep: slice) -> None:
    """An iteration on it002 that people have labelled, run up to its dataset."""
    run(project.root, "git", "checkout", "-q", "-b", name, "main")
    IterationManager(project).create_iteration(name, "it002")
    records = read_journal(project.simulated("it002"))[keep]
    again = [record.replace(revision=2, queue=None) for record in records]
    write_journal(project.labels(name), again)
    configure(project)
    run_stages(project, f"dataset@{name}")
    commit(project.root, f"labels of {name}")


@pytest.mark.slow
def test_two_branches_with_a_journal_each_are_merged(finished: Project) -> None:
    root = finished.root
    finished.labels("gold").write_bytes(finished.simulated("gold").read_bytes())
    configure(finished, ["annotator=human"])
    commit(root, "people label from now on")
    label(finished, "it003", slice(0, 1))
    label(finished, "it004", slice(1, 2))
    journals = hashes(root, "data/labels/it004.jsonl")
    merged = run(root, "git", "merge", "it003", check=False)
    assert merged.returncode == 1
    conflicts = run(root, "git", "diff", "--name-only", "--diff-filter=U").stdout.split()
    assert not [path for path in conflicts if path.endswith(".jsonl")], "no label conflicts"
    assert "conf/project/iterations.yaml" in conflicts
    with pytest.raises(ConfigError, match=r"iterations\.yaml is not.*both sides"):
        configure(finished)
    run(root, "git", "checkout", "--ours", *conflicts)
    ours = read_iterations(finished)
    assert list(ours) == ["it001", "it002", "it004"]
    write_iterations(finished, {**ours, "it003": IterationSpec("it003", "it002")})
    configure(finished)
    commit(root, "both")
    assert set(read_params(finished)["datasets"]) == {"it001", "it002", "it003", "it004"}
    assert hashes(root, *journals) == journals
    assert len(read_journal(finished.labels("it003"))) == 1
    stages = {stage.partition("@")[2].partition("-")[0] for stage in changed(root)}
    assert stages == {"it003", "it004"}, "nothing of the past is run again"


BROKEN = ("<<<<<<< HEAD\nit001:\n", "it001:\nit002:\n  parent: it001\n", "a")


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_list_of_iterations_is_named(fresh: Project, text: str) -> None:
    (fresh.conf / "project" / "iterations.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"conf/project/iterations\.yaml is not a list"):
        configure(fresh)


def test_a_conflict_in_another_file_of_conf_is_named(fresh: Project) -> None:
    (fresh.conf / "project" / "pipeline.yaml").write_text("<<<<<<< HEAD\na:\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"not valid YAML.*pipeline\.yaml.*conflicts"):
        configure(fresh)
