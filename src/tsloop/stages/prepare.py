"""Validate the raw series, repair them as declared, and store them with their reduced views."""

from __future__ import annotations

from tsloop.config.schema import section
from tsloop.stages.runner import Figures, StageContext, run_stage

__all__ = ["prepare"]


def prepare(context: StageContext) -> Figures:
    """Stage ``prepare``."""
    from tsloop.series.prepare import prepare_store

    project = context.project
    config = section(context.params, "prepare")
    return prepare_store(project.raw, project.series, project.truth, config, context.progress)


if __name__ == "__main__":
    raise SystemExit(run_stage("prepare", prepare))
