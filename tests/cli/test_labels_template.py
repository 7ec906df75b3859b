"""`tsloop labels template`: from a queue to a journal, as docs/labels.md walks through it."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pytest

import tsloop
from project_tools import run_stages
from project_tools import tsloop as command
from tsloop.annotations.journal import parse_records, read_journal
from tsloop.api import AnnotationAdapter
from tsloop.config.params import configure
from tsloop.errors import AnnotationError, IterationError
from tsloop.files import read_jsonl
from tsloop.loop.manager import IterationManager
from tsloop.project import Project
from tsloop.series.store import SeriesStore

PAGE = Path(tsloop.__file__).parent.parent.parent / "docs" / "labels.md"


def test_the_walk_through_of_the_docs(finished: Project) -> None:
    """A third iteration stands for the first one of the page."""
    IterationManager(finished).create_iteration()
    configure(finished, ["annotator=human"])
    page = PAGE.read_text(encoding="utf-8").replace("it001", "it003")
    page = page[: page.index("## The format")]
    calls = re.findall(r"```bash\ntsloop (labels template .*)\n```", page)
    assert len(calls) == 1
    said = command(finished.root, *calls[0].split()).stdout
    assert "data/labels/it003.draft.jsonl" in said
    assert "data/labels/it003.jsonl" in said
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    with contextlib.chdir(finished.root):
        exec(compile(code, str(PAGE), "exec"), {})
    by_id = {r.series_id: r for r in read_journal(finished.labels("it003"))}
    records = [by_id[item.series_id] for item in AnnotationAdapter(finished).queue("it003")[:2]]
    assert [str(r.result) for r in records] == ["ok", "none"]
    assert {r.author for r in records} == {"li"}
    (finished.labels("gold")).write_bytes(finished.simulated("gold").read_bytes())
    configure(finished)
    run_stages(finished, "dataset@it003", record=False)
    rows = read_jsonl(finished.snapshot("it003") / "annotations.jsonl")
    assert set(by_id) <= {row["series_id"] for row in rows}


def test_a_draft_is_no_journal_before_it_was_looked_at(finished: Project) -> None:
    IterationManager(finished).create_iteration()
    rows = AnnotationAdapter(finished).draft("it003", "li")
    queue = read_jsonl(finished.queue("it002"))
    assert [row["series_id"] for row in rows] == [item["series_id"] for item in queue]
    store = SeriesStore.open(finished.series)
    for row, item in zip(rows, queue, strict=True):
        entry = store.entries[row["series_id"]]
        assert (row["series_sha256"], row["n_rows"]) == (entry.sha256, entry.n_rows)
        proposed = item["proposal"]["intervals"]
        assert [i["start"] for i in row["intervals"]] == [i["start"] for i in proposed]
        assert row["result"] == ("ok" if proposed else "none")
        assert '"result": "none"' in row["draft"]
        with pytest.raises(AnnotationError, match=r"line 1: .*still a draft.*delete its key"):
            parse_records(json.dumps(row), "it003.jsonl")
        del row["draft"]
        (record,) = parse_records(json.dumps(row), "it003.jsonl")
        assert all(i.basis == "accepted" for i in record.intervals)


def test_a_template_overwrites_nothing_and_closed_iterations_get_none(finished: Project) -> None:
    command(finished.root, "labels", "template", "it002", "--out", "mine.jsonl")
    refused = command(
        finished.root, "labels", "template", "it002", "--out", "mine.jsonl", check=False
    )
    assert refused.returncode == 1
    assert "mine.jsonl is there already" in refused.stderr
    printed = command(finished.root, "labels", "template", "it002", "--out", "-").stdout
    assert printed == (finished.root / "mine.jsonl").read_text(encoding="utf-8")
    with pytest.raises(IterationError, match="it001 is closed"):
        AnnotationAdapter(finished).draft("it001")
