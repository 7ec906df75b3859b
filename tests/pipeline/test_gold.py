"""Gold that people keep: what stages refuse, what may be added, and that it only grows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from project_tools import changed, commit, dvc, run_stages
from tsloop.annotations.journal import read_journal, write_journal
from tsloop.cli import main
from tsloop.config.params import configure, read_params
from tsloop.files import dump_json, read_json, read_jsonl, write_jsonl
from tsloop.intervals import Status
from tsloop.loop.queues import read_queue
from tsloop.project import Project
from tsloop.series.store import SeriesStore


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """``tsloop labels gold add FILE`` in this process: exit code and everything printed."""

    def run(file: Path) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["tsloop", "labels", "gold", "add", str(file)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


Stops = Callable[[Project, str, str], str]


def edits() -> Iterator[tuple[str, dict[str, Any], dict[str, Any], str]]:
    """What is done to a gold record and to its first interval, and what must be said."""
    bare = {"t_start": None, "t_end": None}
    yield "content", {"series_sha256": "0" * 64}, bare, "has no timestamps"
    yield "rows", {"n_rows": 99999}, {}, "it counts 99999 rows"
    yield "label", {}, {"label": "wobble"}, "Label 'wobble' is not in label set tsloop@1"
    yield "set", {"label_set": "mine@2"}, {}, "speaks of label set mine@2"
    yield "proposal", {}, {"basis": "model"}, "gold must be labelled blind"


@pytest.mark.parametrize(
    ("record", "interval", "message"), [e[1:] for e in edits()], ids=[e[0] for e in edits()]
)
def test_gold_that_does_not_fit_stops_dataset_and_evaluate(
    manned: Project,
    stops: Stops,
    record: dict[str, Any],
    interval: dict[str, Any],
    message: str,
) -> None:
    rows = read_jsonl(manned.labels("gold"))
    bad = next(row for row in rows if row["intervals"])
    bad.update(record)
    bad["intervals"][0].update(interval)
    write_jsonl(manned.labels("gold"), rows)
    for stage in ("dataset", "evaluate"):
        said = stops(manned, stage, "it002")
        assert message in said
        assert bad["series_id"] in said


def test_a_published_line_of_gold_must_stay(published: Project, stops: Stops) -> None:
    """With git, the line is named; without, the iteration and what to do."""
    path = published.labels("gold")
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:1] + lines[2:]), encoding="utf-8")
    said = stops(published, "dataset", "it002")
    assert f"does not begin with the {len(lines)} lines that it002 was published on" in said
    assert "tsloop labels gold add FILE" in said
    path.write_text("".join(lines), encoding="utf-8")
    commit(published.root)
    path.write_text("".join(lines[:1] + lines[2:]), encoding="utf-8")
    for stage in ("dataset", "evaluate"):
        said = stops(published, stage, "it002")
        assert "data/labels/gold.jsonl is not what it002 was published on" in said
        assert "its line 2 was changed or taken out" in said
        assert "git log -p -- data/labels/gold.jsonl" in said


def test_gold_may_grow_and_merge(published: Project) -> None:
    """A merge has the lines of both branches: what was published need not come first."""
    commit(published.root)
    path = published.labels("gold")
    lines = path.read_text("utf-8").splitlines(keepends=True)
    more = json.loads(lines[0]) | {"revision": 2}
    for text in ("".join([*lines, dump_json(more)]), dump_json(more) + "\n" + "".join(lines)):
        path.write_text(text, encoding="utf-8")
        run_stages(published, "dataset@it002", "evaluate@it002", record=False)
        card = read_json(published.report("it002") / "scorecard.json")
        assert card["gold"]["version"] == len(lines) + 1


def test_an_older_checkout_raises_no_alarm(published: Project) -> None:
    """Registry files of iterations that the project does not know (yet) say nothing."""
    entry = read_json(published.registry("it002"))
    entry["config"]["evaluations"]["it009"] = entry["config"]["evaluations"]["it002"]
    entry["gold"]["sha256"] = "0" * 64
    published.registry("it009").write_text(json.dumps(entry), encoding="utf-8")
    run_stages(published, "dataset@it002", record=False)


def test_simulated_gold_may_be_made_anew(finished: Project) -> None:
    """It is the output of a stage; with other truth it is other gold."""
    rows = read_jsonl(finished.simulated("gold"))
    write_jsonl(finished.simulated("gold"), rows[1:])
    run_stages(finished, "dataset@it002", "evaluate@it002", record=False)
    card = read_json(finished.report("it002") / "scorecard.json")
    assert card["gold"]["n_series"] == len(rows) - 1


def test_simulated_gold_may_have_errors(fresh: Project) -> None:
    """`annotator.gold_errors` reaches the stage, and DVC sees it while nothing is published."""
    run_stages(fresh, "acquire", "prepare", "annotate@gold")
    assert "annotate@gold" not in changed(fresh.root)
    before = read_jsonl(fresh.simulated("gold"))
    settings = ("gold_errors=true", "miss_rate=1.0", "spurious_rate=0.0")
    configure(fresh, [f"annotator.{setting}" for setting in settings])
    assert "annotate@gold" in changed(fresh.root)
    run_stages(fresh, "annotate@gold", record=False)
    after = read_jsonl(fresh.simulated("gold"))
    assert [row["series_id"] for row in after] == [row["series_id"] for row in before]
    assert any(row["intervals"] for row in before)
    assert not any(row["intervals"] for row in after)


def test_people_add_gold_with_a_command(manned: Project, say: Any, tmp_path: Path) -> None:
    gold = manned.labels("gold")
    rows = read_jsonl(gold)
    bare = [{**row, "intervals": [without_time(i) for i in row["intervals"]]} for row in rows]
    gold.write_text("")
    write_jsonl(tmp_path / "mine.jsonl", bare[:2])
    code, said = say(tmp_path / "mine.jsonl")
    assert code == 0
    assert said == "Added 2 records: gold has 2 series and is of version 2. Next: dvc repro\n"
    assert read_jsonl(gold) == rows[:2], "with the timestamps of the stored series"
    once = gold.read_bytes()
    assert say(tmp_path / "mine.jsonl") == (
        0,
        "Added 0 records: gold has 2 series and is of version 2. Nothing changed.\n",
    )
    write_jsonl(tmp_path / "all.jsonl", bare)
    assert say(tmp_path / "all.jsonl")[0] == 0
    assert gold.read_bytes().startswith(once)
    assert read_jsonl(gold) == rows
    dvc(manned.root, "repro", "--dry", "dataset@it002")


def without_time(interval: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in interval.items() if key not in ("t_start", "t_end")}


def test_what_cannot_be_gold_is_not_added(published: Project, say: Any, tmp_path: Path) -> None:
    gold = published.labels("gold")
    before = gold.read_bytes()
    row = next(row for row in read_jsonl(gold) if row["intervals"])
    trained = read_journal(published.labels("it002"))[0]
    first = row["intervals"][0]
    for bad, message in (
        ({**row, "intervals": []} | {"result": "none"}, "Give the one that shall count revision 2"),
        ({**row, "revision": 2, "intervals": [{**first, "basis": "accepted"}]}, "labelled blind"),
        ({**row, "revision": 2, "intervals": [{**first, "label": "wobble"}]}, "Label 'wobble'"),
        ({**row, "revision": 2, "n_rows": 99999}, "it counts 99999 rows"),
        (trained.to_dict() | {"queue": None}, "would leak gold into training"),
    ):
        write_jsonl(tmp_path / "bad.jsonl", [bad])
        code, said = say(tmp_path / "bad.jsonl")
        assert code == 1
        assert message in said
        assert gold.read_bytes() == before
    gold.write_bytes(before.replace(b'"label": "', b'"label": "x', 1))
    write_jsonl(tmp_path / "good.jsonl", [{**row, "revision": 2}])
    code, said = say(tmp_path / "good.jsonl")
    assert code == 1
    assert "it002 was published on" in said
    assert read_params(published)["datasets"]["it002"]["gold"] == "data/labels/gold.jsonl"


def test_what_is_gold_is_not_asked_about(published: Project) -> None:
    """Neither the series itself nor its group: its label could not be used, and is given blind."""
    store = SeriesStore.open(published.series)
    before = [item.series_id for item in read_queue(published.queue("it002"))]
    chosen = before[0]
    entry = store.entries[chosen]
    record = read_journal(published.labels("gold"))[0]
    new = record.replace(
        series_id=chosen,
        series_sha256=entry.sha256,
        n_rows=entry.n_rows,
        intervals=(),
        result=Status.NONE,
    )
    write_journal(published.labels("gold"), [*read_journal(published.labels("gold")), new])
    assert "queue@it002" in changed(published.root)
    run_stages(published, "queue@it002", record=False)
    after = {item.series_id for item in read_queue(published.queue("it002"))}
    assert chosen not in after
    assert not [i for i in after if store.entries[i].group == entry.group]
