"""Labels that began as a model's proposal do not become blind gold by leaving and coming back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from label_tools import call

from tsloop.annotations.gold import fit_gold, read_gold
from tsloop.annotations.journal import read_journal, write_journal
from tsloop.annotations.record import AnnotationRecord
from tsloop.api import AnnotationAdapter
from tsloop.config.params import configure
from tsloop.detectors.predictions import PredictionWriter
from tsloop.errors import AnnotationError
from tsloop.intervals import Basis, Detection, Interval
from tsloop.labels import builtin_label_set
from tsloop.project import Project
from tsloop.series.store import SeriesStore, SeriesWriter
from tsloop.series.types import Role, Series

START, STEP = 1_700_000_000_000_000_000, 10**9
HOLDING = ("annotator_v2", "annotator_v2_stored", "annotator_v1", "annotator_v1_tree",
           "platform_rows", "golden")  # fmt: skip


@pytest.fixture
def project(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with two gold series; the shell stands in it."""
    values = np.random.default_rng(0).normal(size=80)
    with SeriesWriter(fresh.series, thumbnail_width=0) as writer:
        for number, name in enumerate(("g1", "g2")):
            stamps = START + STEP * np.arange(80)
            writer.add(Series(name, stamps, values + number, role=Role.GOLD))
    configure(fresh, ["annotator=human"])
    monkeypatch.chdir(fresh.root)
    return fresh


def journal(project: Project, *bases: Basis, name: str = "g1") -> Path:
    """A journal with an interval for each basis."""
    spans = [Interval(10 * n, 10 * n + 3, "step_up", basis=b) for n, b in enumerate(bases)]
    path = project.root / "mine.jsonl"
    write_journal(path, [AnnotationAdapter(project).record(name, spans, author="li")])
    return path


def gold_of(project: Project) -> list[AnnotationRecord]:
    path = project.labels("gold")
    return read_journal(path) if path.exists() else []


@pytest.mark.parametrize("name", [*HOLDING, "label_studio"])
def test_an_accepted_proposal_is_refused_whoever_states_what(name: str, project: Project) -> None:
    out = project.root / "out"
    source = journal(project, Basis.HUMAN, Basis.ACCEPTED)
    assert call("export", name, out, "--from", source).exit_code == 0
    files = [p for p in out.iterdir() if p.suffix == ".json"]
    for stated in ((), ("--blind-by", "li")):
        said = call("import", *files, "--into", "gold", "--format", name, *stated)
        assert said.exit_code == 1
        assert "started from a model's proposal" in said.output
    assert gold_of(project) == []


def test_taking_the_accepted_interval_out_of_the_file_does_not_make_it_blind(
    project: Project,
) -> None:
    """Whoever deletes what a model proposed has seen it all the same."""
    out = project.root / "out"
    call("export", "golden", out, "--from", journal(project, Basis.HUMAN, Basis.EDITED))
    (file,) = out.glob("*.label.json")
    document = json.loads(file.read_text("utf-8"))
    document["intervals"].pop()
    file.write_text(json.dumps(document), "utf-8")
    said = call("import", file, "--into", "gold", "--blind-by", "li")
    assert "started from a model's proposal" in said.output
    assert gold_of(project) == []


@pytest.mark.parametrize("name", HOLDING)
def test_what_a_person_drew_stays_blind_without_a_word(name: str, project: Project) -> None:
    out = project.root / "out"
    call("export", name, out, "--from", journal(project, Basis.HUMAN))
    files = [p for p in out.iterdir() if p.suffix == ".json"]
    said = call("import", *files, "--into", "gold", "--format", name)
    assert (said.exit_code, "Wrote 1 record" in said.output) == (0, True)
    (record,) = gold_of(project)
    assert [i.basis for i in record.intervals] == [Basis.HUMAN]
    assert "blind" not in record.extra


def test_a_format_that_says_nothing_needs_somebody_who_does(project: Project) -> None:
    out = project.root / "out"
    source = journal(project, Basis.ACCEPTED)
    call("export", "trainset", out, "--from", source, "--accept-loss")
    command = ("import", out / "trainset.csv", "--into", "gold")
    for more in ((), ("--dry-run",)):
        refused = call(*command, *more)
        assert refused.exit_code == 1
        assert "does not say whether its labels started from a model's proposal" in refused.output
        assert "--blind-by NAME" in refused.output
    done = call(*command, "--blind-by", "wang")
    assert (done.exit_code, "Wrote 1 record" in done.output) == (0, True)
    (record,) = gold_of(project)
    assert record.extra["blind"]["by"] == "wang"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.extra["blind"]["time"])
    assert "There already: 1 record" in call(*command).output
    with pytest.raises(AnnotationError, match="--blind-by says something of gold"):
        call("import", out / "trainset.csv", "--into", "it001", "--blind-by", "wang")


def test_gold_of_before_is_mended_by_a_statement(project: Project) -> None:
    """Its line stays: the statement is a record of the next revision."""
    imported = journal(project, Basis.IMPORTED)
    path = project.labels("gold")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imported.read_bytes())
    store, labels = SeriesStore.open(project.series), builtin_label_set()
    with pytest.raises(AnnotationError, match="came from a file that does not say"):
        fit_gold(read_gold(path), store, labels)
    with pytest.raises(AnnotationError, match="came from a file that does not say"):
        call("gold", "add", imported)
    stated = ("gold", "add", path, "--blind-by", "li")
    assert "Added 1 record" in call(*stated).output
    assert path.read_bytes().startswith(imported.read_bytes())
    assert fit_gold(read_gold(path), store, labels).records["g1"].revision == 2
    assert "Added 0 records" in call(*stated).output


def test_gold_of_before_is_mended_by_the_import_that_states_it(project: Project) -> None:
    out = project.root / "out"
    call("export", "trainset", out, "--from", journal(project, Basis.HUMAN), "--accept-loss")
    command = ("import", out / "trainset.csv", "--into", "gold")
    call(*command, "--blind-by", "wang")
    path = project.labels("gold")
    (record,) = gold_of(project)
    before = {k: v for k, v in record.extra.items() if k != "blind"}
    write_journal(path, [record.replace(extra=before, overall={"trend": "up"}, revision=2)])
    old = path.read_bytes()
    assert "There already: 1 record" in call(*command).output
    stated = call(*command, "--blind-by", "li", "--dry-run").output
    assert "There already, to be stated as blind: 1 record." in stated
    assert "Would write 1 record" in stated
    assert path.read_bytes() == old
    assert "Wrote 1 record" in call(*command, "--blind-by", "li").output
    assert path.read_bytes().startswith(old)
    first, second = gold_of(project)
    assert (second.revision, second.extra["blind"]["by"]) == (3, "li")
    assert (second.intervals, second.overall) == (first.intervals, first.overall)
    fit_gold(read_gold(path), SeriesStore.open(project.series), builtin_label_set())
    assert "Nothing new to write." in call(*command, "--blind-by", "li").output


def test_a_file_that_knows_of_a_proposal_states_nothing_of_gold(project: Project) -> None:
    path = project.labels("gold")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(journal(project, Basis.IMPORTED).read_bytes())
    out = project.root / "out"
    call("export", "golden", out, "--from", journal(project, Basis.ACCEPTED))
    (file,) = out.glob("*.label.json")
    said = call("import", file, "--into", "gold", "--blind-by", "li")
    assert (said.exit_code, "started from a model's proposal" in said.output) == (1, True)
    assert len(gold_of(project)) == 1


def test_a_join_with_an_accepted_interval_is_not_blind(project: Project) -> None:
    """Overlapping intervals of one label are joined on the way out."""
    path = project.root / "mine.jsonl"
    spans = [Interval(3, 9, "step_up", basis=Basis.HUMAN),
             Interval(8, 12, "step_up", basis=Basis.ACCEPTED)]  # fmt: skip
    write_journal(path, [AnnotationAdapter(project).record("g1", spans)])
    call("export", "golden", project.root / "out", "--from", path)
    (file,) = (project.root / "out").glob("*.label.json")
    document = json.loads(file.read_text("utf-8"))
    assert [i["basis"] for i in document["intervals"]] == ["accepted"]
    assert document["blind"] is False


@pytest.fixture
def found_nothing(project: Project) -> str:
    """A model that found nothing in a gold series."""
    with PredictionWriter(project.predictions("it001", "knn")) as writer:
        sha256 = SeriesStore.open(project.series).entry("g1").sha256
        writer.add("g1", sha256, Detection.of([]), None)
    return "it001/knn"


def test_a_model_that_found_nothing_is_no_blind_label(project: Project, found_nothing: str) -> None:
    """By somebody who submits the empty task, and through a file that cannot say "proposal"."""
    out = project.root / "out"
    call("export", "label_studio", out, "--predictions", found_nothing)
    tasks = json.loads((out / "tasks.json").read_text("utf-8"))
    tasks[0] |= {"predictions": [], "annotations": [{"result": [], "was_cancelled": False}]}
    (out / "tasks.json").write_text(json.dumps(tasks), "utf-8")
    call("export", "golden", out, "--predictions", found_nothing, "--accept-loss")
    for file in (out / "tasks.json", *out.glob("*.label.json")):
        for stated in ((), ("--blind-by", "li")):
            said = call("import", file, "--into", "gold", *stated)
            assert (said.exit_code, "started from a model's proposal" in said.output) == (1, True)
    assert gold_of(project) == []


@pytest.mark.parametrize("name", ["annotator_v2", "platform_rows"])
def test_a_draft_without_its_key_is_no_blind_label(
    name: str, project: Project, found_nothing: str
) -> None:
    out = project.root / "out"
    call("export", name, out, "--predictions", found_nothing)
    (file,) = out.glob("*.json")
    call("import", file, "--format", name, "--proposals", "drafts.jsonl")
    draft = json.loads(Path("drafts.jsonl").read_text("utf-8"))
    assert draft.pop("draft")
    Path("judged.jsonl").write_text(json.dumps(draft) + "\n", "utf-8")
    with pytest.raises(AnnotationError, match="started from a model's proposal"):
        call("gold", "add", "judged.jsonl", "--blind-by", "li")


def test_a_task_cannot_vouch_for_its_annotations(project: Project) -> None:
    """Label Studio may show predictions in a task that was blind when it went there."""
    out = project.root / "out"
    call("export", "label_studio", out, "--from", journal(project, Basis.HUMAN), "--accept-loss")
    tasks = json.loads((out / "tasks.json").read_text("utf-8"))
    assert "blind" not in tasks[0]["data"]
    tasks[0]["data"]["blind"] = True
    (out / "tasks.json").write_text(json.dumps(tasks), "utf-8")
    said = call("import", out / "tasks.json", "--into", "gold")
    assert "does not say whether its labels started from a model's proposal" in said.output
