"""Jobs in the background: one contract, one engine so far, and what keeps a project undisturbed."""

from __future__ import annotations

from pathlib import Path

from tsloop.execution.base import Executor, ExecutorConfig, JobInfo, JobState, Resources

__all__ = ["Executor", "ExecutorConfig", "JobInfo", "JobState", "Resources", "build_executor"]


def build_executor(project_dir: Path, config: ExecutorConfig | None = None) -> Executor:
    """The executor that ``config.kind`` names, for the jobs of one project."""
    from tsloop.execution.local import LocalExecutor

    return LocalExecutor(project_dir, config)
