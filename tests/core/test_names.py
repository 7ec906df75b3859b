"""Names that become file names: nothing that leaves the directory it is meant for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsloop.errors import ConfigError
from tsloop.names import MAX_BYTES, MAX_LENGTH, check_name
from tsloop.project import Project

GOOD = [
    "default",
    "lr-4.8_b",
    "7",
    "_x",
    "泵房-2",
    "насос",
    "पंप",
    "é" * MAX_LENGTH,
    "a" * MAX_LENGTH,
]
BAD = [
    "",
    ".",
    "..",
    "../evil",
    "../../evil",
    "a/b",
    "a/../../b",
    "/etc/x",
    "..%2fevil",
    "%252e%252e",
    "..\\evil",
    "C:\\x",
    "a\0b",
    "a\nb",
    "a b",
    ".hidden",
    "-rf",
    "~root",
    "$HOME",
    "a*",
    "a|b",
    "🚀",
    "\u202eevil",
    "\u2024\u2024/evil",
]


@pytest.mark.parametrize("name", GOOD)
def test_letters_of_any_script_are_taken(name: str, tmp_path: Path) -> None:
    assert check_name(name, "sweep.name") == name
    (tmp_path / f".{name}.json.tmp-4194304").touch()  # a file system takes it, suffixes and all


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_what_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^sweep\.name is .*no name\. Use letters, digits"):
        check_name(name, "sweep.name")


@pytest.mark.parametrize(
    "name", ["a" * (MAX_LENGTH + 1), "x" * 100_000, "𠀀" * (MAX_BYTES // 4 + 1)]
)
def test_a_very_long_name_is_refused_and_not_repeated_in_full(name: str) -> None:
    with pytest.raises(ConfigError, match=f"has {len(name)} characters") as caught:
        check_name(name, "sweep.name")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_no_path_of_a_project_leaves_it(name: str, tmp_path: Path) -> None:
    project = Project(tmp_path)
    for place in (
        project.labels,
        project.simulated,
        project.snapshot,
        project.dataset,
        project.report,
        project.queue,
        project.registry,
    ):
        with pytest.raises(ConfigError, match="The iteration is"):
            place(name)
    for place in (project.model, project.predictions):
        with pytest.raises(ConfigError, match="The iteration is"):
            place(name, "knn")
        with pytest.raises(ConfigError, match="The variant is"):
            place("it001", name)
