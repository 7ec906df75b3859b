"""`dvc exp run -S`: an experiment reaches the newest iteration and leaves the past alone."""

from __future__ import annotations

import pytest
import yaml

from project_tools import changed
from tsloop.config.params import (
    check_drift,
    configure,
    differences,
    read_iterations,
    read_params,
    render,
    write_iterations,
)
from tsloop.errors import ConfigError
from tsloop.project import Project


@pytest.mark.parametrize("override", ["sampler.budget=30", "loop.primary=second"])
def test_an_experiment_changes_the_leaf_alone(fresh: Project, override: str) -> None:
    """Nothing is published yet: iterations that others build on are closed all the same."""
    configure(fresh, ["+detector@variants.second=knn"])
    lines = differences(read_params(fresh), render(fresh, [override]))
    assert any(line.startswith("queues.it002.") for line in lines)
    allowed = (override.partition("=")[0], "queues.it002.", "evaluations.it002.")
    assert [line for line in lines if not line.startswith(allowed)] == []


@pytest.mark.parametrize("override", ["sampler.budget=30", "gate.min_delta=0.1"])
def test_dvc_runs_nothing_of_the_past_for_an_experiment(finished: Project, override: str) -> None:
    params = render(finished, [override])
    finished.params.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    stages = changed(finished.root)
    assert stages
    assert {stage.partition("@")[2].partition("-")[0] for stage in stages} == {"it002"}


def test_the_first_queue_follows_while_there_is_no_iteration(fresh: Project) -> None:
    write_iterations(fresh, {})
    configure(fresh)
    lines = differences(read_params(fresh), render(fresh, ["sampler.budget=30"]))
    assert "queues.base.sampler.budget: 5 → 30" in lines
    configure(fresh, ["sampler.budget=7"])
    assert read_params(fresh)["queues"]["base"]["sampler"]["budget"] == 7
    assert not read_iterations(fresh)


def test_an_experiment_says_what_it_changes(
    fresh: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = render(fresh, ["sampler.budget=30"])
    fresh.params.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    monkeypatch.setenv("DVC_EXP_NAME", "wide-queue")
    assert check_drift(fresh) == params
    assert "experiment: sampler.budget: 5 → 30" in capsys.readouterr().err
    configure(fresh)
    capsys.readouterr()
    check_drift(fresh)
    assert capsys.readouterr().err == "", "an experiment without changes of its own"
    fresh.params.write_text(yaml.safe_dump({**params, "surprise": 1}), encoding="utf-8")
    with pytest.raises(ConfigError, match="surprise"):
        check_drift(fresh)
