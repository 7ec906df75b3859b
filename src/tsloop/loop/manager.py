"""`IterationManager`: create, run, inspect, archive and delete iterations.

Everything it knows is derived from files (configuration, DVC outputs, registry) and from jobs; it
keeps no state of its own, so it can be thrown away and made again at any moment.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tsloop.config.params import (
    check_drift,
    configure,
    read_iterations,
    read_params,
    write_iterations,
)
from tsloop.config.pipeline import IterationSpec
from tsloop.errors import IterationError, IterationNotFoundError
from tsloop.files import read_json
from tsloop.loop.archive import (
    doomed_outputs,
    forget_outputs,
    half_archived,
    tag_iteration,
    track_outputs,
)
from tsloop.loop.facts import gather_facts
from tsloop.loop.states import State, check_transition, derive_state
from tsloop.project import BASE, Project

__all__ = ["Iteration", "IterationManager", "Metrics", "Result", "TrainConfig", "dvc_environment"]

_NAME = re.compile(r"it\d{3,}")

Metrics = dict[str, dict[str, float]]
"""Variant → metric → value, as `dvc metrics show` prints it."""


@dataclass(frozen=True, slots=True)
class Iteration:
    """One iteration and where it stands."""

    name: str
    parent: str
    base_model: str
    state: State
    failure: str = ""
    archived: bool = False
    metrics: Metrics = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What `IterationManager.start_training` may change: Hydra overrides, and which variants."""

    overrides: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a model says of one series of new data."""

    series_id: str
    status: str
    intervals: tuple[Any, ...]
    reason: str


class IterationManager:
    """The Python API of the loop; the command line and the notebooks use it alike."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def list_iterations(self) -> list[Iteration]:
        """All iterations, oldest first."""
        return [self._describe(spec) for spec in read_iterations(self.project).values()]

    def show(self, iteration_id: str) -> Iteration:
        """One iteration, also an archived one."""
        return self._describe(self._spec(iteration_id))

    def create_iteration(self, name: str = "", base_model: str = "") -> Iteration:
        """Add an iteration on top of ``base_model``: an iteration, or ``base`` for the first.

        Without a name it is numbered; without a base model it builds on the newest iteration.
        Iterations that others build on keep their configuration from now on.
        """
        iterations = read_iterations(self.project)
        name = name or self._next_name(iterations)
        if not _NAME.fullmatch(name):
            raise IterationError(f"{name!r} is not an iteration name; use it001, it002, …")
        if name in iterations:
            raise IterationError(
                f"Iteration {name} exists already.", hint="Leave the name out to get the next one."
            )
        parent = base_model or next(reversed(iterations), BASE)
        if parent != BASE and parent not in iterations:
            raise IterationNotFoundError(
                f"Base model {parent!r} is no iteration of this project; it has "
                f"{[*iterations] or 'none'}.",
                hint=f"Name an iteration, or {BASE!r}.",
            )
        with self._changing(f"create {name}"):
            self._change({**iterations, name: IterationSpec(name, parent)})
        return self.show(name)

    def delete(self, iteration_id: str) -> None:
        """Remove a leaf that is neither champion nor challenger; its human journal stays."""
        from tsloop.tracking.promotions import current_challenger, current_champion

        iterations = read_iterations(self.project)
        self._spec(iteration_id)
        children = [name for name, spec in iterations.items() if spec.parent == iteration_id]
        if children:
            raise IterationError(f"{iteration_id} cannot go: {', '.join(children)} build on it.")
        for role, holder, hint in (
            (
                "champion",
                current_champion(self.project.root),
                "Promote another model, or `tsloop rollback`, first.",
            ),
            (
                "challenger",
                current_challenger(self.project.root),
                "It no longer is when a newer iteration is published.",
            ),
        ):
            if holder and holder.split("/")[0] == iteration_id:
                raise IterationError(
                    f"{iteration_id} cannot go: {holder} is the {role}.", hint=hint
                )
        remaining = {name: spec for name, spec in iterations.items() if name != iteration_id}
        with self._changing(f"delete {iteration_id}"):
            forget_outputs(self.project, iteration_id)
            self._change(remaining)

    def archive(self, keep: int | None = None) -> list[str]:
        """Take all but the newest ``keep`` iterations out of the DVC graph; returns their names.

        Their outputs stay tracked (``archive/<it>.dvc``), and a git tag reproduces them.
        """
        iterations = read_iterations(self.project)
        params = read_params(self.project)
        live = [name for name, spec in iterations.items() if not spec.archived]
        count = params["loop"]["live_iterations"] if keep is None else keep
        if count < 1:
            raise IterationError(f"keep is {count}; at least one iteration must stay live.")
        old = live[:-count]
        for name in old:
            if not self.project.registry(name).exists():
                raise IterationError(
                    f"{name} is not published, so there is nothing to archive yet.",
                    hint="Run `dvc repro` first.",
                )
        with self._changing("archive"):
            for name in old:
                tag_iteration(self.project, name)
                fits = [fit for fit in params["fits"].values() if fit["iteration"] == name]
                variants = tuple(fit["variant"] for fit in fits)
                iterations[name] = replace(iterations[name], archived=True, variants=variants)
            # Out of the graph first: no file may be an output of a stage and tracked as well.
            self._change(iterations)
            archived = [name for name, spec in iterations.items() if spec.archived]
            done = half_archived(self.project, archived)
            for name in done:
                track_outputs(self.project, name)
        return done

    def prepare_training_data(self, iteration_id: str) -> Path:
        """Bring snapshot and dataset up to date; returns the dataset's directory."""
        self._open(iteration_id)
        self._repro([f"dataset@{iteration_id}"])
        return self.project.dataset(iteration_id)

    def start_training(self, iteration_id: str, config: TrainConfig | None = None) -> str:
        """Start fine-tuning in the background; returns the job id for `tsloop jobs`."""
        from tsloop.config.schema import section
        from tsloop.execution import build_executor

        settings = config or TrainConfig()
        self._open(iteration_id)
        current = self.show(iteration_id).state
        if settings.overrides:
            with self._changing(f"configure {iteration_id}"):
                changed = configure(self.project, settings.overrides)
            if any(line.startswith(f"fits.{iteration_id}-") for line in changed):
                current = State.DATA_READY  # what was trained before no longer counts
        check_transition(current, State.TRAINING, "training reads the labels of the iteration")
        params = read_params(self.project)
        variants = settings.variants or tuple(
            entry["variant"]
            for entry in params["fits"].values()
            if entry["iteration"] == iteration_id
        )
        targets = [f"fit@{iteration_id}-{variant}" for variant in variants]
        executor = build_executor(self.project.root, section(params, "executor"))
        return executor.submit(
            [sys.executable, "-m", "tsloop.cli", "repro", *targets],
            name=f"train {iteration_id}",
            cwd=self.project.root,
            env=dvc_environment(),
            key=f"train {iteration_id}",
        )

    def run_inference(self, iteration_id: str, data_path: Path, variant: str = "") -> list[Result]:
        """Run an iteration's model (or that of ``base``) over a CSV file or a folder of them."""
        from tsloop.detectors.files import load_detector
        from tsloop.loop.inference import read_series

        if iteration_id != BASE:
            self._spec(iteration_id)
        chosen = variant or read_params(self.project)["loop"]["primary"]
        detector = load_detector(self.project.model(iteration_id, chosen))
        results = []
        for series in read_series(data_path):
            found = detector.detect(series)
            results.append(Result(series.id, str(found.status), found.intervals, found.reason))
        return results

    def get_iteration_metrics(self, iteration_id: str) -> Metrics:
        """Metrics on gold per variant; empty where the iteration was not evaluated yet."""
        self._spec(iteration_id)
        path = self.project.root / "reports" / "metrics" / f"{iteration_id}.json"
        metrics: Metrics = read_json(path) if path.exists() else {}
        return metrics

    def collect_garbage(self, keep: int, *, dry_run: bool = False) -> list[str]:
        """Delete weights and predictions of archived iterations but the newest ``keep`` of them.

        Labels, snapshots, reports, every iteration that was ever champion, and parents of live
        iterations stay. Of the copies in ``registry/models``, old ones that nobody serves go too.
        """
        from tsloop.tracking.promotions import collect_models, ever_champion

        iterations = read_iterations(self.project)
        doomed = doomed_outputs(
            self.project, iterations, keep, protected=ever_champion(self.project.root)
        )
        if not dry_run:
            with self._changing("gc"):
                for name, directories in doomed.items():
                    forget_outputs(self.project, name, weights_only=True)
                    for directory in directories:
                        shutil.rmtree(directory)
        doomed["registry"] = collect_models(self.project.root, keep, dry_run=dry_run)
        return [self.project.relative(path) for paths in doomed.values() for path in paths]

    def repro(self, targets: Sequence[str] = ()) -> None:
        """`dvc repro` in the foreground, under the project lock."""
        self._repro(targets)

    def _repro(self, targets: Sequence[str]) -> None:
        from tsloop.execution.guard import project_lock

        what = " ".join(["dvc repro", *targets])
        with project_lock(self.project.root, what):
            done = subprocess.run(
                [sys.executable, "-m", "dvc", "repro", *targets],
                cwd=self.project.root,
                env=dvc_environment(),
                check=False,
            )
        if done.returncode:
            raise IterationError(
                f"{what} ended with exit code {done.returncode}.",
                hint="The stage's own message is above; after mending it run `dvc repro` again.",
            )

    def _describe(self, spec: IterationSpec) -> Iteration:
        state, failure = derive_state(gather_facts(self.project, spec))
        return Iteration(
            spec.name,
            spec.parent,
            spec.base_model,
            state,
            failure or "",
            spec.archived,
            self.get_iteration_metrics(spec.name),
        )

    def _spec(self, iteration_id: str) -> IterationSpec:
        iterations = read_iterations(self.project)
        if iteration_id not in iterations:
            raise IterationNotFoundError(
                f"No iteration {iteration_id!r}; this project has {[*iterations] or 'none'}.",
                hint="Make one with: tsloop iteration create",
            )
        return iterations[iteration_id]

    def _live(self, iteration_id: str) -> IterationSpec:
        spec = self._spec(iteration_id)
        if spec.archived:
            raise IterationError(
                f"{iteration_id} is archived and does not run any more.",
                hint=f"`git checkout tsloop/{iteration_id}` has the state that reproduces it.",
            )
        return spec

    def _open(self, iteration_id: str) -> None:
        """Let the stages of an iteration exist whose labels people have made meanwhile."""
        self._live(iteration_id)
        if iteration_id in read_params(self.project)["datasets"]:
            return
        if not self.project.labels(iteration_id).exists():
            raise IterationError(
                f"{iteration_id} has no labels yet: data/labels/{iteration_id}.jsonl is missing.",
                hint="Label its series first.",
            )
        with self._changing(f"open {iteration_id}"):
            configure(self.project)

    @contextlib.contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        """Nobody else runs or changes the project, and ``params.yaml`` is as ``conf/`` says."""
        from tsloop.execution.guard import project_lock

        with project_lock(self.project.root, what):
            check_drift(self.project)
            yield

    def _change(self, iterations: dict[str, IterationSpec]) -> None:
        before = read_iterations(self.project)
        write_iterations(self.project, iterations)
        try:
            configure(self.project)
        except BaseException:
            write_iterations(self.project, before)
            raise

    @staticmethod
    def _next_name(iterations: dict[str, IterationSpec]) -> str:
        numbers = [int(name[2:]) for name in iterations if _NAME.fullmatch(name)]
        return f"it{max(numbers, default=0) + 1:03d}"


def dvc_environment() -> dict[str, str]:
    """The environment for a DVC process: its stages must find this interpreter as ``python``."""
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", "")]
    )
    environment.setdefault("PYTHONHASHSEED", "0")
    return environment
