"""Files that come, change or go in the folder of the source are noticed, though DVC sees none."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from project_tools import dvc, make_project, repro, run_stages, tsloop
from tsloop.config.params import check_drift, configure
from tsloop.files import sha256_tree
from tsloop.loop.source_news import source_news
from tsloop.project import Project
from tsloop.series.raw import RawStore
from tsloop.sources import acquire, build
from tsloop.sources.folder import FolderConfig, FolderSource

TABLE = "timestamp,value\n" + "".join(f"2024-03-01T00:{i:02d}:00Z,{i % 7}\n" for i in range(60))


def put(path: Path, content: str = TABLE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("north/pump", "south/pump"):
        put(tmp_path / "in" / f"{name}.csv")
    return tmp_path / "in"


@pytest.fixture
def project(project_env: None, tmp_path: Path, folder: Path) -> Project:
    """A project whose source is the folder, acquired."""
    made = make_project(tmp_path / "project", iterations=0)
    configure(made, ["source=folder", f"source.path={folder}"])
    run_stages(made, "acquire")
    return made


def test_new_changed_and_lost_files_are_named_with_the_command(
    project: Project, folder: Path
) -> None:
    assert source_news(project) == ""
    put(folder / "north/fan.csv")
    put(folder / "notes.txt", "nothing to read")
    put(folder / ".hidden.csv", "nor this")
    news = source_news(project)
    assert "1 new (first: north/fan.csv)" in news
    assert news.endswith("dvc repro -f acquire && dvc repro")
    put(folder / "north/pump.csv", TABLE.replace(",3", ",4"))  # of the same size
    (folder / "south/pump.csv").unlink()
    news = source_news(project)
    assert "1 changed (first: north/pump.csv), 1 gone (first: south/pump.csv)" in news
    check_drift(project)
    run_stages(project, "acquire")
    assert source_news(project) == ""
    assert RawStore.open(project.raw).ids() == ["north/fan", "north/pump"]


def test_nothing_is_said_where_nobody_can_know(project: Project, folder: Path) -> None:
    put(folder / "new.csv")
    assert source_news(project)
    hidden = folder.with_name("elsewhere")
    folder.rename(hidden)  # a clone without the data
    assert source_news(project) == ""
    hidden.rename(folder)
    configure(project, ["source.group_by=folder"])  # `dvc repro` reads it anyway
    assert source_news(project) == ""
    configure(project, ["source.group_by=file"])
    assert source_news(project)
    shutil.rmtree(project.raw)
    assert source_news(project) == ""
    (project.root / "dvc.lock").unlink()
    assert source_news(project) == ""


def test_the_record_does_not_depend_on_the_machine(tmp_path: Path, folder: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in copy.rglob("*.csv"):
        os.utime(path, (1, 1))
    for name, place in (("one", folder), ("two", copy)):
        acquire(build("folder", {"path": str(place)}), tmp_path / name)
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    assert list(RawStore.open(tmp_path / "one").inputs) == ["north/pump.csv", "south/pump.csv"]


def test_with_a_manifest_only_what_it_names_counts(folder: Path) -> None:
    entries = {"a": {"file": "north/pump.csv"}, "b": {"file": "lost.csv"}}
    put(folder / "manifest.json", json.dumps(entries))
    inputs = FolderSource(FolderConfig(path=str(folder))).inputs()
    assert list(inputs) == ["lost.csv", "manifest.json", "north/pump.csv"]
    assert inputs["lost.csv"] == ""


def test_long_files_are_marked_by_size_and_ends(folder: Path) -> None:
    path = folder / "long.csv"
    marks = set()
    for place in (None, 0, 150_000, 299_999):
        content = bytearray(b"1" * 300_000)
        if place is not None:
            content[place] = ord("2")
        path.write_bytes(content)
        marks.add(FolderSource(FolderConfig(path=str(folder))).inputs()["long.csv"])
    assert len(marks) == 3  # the middle of a long file is not looked at
    path.write_bytes(bytes(300_001))
    marks.add(FolderSource(FolderConfig(path=str(folder))).inputs()["long.csv"])
    assert len(marks) == 4


def test_the_command_reads_the_folder_again(project: Project, folder: Path) -> None:
    put(folder / "new.csv")
    assert repro(project.root, "acquire") == []
    assert "Attention: " in tsloop(project.root, "configure").stderr
    said = tsloop(project.root, "status").stdout
    assert "1 new (first: new.csv)" in said
    dvc(project.root, "repro", "-f", "acquire")
    assert RawStore.open(project.raw).ids() == ["new", "north/pump", "south/pump"]
    assert source_news(project) == ""
    assert repro(project.root, "prepare") == ["prepare"]
