"""Make a new project from the packaged template.

In a wheel the template lies in ``tsloop/_template``; in a checkout the repository's own top level
is the template, so there is only one copy to keep right.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tsloop.errors import ProjectError

__all__ = ["TEMPLATE_FILES", "create_project", "template_root"]

TEMPLATE_FILES = (
    "conf/**/*.yaml",
    "dvc.yaml",
    "params.yaml",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    "data/.gitignore",
    "data/labels/gold.jsonl",
    "models/.gitkeep",
    "registry/.gitkeep",
    "sweeps/.gitkeep",
)
"""Glob patterns of the files that make up a project."""


def template_root() -> Path:
    """The directory that holds the template."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "_template", package.parent.parent):
        if (candidate / "conf" / "config.yaml").is_file():
            return candidate
    raise ProjectError(
        f"The project template is missing from the installation at {package}.",
        hint="Install tsloop again.",
    )


def create_project(directory: Path) -> list[str]:
    """Copy the template into an empty or new directory; returns the relative paths written.

    A git repository is made where there is none, because DVC keeps its history there.
    """
    if directory.exists() and any(p.name != ".git" for p in directory.iterdir()):
        raise ProjectError(f"{directory} is not empty.", hint="Choose a new directory.")
    directory.mkdir(parents=True, exist_ok=True)
    root = template_root()
    written = []
    for pattern in TEMPLATE_FILES:
        for source in sorted(root.glob(pattern)):
            relative = source.relative_to(root)
            if relative.parts[:2] == ("conf", "local"):
                continue
            target = directory / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            written.append(relative.as_posix())
    if not _inside_git(directory):
        subprocess.run(["git", "init", "--quiet"], cwd=directory, check=True)
    return written


def _inside_git(directory: Path) -> bool:
    return any((parent / ".git").exists() for parent in (directory, *directory.parents))
