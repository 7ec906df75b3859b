"""The report of an iteration shows the champion of its time, measured on the same gold."""

from __future__ import annotations

import re

from project_tools import run_stages, stages_in_order
from tsloop.annotations.gold import read_gold
from tsloop.config.params import configure, read_params
from tsloop.files import read_json, sha256_tree, write_json
from tsloop.loop.manager import IterationManager
from tsloop.project import Project
from tsloop.tracking.promoted import scorecard_file
from tsloop.tracking.promotions import promote


def row_of(project: Project, model: str) -> str:
    """The text of a model's row in the first table of it003's report; empty where it has none."""
    page = (project.report("it003") / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr[ >].*?</tr>", page, re.S)
    texts = [re.sub(r"<[^>]+>|\\s+", " ", row) for row in rows]
    return next((text for text in texts if text.strip().startswith(f"{model} ")), "")


def run_third(project: Project) -> None:
    run_stages(project, *(s for s in stages_in_order(project) if "it003" in s), record=False)


def test_the_champion_stands_in_the_report(finished: Project) -> None:
    """Neither iteration nor parent, it has the scorecard that was kept when it was promoted."""
    promote(finished.root, "it001", "knn", force=True, reason="a test")
    IterationManager(finished).create_iteration()
    entry = read_params(finished)["evaluations"]["it003"]["champion"]
    sha256 = sha256_tree(finished.model("it001", "knn"))
    gold = read_gold(finished.simulated("gold"))
    kept = scorecard_file(finished, sha256, gold.sha256)
    expected = {"model": "it001/knn", "scorecard": finished.relative(kept), "is_parent": False}
    assert entry == expected
    run_third(finished)
    row = row_of(finished, "it001/knn")
    f1 = read_json(kept)["scorecard"]["metrics"]["event_f1"]
    assert "champion" in row
    assert f"{f1:.3f}"[:4] in row
    assert row_of(finished, "it002/knn")

    # The next champion is of another time: it003 is published.
    promote(finished.root, "it003", "knn", force=True, reason="a test")
    configure(finished, [])
    assert read_params(finished)["evaluations"]["it003"]["champion"] == expected
    assert "champion" not in read_params(finished)["evaluations"]["it002"]

    # Gold of another version: said, and not compared.
    data = read_json(kept)
    write_json(kept, {**data, "gold": {**data["gold"], "sha256": "8" * 64, "version": 7}})
    run_stages(finished, "evaluate@it003", record=False)
    assert row_of(finished, "it001/knn") == ""
    page = (finished.report("it003") / "report.html").read_text(encoding="utf-8")
    assert "it001/knn is not in the table: it was measured on gold version 7" in page


def test_a_champion_that_is_the_parent_is_scored_on_todays_gold(finished: Project) -> None:
    promote(finished.root, "it002", "knn", force=True, reason="a test")
    IterationManager(finished).create_iteration()
    assert read_params(finished)["evaluations"]["it003"]["champion"]["is_parent"] is True
    run_third(finished)
    row = row_of(finished, "it002/knn")
    assert "parent" in row
    assert "champion" in row
