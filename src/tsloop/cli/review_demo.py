"""What ``tsloop review --demo`` opens: a simulated plant that a model has looked at once."""

from __future__ import annotations

from pathlib import Path

import typer

from tsloop.config.pipeline import HUMAN_GOLD, SIMULATED_GOLD
from tsloop.files import write_text_atomic
from tsloop.project import Project

__all__ = ["demo_project", "keep_gold"]

CHOICES = (
    "project.name=review-demo",
    "~detector@variants.boosting",
    "source.units=6",
    "source.days=5.0",
    "tracking=off",
    "gate.n_bootstrap=200",
    "evaluate.n_bootstrap=100",
    "sampler.budget=20",
    "review.planted_share=0.1",
)


def demo_project(directory: Path) -> Path:
    """Its directory; made, and its first iteration trained, where it is not there yet.

    A simulated annotator labelled the first iteration; the second one waits for you.
    """
    from tsloop.config.params import configure
    from tsloop.loop.manager import IterationManager
    from tsloop.template import create_project

    project = Project(directory)
    if not (directory / "dvc.yaml").exists():
        typer.echo(
            f"Making {directory} and training a first model: some minutes, more where the machine "
            "is busy.\nEvery stage prints how far it is. Interrupted, the same command goes on."
        )
        create_project(directory)
        configure(project, CHOICES)
    manager = IterationManager(project)
    names = [iteration.name for iteration in manager.list_iterations()]
    if not project.queue(names[0]).exists():
        for name in reversed(names[1:]):
            manager.delete(name)
        manager.repro()
        names = names[:1]
    if len(names) == 1:
        keep_gold(project)
        configure(project, ["annotator=human"])
        manager.create_iteration()
    return directory


def keep_gold(project: Project) -> None:
    """Let the simulated gold stand for that of people, so that what they train can be judged."""
    people = project.root / HUMAN_GOLD
    if not people.exists() or not people.read_text(encoding="utf-8").strip():
        text = (project.root / SIMULATED_GOLD).read_text(encoding="utf-8")
        write_text_atomic(people, text)
