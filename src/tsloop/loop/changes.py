"""Changing a project: alone in it, from a configuration that is in step, and all or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tsloop.config.params import check_drift, configure, read_iterations, write_iterations
from tsloop.config.pipeline import IterationSpec
from tsloop.project import Project

__all__ = ["change_iterations", "changing"]


@contextlib.contextmanager
def changing(project: Project, what: str) -> Iterator[None]:
    """Nobody else runs or changes the project, and ``params.yaml`` is as ``conf/`` says."""
    from tsloop.execution.dvc_lock import exclusive_project

    with exclusive_project(project.root, what):
        check_drift(project)
        yield


def change_iterations(project: Project, iterations: dict[str, IterationSpec]) -> None:
    """Store other iterations and configure for them; where that fails, the old ones come back."""
    before = read_iterations(project)
    write_iterations(project, iterations)
    try:
        configure(project)
    except BaseException:
        write_iterations(project, before)
        raise
