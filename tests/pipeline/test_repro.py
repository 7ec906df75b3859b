"""What `dvc repro` runs, and above all what it does not run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from project_tools import changed, commit, dvc, hashes, repro
from tsloop.config.params import configure
from tsloop.loop.manager import IterationManager
from tsloop.project import Project


def test_a_second_repro_runs_nothing(finished: Project) -> None:
    done = dvc(finished.root, "repro")
    assert "Running stage" not in done.stdout
    assert "Data and pipelines are up to date" in done.stdout


def test_dvc_shows_metrics_graph_and_plots_without_a_network(finished: Project) -> None:
    root = finished.root
    metrics = json.loads(dvc(root, "metrics", "show", "--json").stdout)
    values = metrics[""]["data"]["reports/metrics/it002.json"]["data"]
    assert values["knn"]["n_series"] > 0
    assert '"fit@it001-knn" -> "fit@it002-knn"' in dvc(root, "dag", "--dot").stdout
    shown = dvc(root, "plots", "show")
    assert "failed" not in shown.stderr
    page = root / "dvc_plots" / "index.html"
    html = page.read_text(encoding="utf-8")
    assert "http" not in html
    pictures = re.findall(r'<img src="([^"]+)"', html)
    assert len(pictures) >= 2 * 2
    for picture in pictures:
        text = (page.parent / picture).read_text(encoding="utf-8")
        assert text.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        assert not re.search(r"(?:href|src|url)\s*[=(]", text)
    assert not dvc(root, "status", "-q", check=False).returncode
    assert "dvc_plots" not in "".join(hashes(root, ".gitignore"))


def test_a_finetune_key_concerns_the_leaf_alone(finished: Project) -> None:
    configure(finished, ["variants.knn.neighbours=3"])
    assert changed(finished.root) == {"fit@it002-knn"}
    configure(finished, ["~variants.knn.neighbours", "gate.min_delta=0.1", "loop.seed=4"])
    assert changed(finished.root) == {
        *("dataset@it002", "fit@it002-knn"),  # the seed
        *("evaluate@it002", "publish@it002"),  # the gate
    }


@pytest.mark.slow
def test_another_iteration_reruns_nothing_of_the_earlier_ones(finished: Project) -> None:
    before = hashes(
        finished.root, "models/it00[12]/**/*.*", "registry/it00[12].json", "reports/*/*.*"
    )
    created = IterationManager(finished).create_iteration()
    assert (created.name, created.parent) == ("it003", "it002")
    ran = repro(finished.root)
    assert [stage.partition("@")[0] for stage in ran] == [
        "annotate",
        "dataset",
        "fit",
        "predict",
        "evaluate",
        "queue",
        "publish",
    ]
    assert {stage.partition("@")[2].split("-")[0] for stage in ran} == {"it003"}
    assert hashes(finished.root, *before) == before
    assert finished.registry("it003").exists()


@pytest.mark.slow
def test_a_finetune_key_reruns_the_leaf_from_its_fit_on(finished: Project) -> None:
    configure(finished, ["variants.knn.neighbours=3"])
    before = hashes(finished.root, "data/simulated/*", "data/snapshots/**/*", "registry/it001.json")
    ran = repro(finished.root)
    assert ran[0] == "fit@it002-knn"
    assert set(ran) <= {
        "fit@it002-knn",
        "predict@it002-knn",
        "evaluate@it002",
        "queue@it002",
        "publish@it002",
    }
    assert "publish@it002" in ran
    assert hashes(finished.root, *before) == before


@pytest.mark.slow
def test_repro_from_nothing(fresh: Project, finished_template: Path) -> None:
    """The two ways to a finished project, through DVC and in one process, give the same bytes."""
    assert len(repro(fresh.root)) == 20
    patterns = ("data/**/[!.]*", "models/**/[!.]*", "reports/**/[!.]*", "registry/*")
    assert hashes(fresh.root, *patterns) == hashes(finished_template, *patterns)
    assert repro(fresh.root) == []


@pytest.mark.slow
def test_experiments_reach_the_leaf_and_are_shown(finished: Project) -> None:
    """`-S` composes conf/ again; stages inside an experiment accept its params.yaml."""
    root = finished.root
    done = dvc(root, "exp", "run", "-S", "variants.knn.neighbours=3", "--name", "three")
    ran = re.findall(r"Running stage '([^']+)'", done.stdout)
    assert ran[0] == "fit@it002-knn"
    assert not any("it001" in stage or "base" in stage for stage in ran)
    shown = json.loads(dvc(root, "exp", "show", "--json").stdout)
    assert "three" in json.dumps(shown)
    assert "neighbours: 3" in finished.params.read_text(encoding="utf-8")


@pytest.mark.slow
def test_queued_experiments_run_beside_the_workspace(finished: Project) -> None:
    root = finished.root
    before = hashes(root, "params.yaml", "models/**/*", "dvc.lock")
    dvc(root, "exp", "run", "--queue", "-S", "variants.knn.neighbours=3,4")
    dvc(root, "queue", "start", "-j", "1")
    dvc(root, "queue", "logs", "--help")
    import time

    for _ in range(120):
        state = dvc(root, "queue", "status").stdout
        if "Queued" not in state and "Running" not in state:
            break
        time.sleep(1)
    assert state.count("Success") == 2, state
    assert hashes(root, "params.yaml", "models/**/*", "dvc.lock") == before


@pytest.mark.slow
def test_a_clone_pulls_and_has_nothing_to_run(finished: Project, tmp_path: Path) -> None:
    """What git and a DVC remote hold is the whole project."""
    root, clone = finished.root, tmp_path / "clone"
    dvc(root, "remote", "add", "-d", "store", str(tmp_path / "remote"))
    dvc(root, "push")
    commit(root)
    from project_tools import run

    run(tmp_path, "git", "clone", "-q", str(root), str(clone))
    dvc(clone, "pull")
    assert repro(clone) == []
