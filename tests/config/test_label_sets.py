"""A label set of the project's own: an edit reaches the stages, and never the published past."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tsloop
from project_tools import changed, hashes, run_stages
from tsloop.config.params import check_drift, configure, read_params
from tsloop.errors import ConfigDriftError, LabelSetError
from tsloop.files import sha256_file
from tsloop.loop.manager import IterationManager
from tsloop.project import Project

SECTIONS = ("annotations", "datasets", "evaluations")


def write_set(path: Path, english: str = "Odd") -> str:
    """The built-in labels under another name, with one changed text; returns the hash."""
    built_in = Path(tsloop.__file__).parent / "label_sets" / "tsloop-1.json"
    data = json.loads(built_in.read_text("utf-8"))
    data["labels"][0]["en"] = english
    path.write_text(json.dumps(data), encoding="utf-8")
    return sha256_file(path)


def known(project: Project, name: str) -> set[str]:
    """The hashes that the entries of an iteration hold."""
    params = read_params(project)
    return {params[section][name].get("label_set_sha256", "") for section in SECTIONS}


def test_the_built_in_set_leaves_no_trace(fresh: Project) -> None:
    assert known(fresh, "it001") == {""}


def test_an_edited_set_is_found_out_and_reruns_what_is_open(finished: Project) -> None:
    file = finished.root / "mine.json"
    first = write_set(file)
    configure(finished, ["labels.set=mine.json"])
    assert known(finished, "it001") == {""}, "published with another one"
    assert known(finished, "it002") == {first}
    run_stages(finished, "annotate@it002", "dataset@it002", "evaluate@it002", "publish@it002")
    assert not changed(finished.root)
    second = write_set(file, "Odder")
    with pytest.raises(ConfigDriftError, match=r"mine\.json was changed since it002 .*configure"):
        check_drift(finished)
    assert any("label_set_sha256" in line for line in configure(finished))
    check_drift(finished)
    assert known(finished, "it002") == {second}
    assert {"annotate@it002", "dataset@it002", "evaluate@it002"} <= changed(finished.root)
    assert not any("it001" in stage for stage in changed(finished.root))


def test_the_set_of_a_published_iteration_keeps_its_content(finished: Project) -> None:
    file = finished.root / "mine.json"
    first = write_set(file)
    configure(finished, ["labels.set=mine.json"])
    IterationManager(finished).create_iteration()
    before = hashes(finished.root, "params.yaml", "conf/project/*")
    write_set(file, "Odder")
    with pytest.raises(LabelSetError, match=r"it002 was published with it.*labels\.set=NEW\.json"):
        configure(finished)
    assert hashes(finished.root, *before) == before
    assert write_set(file) == first
    second = write_set(finished.root / "more.json", "Odder")
    configure(finished, ["labels.set=more.json"])
    assert (known(finished, "it002"), known(finished, "it003")) == ({first}, {second})
    check_drift(finished)


def test_a_broken_or_missing_set_is_refused(fresh: Project) -> None:
    before = hashes(fresh.root, "params.yaml", "conf/project/*")
    with pytest.raises(LabelSetError, match=r"mine\.json does not exist"):
        configure(fresh, ["labels.set=mine.json"])
    (fresh.root / "mine.json").write_text("{", encoding="utf-8")
    with pytest.raises(LabelSetError, match="is not JSON"):
        configure(fresh, ["labels.set=mine.json"])
    assert hashes(fresh.root, *before) == before


def test_a_set_that_another_machine_has_keeps_its_hash(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digest = write_set(tmp_path / "mine.json")
    monkeypatch.setenv("TSLOOP_LABELS", str(tmp_path))
    configure(fresh, ["labels.set='${oc.env:TSLOOP_LABELS}/mine.json'"])
    assert known(fresh, "it001") == known(fresh, "it002") == {digest}
    once = fresh.params.read_bytes()
    monkeypatch.delenv("TSLOOP_LABELS")
    configure(fresh)
    assert fresh.params.read_bytes() == once
    check_drift(fresh)
    monkeypatch.setenv("TSLOOP_LABELS", str(tmp_path))
    write_set(tmp_path / "mine.json", "Odder")
    with pytest.raises(ConfigDriftError, match="was changed since"):
        check_drift(fresh)
