"""How long a `dvc repro` takes that has nothing to do, in a project of many iterations.

Makes a tiny project with 30 iterations, 25 of them archived, and two variants, then runs
`dvc repro` five times::

    python benchmarks/noop_repro.py [--iterations 30] [--live 5] [--keep DIRECTORY]

The stages that make the project run in this process (`tests/project_tools.py`), which takes a few
minutes; DVC records them as it would have run them. ``--keep`` leaves the project there, and uses
one that is there already.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from project_tools import (
    commit,
    dvc,
    make_project,
    run_stages,
    set_environment,
    stages_in_order,
    tsloop,
)
from tsloop.loop.manager import IterationManager
from tsloop.project import Project

REPEATS = 5
GOAL_S = 10.0


def make(directory: Path, iterations: int, live: int) -> Project:
    """A project with so many iterations, all but ``live`` of them archived."""
    project = make_project(
        directory,
        "+detector@variants.second=knn",
        "variants.second.neighbours=3",
        "source.units=9",
        "annotator.budget=2",
        iterations=1,
    )
    steward = IterationManager(project)
    run_stages(project, *stages_in_order(project))
    while len(steward.list_iterations()) < iterations:
        name = steward.create_iteration().name
        run_stages(project, *(s for s in stages_in_order(project) if name in s))
        commit(project.root, name)
        if len(steward.list_iterations()) > live:
            steward.archive(keep=live)
            commit(project.root, "archive")
        print(f"\r{name}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return project


def measure(root: Path) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of each `dvc repro`; fails where one of them runs a stage."""
    walls, cpus = [], []
    for _ in range(REPEATS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        said = dvc(root, "repro").stdout
        walls.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if "Data and pipelines are up to date" not in said:
            raise SystemExit(f"It was not a no-op:\n{said}")
    return walls, cpus


def main(argv: Sequence[str] | None = None) -> int:
    """Make the project, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--live", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tsloop-noop-") as scratch:
        set_environment(os.environ.__setitem__, Path(scratch) / "home")
        place = arguments.keep or Path(scratch) / "project"
        if (place / "dvc.lock").exists():
            project = Project(place)
        else:
            project = make(place, arguments.iterations, arguments.live)
        known = IterationManager(project).list_iterations()
        archived = sum(iteration.archived for iteration in known)
        dvc(project.root, "repro")  # DVC's own state of the files
        walls, cpus = measure(project.root)
        shown = tsloop(project.root, "iteration", "show", known[0].name).stdout.splitlines()[0]
    median = statistics.median(walls)
    print(f"{len(known)} iterations, {archived} archived; oldest: {shown}")
    print("wall seconds: " + " ".join(f"{wall:.2f}" for wall in walls))
    print(f"median {median:.2f} s wall, {statistics.median(cpus):.2f} s CPU (goal {GOAL_S:.0f} s)")
    return int(median > GOAL_S)


if __name__ == "__main__":
    raise SystemExit(main())
