"""The journal of a published iteration that others build on does not change any more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from project_tools import changed, commit, hashes, run, run_stages
from tsloop.config.params import configure, read_iterations, read_params
from tsloop.errors import AnnotationError
from tsloop.files import read_json, read_jsonl, sha256_file, write_jsonl
from tsloop.loop.manager import IterationManager
from tsloop.project import Project

WRITTEN = ("params.yaml", "conf/project/*.yaml")


def correct(project: Project, name: str) -> None:
    """Somebody takes an interval out of an old record."""
    rows = read_jsonl(project.labels(name))
    row = next(row for row in rows if row["intervals"])
    del row["intervals"][0]
    row["result"] = "ok" if row["intervals"] else "none"
    write_jsonl(project.labels(name), rows)


def test_a_published_iteration_names_its_journal(published: Project) -> None:
    assert read_json(published.registry("it002"))["journal"] == {
        "path": "data/labels/it002.jsonl",
        "sha256": sha256_file(published.labels("it002")),
    }
    assert read_json(published.registry("it001"))["journal"]["path"] == "data/simulated/it001.jsonl"


def test_a_closed_journal_is_not_edited(
    published: Project, stops: Callable[[Project, str, str], str]
) -> None:
    IterationManager(published).create_iteration()
    good = published.labels("it002").read_bytes()
    correct(published, "it002")
    before = hashes(published.root, *WRITTEN)
    said = stops(published, "dataset", "it002")
    assert "data/labels/it002.jsonl was changed after it002 was published" in said
    assert "it is the parent of it003" in said
    assert "an open journal (data/labels/it003.jsonl)" in said
    with pytest.raises(AnnotationError, match="it002 was published, but it is the parent of it003"):
        configure(published, ["gate.min_delta=0.3"])
    assert hashes(published.root, *WRITTEN) == before
    published.labels("it002").unlink()
    with pytest.raises(AnnotationError, match=r"it002\.jsonl was removed after"):
        configure(published)
    published.labels("it002").write_bytes(good)
    configure(published, ["gate.min_delta=0.3"])
    run_stages(published, "dataset@it002", record=False)


def test_the_journal_of_a_leaf_may_change_and_is_published_before_it_closes(
    published: Project,
) -> None:
    correct(published, "it002")
    configure(published)
    run_stages(published, "dataset@it002", record=False)
    with pytest.raises(AnnotationError, match=r"it003 would build on .* Run `dvc repro` first"):
        IterationManager(published).create_iteration()
    assert list(read_iterations(published)) == ["it001", "it002"]
    run_stages(published, "publish@it002", record=False)
    assert IterationManager(published).create_iteration().name == "it003"
    IterationManager(published).delete("it003")
    correct(published, "it002")
    configure(published)


def test_checkouts_and_archives_raise_no_alarm(published: Project) -> None:
    """Journal, registry and iterations are in git together."""
    root, steward = published.root, IterationManager(published)
    run_stages(published, "dataset@it002", "fit@it002-knn", "predict@it002-knn")
    run_stages(published, "evaluate@it002", "queue@it002", "publish@it002")
    commit(root, "first labels")
    correct(published, "it002")
    run_stages(published, "dataset@it002", "fit@it002-knn", "predict@it002-knn")
    run_stages(published, "evaluate@it002", "queue@it002", "publish@it002")
    steward.create_iteration()
    commit(root, "corrected and built upon")
    run(root, "git", "checkout", "-q", "HEAD~1")
    configure(published)
    assert list(read_params(published)["iterations"]) == ["it001", "it002"]
    run_stages(published, "dataset@it002", record=False)
    run(root, "git", "checkout", "-q", "main")
    configure(published)
    run_stages(published, "dataset@it002", record=False)
    assert not changed(root) - {stage for stage in changed(root) if "it003" in stage}
    assert steward.archive(keep=1) == ["it001", "it002"]
    published.labels("it002").unlink()
    configure(published)
