"""The demo project of the review page judges what people train there."""

from __future__ import annotations

from tsloop.annotations.gold import read_gold
from tsloop.cli.review_demo import keep_gold
from tsloop.config.params import configure
from tsloop.project import Project


def test_gold_stays_when_people_take_over(finished: Project) -> None:
    simulated = read_gold(finished.root / "data/simulated/gold.jsonl")
    keep_gold(finished)
    configure(finished, ["annotator=human"])
    taken_over = read_gold(finished.root / "data/labels/gold.jsonl")
    assert taken_over.records
    assert taken_over.records == simulated.records


def test_gold_of_people_is_never_replaced(finished: Project) -> None:
    people = finished.root / "data/labels/gold.jsonl"
    people.write_text("a line of theirs\n", encoding="utf-8")
    keep_gold(finished)
    assert people.read_text(encoding="utf-8") == "a line of theirs\n"
