"""A whole iteration in a real browser on the real server: ``web/tests/browser/loop.mjs``.

A scripted reviewer who knows the truth works through the queue with the very keys, clicks and
drags that ``benchmarks/review_cost.py`` counts; so what is saved must be the truth, and what the
page counted must be what was planned.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from project_tools import commit, make_project, run_all
from tsloop.annotations.journal import latest, read_journal
from tsloop.cli.review_demo import keep_gold
from tsloop.config.params import configure
from tsloop.labels import builtin_label_set
from tsloop.loop.annotator import read_truth
from tsloop.loop.manager import IterationManager
from tsloop.loop.queues import read_queue
from tsloop.project import Project
from tsloop.testing.review_page import running_page

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="run `make web` first"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
]


@pytest.fixture
def waiting_queue(project_env: None, tmp_path: Path) -> Project:
    """One trained iteration, and twenty series that wait for people."""
    project = make_project(
        tmp_path / "project",
        "source.units=6",
        "source.days=3.0",
        "sampler.budget=20",
        iterations=1,
    )
    run_all(project)
    keep_gold(project)
    configure(project, ["annotator=human"])
    IterationManager(project).create_iteration()
    commit(project.root)
    return project


def plans(project: Project) -> dict[str, Any]:
    """What the scripted reviewer does on each series of the queue."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from reviewer_model import page_keys, review_plan
    finally:
        sys.path.pop(0)
    truth = read_truth(project.truth / "intervals.jsonl")
    labels, keys = builtin_label_set().ids, page_keys()
    made: dict[str, Any] = {}
    in_hand = labels[0]
    for row in read_queue(project.queue("it001")):
        known = truth[row.series_id]
        shown = row.proposal.intervals if row.proposal else ()
        plan = review_plan(known.intervals, shown, known.n_rows, labels, keys, in_hand)
        in_hand = plan.draw_label
        made[row.series_id] = {
            "steps": plan.steps,
            "keys": plan.n_keys,
            "gestures": plan.n_gestures,
            "decisions": sum(plan.decisions.values()),
        }
    return made


def test_an_iteration_is_reviewed_finished_and_followed_by_the_next_queue(
    waiting_queue: Project, tmp_path: Path
) -> None:
    project = waiting_queue
    planned = plans(project)
    assert len(planned) == 20
    (tmp_path / "plans.json").write_text(json.dumps(planned), encoding="utf-8")
    pictures = os.environ.get("TSLOOP_PICTURES", "")
    with running_page(project.root) as url:
        done = subprocess.run(
            ["node", "tests/browser/loop.mjs", url, str(tmp_path / "plans.json"), pictures],
            cwd=WEB,
            env={**os.environ, "CHROMIUM": str(CHROMIUM)},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    reviewed, following = told[:-1], told[-1]
    assert len(reviewed) == following["reviewed"] == 20
    for row in reviewed:
        assert row["page"] == row["plan"], row["series"]
    assert following["iteration"] == "it003"
    assert following["total"] > 0
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from reviewer_model import same_answer
    finally:
        sys.path.pop(0)
    truth = read_truth(project.truth / "intervals.jsonl")
    journal = latest(read_journal(project.labels("it002")))
    for series_id in planned:
        assert same_answer(truth[series_id].intervals, journal[series_id].intervals), series_id
