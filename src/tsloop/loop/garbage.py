"""Free the space that old iterations take: what may go, why the rest stays, and DVC's cache."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tsloop.config.params import read_iterations
from tsloop.config.pipeline import IterationSpec
from tsloop.errors import IterationError
from tsloop.execution.dvc_command import run_dvc
from tsloop.loop.archive import WEIGHTS, forget_outputs
from tsloop.loop.changes import changing
from tsloop.project import Project

__all__ = [
    "CACHE_SCOPE",
    "Garbage",
    "collect_cache",
    "collect_garbage",
    "find_garbage",
    "plan_garbage",
]

CACHE_SCOPE = ("--workspace", "--all-branches", "--all-experiments")
"""What `dvc gc` keeps: not the tags of archived iterations, which reproduce by running again."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What garbage collection may take, and why the rest of what is old stays."""

    doomed: Mapping[str, tuple[Path, ...]]
    """Iteration → directories of weights, predictions and datasets that are there."""
    kept: Mapping[str, str]
    """Iteration older than the newest ones → why it keeps its weights."""

    @property
    def directories(self) -> list[Path]:
        """All that goes, oldest iteration first."""
        return [directory for found in self.doomed.values() for directory in found]

    @property
    def size(self) -> int:
        """Bytes of what goes, in the work tree."""
        files = (file for place in self.directories for file in place.rglob("*"))
        return sum(file.stat().st_size for file in files if file.is_file())


def plan_garbage(
    project: Project,
    iterations: Mapping[str, IterationSpec],
    keep: int,
    protected: Mapping[str, str],
) -> Garbage:
    """Weights, predictions and datasets of all but the newest ``keep`` iterations.

    Live iterations, parents of live ones and ``protected`` (iteration → why) stay.
    """
    if keep < 0:
        raise IterationError(f"keep is {keep}.", hint="It must be 0 or more.")
    children = {
        name: [c for c, spec in iterations.items() if spec.parent == name and not spec.archived]
        for name in iterations
    }
    doomed: dict[str, tuple[Path, ...]] = {}
    kept: dict[str, str] = {}
    for name in list(iterations)[: max(0, len(iterations) - keep)]:
        if name in protected:
            kept[name] = protected[name]
        elif children[name]:
            kept[name] = f"{', '.join(children[name])} builds on it and is live"
        elif not iterations[name].archived:
            kept[name] = "it is live, so `dvc repro` would make it again"
        else:
            places = [project.root / place / name for place in WEIGHTS]
            doomed[name] = tuple(place for place in places if place.exists())
    return Garbage({name: found for name, found in doomed.items() if found}, kept)


def find_garbage(project: Project, keep: int) -> Garbage:
    """What `collect_garbage` would delete, and why older iterations keep what they have."""
    from tsloop.tracking.promotions import current_challenger, current_champion, ever_champion

    protected = dict.fromkeys(ever_champion(project.root), "it was champion")
    for key, why in (
        (current_challenger(project.root), "it has the challenger"),
        (current_champion(project.root), "it has the champion"),
    ):
        if key:
            protected[key.partition("/")[0]] = why
    return plan_garbage(project, read_iterations(project), keep, protected)


def collect_garbage(project: Project, keep: int, *, dry_run: bool = False) -> list[str]:
    """Delete weights, predictions and datasets of archived iterations but the newest ``keep``.

    ``keep`` counts all iterations, live ones too. Labels, snapshots and reports stay, and so
    does every iteration that is live, that a live one builds on, that has the challenger or
    was ever champion. Of the copies in ``registry/models``, old ones that nobody serves go
    too. DVC's cache is left alone: see `collect_cache`. Returns what went, relative to the project.
    """
    from tsloop.tracking.promotions import collect_models

    garbage = find_garbage(project, keep)
    if not dry_run:
        with changing(project, "gc"):
            garbage = find_garbage(project, keep)
            for name, directories in garbage.doomed.items():
                forget_outputs(project, name, weights_only=True)
                for directory in directories:
                    shutil.rmtree(directory)
    copies = collect_models(project.root, keep, dry_run=dry_run)
    return [project.relative(path) for path in (*garbage.directories, *copies)]


def collect_cache(project: Project) -> None:
    """Let DVC drop from its cache what no branch, experiment or present file refers to.

    Refused while the change of `collect_garbage` is not committed: the last commit would
    still refer to what is to go.
    """
    from tsloop.execution.guard import project_lock

    done = subprocess.run(
        ["git", "status", "--porcelain", "--", "dvc.lock", "archive"],
        cwd=project.root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or done.stdout.strip():
        raise IterationError(
            "dvc.lock or archive/ is not committed, so the cache is still referred to.",
            hint="Commit, then run: tsloop gc --keep N --cache",
        )
    with project_lock(project.root, "dvc gc"):
        run_dvc(project.root, "gc", *CACHE_SCOPE, "--force")
