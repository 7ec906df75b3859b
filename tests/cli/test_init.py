"""`tsloop init`: a project equal to the repository's own top level, also from a wheel."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from project_tools import hashes, run, tsloop
from tsloop.config.params import check_drift, configure, read_params
from tsloop.errors import ProjectError
from tsloop.project import Project
from tsloop.template import TEMPLATE_FILES, create_project, template_root
from tsloop.testing.review_page import running_page

ROOT = template_root()
PLACES = ("conf", ".dvc", ".dvcignore", ".gitignore", "dvc.yaml", "params.yaml", "data", "models")


def tracked(*places: str) -> list[str]:
    """The files of the repository that git knows; skips where there is no repository."""
    done = subprocess.run(
        ["git", "ls-files", "--", *places], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode or not done.stdout:
        pytest.skip("the repository's own top level is not a git checkout")
    return done.stdout.split("\n")[:-1]


def test_a_project_is_the_repositorys_top_level(project_env: None, tmp_path: Path) -> None:
    made = tmp_path / "made"
    written = create_project(made)
    assert sorted(written) == sorted({*tracked(*PLACES, "registry", "sweeps")} - {"dvc.lock"})
    assert hashes(made, *TEMPLATE_FILES) == hashes(ROOT, *TEMPLATE_FILES)
    assert (made / ".git").is_dir()
    check_drift(Project(made))


def test_init_names_the_project_and_nothing_else(project_env: None, tmp_path: Path) -> None:
    done = tsloop(tmp_path, "init", "泵房 2")
    assert "dvc repro" in done.stdout
    assert "source.zone=" in done.stdout
    assert "annotator=human" in done.stdout
    own, template = read_params(Project(tmp_path / "泵房 2")), read_params(Project(ROOT))
    assert own["project"] == {"name": "泵房-2", "title": ""}
    assert {**own, "project": None} == {**template, "project": None}


def test_following_what_init_says_reaches_the_queue_and_nothing_simulated(
    project_env: None, tmp_path: Path
) -> None:
    """Stamps without a zone and no truth, as most data come."""
    data = tmp_path / "tags"
    data.mkdir()
    rows = [f"2026-01-01 {i // 60:02d}:{i % 60:02d}:00,{i % 7}" for i in range(300)]
    (data / "pump.csv").write_text("\n".join(["timestamp,value", *rows]), encoding="utf-8")
    said = tsloop(tmp_path, "init", "plant").stdout
    command = said.split("tsloop configure ")[1].split("dvc repro")[0].replace("\\", " ").split()
    assert command[-1] == "annotator=human"
    project = Project(tmp_path / "plant")
    configure(project, [c.replace("YOUR_DATA", str(data)) for c in command])
    with contextlib.chdir(project.root):
        figures = [json.loads(run_json(project, stage)) for stage in ("acquire", "prepare")]
        assert [f["n_with_truth"] for f in figures] == [0, 0]
        configure(project, ["annotator=simulated"])
        with pytest.raises(AssertionError, match=r"tsloop configure annotator=human"):
            run_json(project, "annotate", "gold")


def run_json(project: Project, stage: str, *key: str) -> str:
    """The JSON line of a stage."""
    done = run(project.root, sys.executable, "-m", f"tsloop.stages.{stage}", *key)
    return done.stdout.splitlines()[-1]


def test_init_refuses_a_name_that_is_a_path_before_it_writes(
    project_env: None, tmp_path: Path
) -> None:
    done = tsloop(tmp_path, "init", "plant", "--name", "../../evil", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("tsloop: --name is '../../evil', which is no name.")
    assert not (tmp_path / "plant").exists()
    tsloop(tmp_path, "init", "p" * 100)  # a directory may be longer than a name
    assert read_params(Project(tmp_path / ("p" * 100)))["project"]["name"] == "p" * 64


def test_init_never_writes_into_what_is_there(project_env: None, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ProjectError, match="is not empty"):
        create_project(mine)
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]
    done = tsloop(tmp_path, "init", "mine", check=False)
    assert done.returncode == 1
    assert "is not empty" in done.stderr


def test_a_project_inside_a_repository_gets_none_of_its_own(
    project_env: None, tmp_path: Path
) -> None:
    run(tmp_path, "git", "init", "-q")
    create_project(tmp_path / "sub")
    assert not (tmp_path / "sub" / ".git").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None,
    reason="hatchling, which builds the wheel, is not installed",
)
def test_the_wheel_holds_the_template_and_nothing_of_a_run(
    project_env: None, tmp_path: Path
) -> None:
    """Built from a checkout that was used: with data, a registry entry and a local config."""
    source = tmp_path / "source"
    for name in tracked():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    for name in ("data/raw/x.parquet", "registry/it001.json", "conf/local/me.yaml"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("mine", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    run(source, *command, "-w", str(tmp_path / "dist"), ".")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    inside = {name.removeprefix("tsloop/_template/") for name in names if "/_template/" in name}
    assert inside == {*tracked(*PLACES, "registry", "sweeps")} - {"dvc.lock"}
    code = {name for name in names if name.startswith("tsloop/") and "/_template/" not in name}
    assert code == {name.removeprefix("src/") for name in tracked("src/tsloop")}
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-m", "tsloop.cli", "init", "made"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = hashes(tmp_path / "made", *TEMPLATE_FILES)
    template = hashes(ROOT, *TEMPLATE_FILES)
    changed = {name for name in made if made[name] != template.get(name)}
    assert set(made) == set(template)
    assert changed == {"params.yaml", "conf/project/overrides.yaml"}
    page = ROOT / "src" / "tsloop" / "review" / "static"
    shipped = tmp_path / "site" / "tsloop" / "review" / "static"
    assert hashes(shipped, "**/*") == hashes(page, "**/*")
    with running_page(tmp_path / "made", environment) as url:
        with urllib.request.urlopen(url) as answer:
            html = answer.read().decode()
        assets = re.findall(r'(?:src|href)="(/assets/[^"]+)"', html)
        assert len(assets) >= 2
        for asset in assets:
            with urllib.request.urlopen(url + asset) as answer:
                assert answer.read() == (page / asset.removeprefix("/")).read_bytes()
