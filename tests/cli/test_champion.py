"""The champion is served from its own copy, whatever happens to the model it came from."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
from detect_tools import detect, read_table, write_series

from project_tools import changed, commit, dvc, hashes, run, run_stages
from tsloop.cli.registry import promote as promote_command
from tsloop.config.params import configure
from tsloop.errors import PromotionError
from tsloop.files import read_json, sha256_tree
from tsloop.project import Project
from tsloop.tracking.promoted import scorecard_file
from tsloop.tracking.promotions import Promotion, champion_model, promote


def champion_of(project: Project) -> tuple[Promotion, Path]:
    found = champion_model(project.root)
    assert found is not None
    return found


def answers(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What the champion says of one new series."""
    write_series(project.root / "new.csv", spike=250)
    assert detect(project.root, monkeypatch, "new.csv", "--no-pictures") == 0
    return read_table(project.root / "detections" / "detections.csv")


def test_training_again_leaves_the_champion_as_it_is(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights that never passed the gate are not served, wherever they lie."""
    promote(finished.root, "it002", "knn", force=True, reason="a test")
    promotion, _ = champion_of(finished)
    before = answers(finished, monkeypatch)
    model = finished.model("it002", "knn")
    configure(finished, ["variants.knn.neighbours=3"])
    run_stages(finished, "fit@it002-knn", "predict@it002-knn", "evaluate@it002", "publish@it002")
    assert read_json(model / "detector.json")["config"]["neighbours"] == 3
    published = read_json(finished.registry("it002"))["variants"]["knn"]["model_sha256"]
    assert published == sha256_tree(model) != promotion.model_sha256
    capsys.readouterr()
    assert answers(finished, monkeypatch) == before
    assert "Model: it002/knn, the champion" in capsys.readouterr().out

    shutil.rmtree(model)
    shutil.copytree(finished.model("it001", "knn"), model)
    assert answers(finished, monkeypatch) == before
    shutil.rmtree(finished.root / "models")
    assert answers(finished, monkeypatch) == before
    served, directory = champion_of(finished)
    assert served == promotion
    assert sha256_tree(directory) == promotion.model_sha256

    (directory / "detector.json").write_text("{}", encoding="utf-8")
    assert detect(finished.root, monkeypatch, "new.csv") == 1
    said = capsys.readouterr().err
    assert "is not the model that was promoted as it002/knn" in said
    assert f"dvc pull --force registry/models/{directory.name}.dvc" in said


DIE = """
import os, pathlib, signal, sys
from tsloop.tracking import promotions
promotions.append = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
promotions.promote(pathlib.Path(sys.argv[1]), "it002", "knn", force=True, reason="a test")
"""


@pytest.mark.slow
def test_kill_9_between_the_copy_and_the_line(finished: Project) -> None:
    done = run(finished.root, sys.executable, "-c", DIE, str(finished.root), check=False)
    assert done.returncode == -signal.SIGKILL
    assert champion_model(finished.root) is None
    kept = hashes(finished.root, "registry/models/*", "registry/models/*/*")
    assert kept
    promote(finished.root, "it002", "knn", force=True, reason="a test")
    champion_of(finished)
    assert hashes(finished.root, "registry/models/*", "registry/models/*/*") == kept
    assert not changed(finished.root)


@pytest.mark.slow
def test_another_machine_pulls_the_champion(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git carries the pointer, DVC the content; the message names the command that brings it."""
    promote(finished.root, "it002", "knn", force=True, reason="a test")
    before = answers(finished, monkeypatch)
    dvc(finished.root, "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    dvc(finished.root, "push", "-q")
    commit(finished.root)
    tracked = run(finished.root, "git", "ls-files", "registry/models").stdout.split()
    promotion, directory = champion_of(finished)
    scorecard = scorecard_file(finished, promotion.model_sha256, promotion.evidence["gold_sha256"])
    names = (".gitignore", scorecard.name, f"{directory.name}.dvc")
    assert tracked == [f"registry/models/{name}" for name in names]

    run(tmp_path, "git", "clone", "-q", str(finished.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    with pytest.raises(PromotionError, match="is not on this machine") as refused:
        champion_model(clone.root)
    command = re.search(r"dvc (pull --force \S+)$", str(refused.value))
    assert command is not None
    dvc(clone.root, *command[1].split())
    assert answers(clone, monkeypatch) == before
    assert not clone.model("it002", "knn").exists()

    served = clone.promoted(promotion.model_sha256)
    (served / "detector.json").write_text("{}", encoding="utf-8")
    with pytest.raises(PromotionError, match="Bring the promoted one back") as refused:
        champion_model(clone.root)
    command = re.search(r"dvc (pull --force \S+)$", str(refused.value))
    assert command is not None
    dvc(clone.root, *command[1].split())
    assert answers(clone, monkeypatch) == before


def test_a_promotion_stands_where_mlflow_cannot_follow(
    finished: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The registry decides what is served; MLflow shows it when it is back."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.chdir(finished.root)
    configure(finished, ["tracking.enabled=true", "tracking.uri=http://127.0.0.1:9"])
    promote_command("it002/knn", force=True, reason="a test")
    said = capsys.readouterr()
    assert "it002/knn" in said.out
    assert "That stands and is served. MLflow does not show it yet" in said.err
    assert "tsloop tracking sync" in said.err
    assert champion_of(finished)[0].to == "it002/knn"
