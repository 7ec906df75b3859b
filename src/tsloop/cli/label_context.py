"""What the commands on labels need of the project around them, if there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsloop.labels import LabelSet
    from tsloop.project import Project
    from tsloop.series.store import SeriesStore

__all__ = ["LabelContext", "context_here", "project_label_set"]


@dataclass(frozen=True)
class LabelContext:
    """Project, its label set and its series; without a project the built-in set and no series."""

    project: Project | None
    label_set: LabelSet
    store: SeriesStore | None


def project_label_set(project: Project) -> LabelSet:
    """The label set that a project uses now."""
    from tsloop.config.params import read_params
    from tsloop.config.schema import section
    from tsloop.labels import builtin_label_set, load_label_set

    chosen = section(read_params(project), "labels").set
    return builtin_label_set() if chosen == "tsloop" else load_label_set(project.root / chosen)


def context_here(needs_project: bool) -> LabelContext:
    """The context of the working directory; a missing project is an error where one is needed."""
    from tsloop.errors import ProjectError
    from tsloop.labels import builtin_label_set
    from tsloop.project import find_project
    from tsloop.series.store import SeriesStore

    try:
        project = find_project()
    except ProjectError:
        if needs_project:
            raise
        return LabelContext(None, builtin_label_set(), None)
    has_series = (project.series / "manifest.json").is_file()
    store = SeriesStore.open(project.series) if needs_project or has_series else None
    return LabelContext(project, project_label_set(project), store)
