"""`IterationManager`: create, run, inspect, archive and delete iterations.

Everything it knows is derived from files (configuration, DVC outputs, registry) and from jobs; it
keeps no state of its own, so it can be thrown away and made again at any moment.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsloop.config.params import (
    configure,
    preview,
    read_iterations,
    read_params,
)
from tsloop.config.pipeline import IterationSpec, base_model_of
from tsloop.errors import IterationError, IterationNotFoundError
from tsloop.execution.dvc_command import dvc_environment, run_dvc
from tsloop.files import read_json
from tsloop.loop.archive import (
    forget_outputs,
    half_archived,
    tag_iteration,
    track_outputs,
)
from tsloop.loop.changes import change_iterations, changing
from tsloop.loop.facts import ProjectView, gather_facts, new_labels_wait
from tsloop.loop.garbage import Garbage, collect_garbage, find_garbage
from tsloop.loop.states import IterationFacts, State, check_transition, derive_state, missing_for
from tsloop.project import BASE, Project

if TYPE_CHECKING:
    from tsloop.loop.inference import Reading
    from tsloop.series.validate import Repair

__all__ = [
    "Iteration",
    "IterationManager",
    "Metrics",
    "Result",
    "TrainConfig",
]

_NAME = re.compile(r"it\d{3,}")

Metrics = dict[str, dict[str, float]]
"""Variant → metric → value, as `dvc metrics show` prints it."""


@dataclass(frozen=True, slots=True)
class Iteration:
    """One iteration and where it stands."""

    name: str
    parent: str
    base_model: str
    """What its primary variant was fine-tuned from: ``it002/chatts``, or the base: ``embedded``."""
    state: State
    failure: str = ""
    archived: bool = False
    metrics: Metrics = field(default_factory=dict)
    published: bool = False
    """What it published belongs to its labels, models and settings of today."""
    n_labelled: int | None = None
    """Series that it learned from, its parents' included; ``None`` before its snapshot."""


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
    repairs: tuple[Repair, ...] = ()


class IterationManager:
    """The Python API of the loop; the command line and the notebooks use it alike."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def list_iterations(self) -> list[Iteration]:
        """All iterations, oldest first."""
        view = ProjectView(self.project)
        return [self._describe(spec, view) for spec in view.specs.values()]

    def show(self, iteration_id: str) -> Iteration:
        """One iteration, also an archived one."""
        return self._describe(self._spec(iteration_id))

    def create_iteration(self, name: str = "", base_model: str = "") -> Iteration:
        """Add an iteration on top of ``base_model``: an iteration, or ``base`` for the first.

        Without a name it is numbered; without a base model it builds on the newest iteration.
        Iterations that others build on keep their configuration from now on.
        """
        with changing(self.project, f"create {name or 'an iteration'}"):
            iterations = read_iterations(self.project)
            name = name or self._next_name(iterations)
            if not _NAME.fullmatch(name):
                raise IterationError(f"{name!r} is not an iteration name; use it001, it002, …")
            if name in iterations:
                raise IterationError(
                    f"Iteration {name} exists already.",
                    hint="Leave the name out to get the next one.",
                )
            parent = base_model or next(reversed(iterations), BASE)
            if parent != BASE and parent not in iterations:
                raise IterationNotFoundError(
                    f"Base model {parent!r} is no iteration of this project; it has "
                    f"{[*iterations] or 'none'}.",
                    hint=f"Name an iteration, or {BASE!r}.",
                )
            change_iterations(self.project, {**iterations, name: IterationSpec(name, parent)})
        return self.show(name)

    def delete(self, iteration_id: str) -> None:
        """Remove a leaf that is neither champion nor challenger; its human journal stays."""
        with changing(self.project, f"delete {iteration_id}"):
            self._check_deletable(iteration_id)
            iterations = read_iterations(self.project)
            del iterations[iteration_id]
            forget_outputs(self.project, iteration_id)
            change_iterations(self.project, iterations)

    def _check_deletable(self, iteration_id: str) -> None:
        from tsloop.tracking.promotions import current_challenger, current_champion

        self._spec(iteration_id)
        iterations = read_iterations(self.project)
        children = [name for name, spec in iterations.items() if spec.parent == iteration_id]
        if children:
            verb = "builds" if len(children) == 1 else "build"
            raise IterationError(f"{iteration_id} cannot go: {', '.join(children)} {verb} on it.")
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

    def archive(self, keep: int | None = None) -> list[str]:
        """Take all but the newest ``keep`` iterations out of the DVC graph; returns their names.

        Their outputs stay tracked (``archive/<it>.dvc``), and a git tag reproduces them.
        """
        with changing(self.project, "archive"):
            iterations = read_iterations(self.project)
            params = read_params(self.project)
            for name in self._old(iterations, params, keep):
                tag_iteration(self.project, name)
                fits = [fit for fit in params["fits"].values() if fit["iteration"] == name]
                variants = tuple(fit["variant"] for fit in fits)
                iterations[name] = replace(iterations[name], archived=True, variants=variants)
            # Out of the graph first: no file may be an output of a stage and tracked as well.
            change_iterations(self.project, iterations)
            archived = [name for name, spec in iterations.items() if spec.archived]
            done = half_archived(self.project, archived)
            for name in done:
                track_outputs(self.project, name)
        return done

    def _old(
        self, iterations: Mapping[str, IterationSpec], params: Mapping[str, Any], keep: int | None
    ) -> list[str]:
        """The live iterations but the newest ``keep``, all of which must be published."""
        live = [name for name, spec in iterations.items() if not spec.archived]
        count = params["loop"]["live_iterations"] if keep is None else keep
        if count < 1:
            raise IterationError(f"keep is {count}; at least one iteration must stay live.")
        for name in live[:-count]:
            if not self.project.registry(name).exists():
                raise IterationError(
                    f"{name} is not published, so there is nothing to archive yet.",
                    hint="Run `dvc repro` first.",
                )
        return live[:-count]

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
        with changing(self.project, f"configure {iteration_id} for training"):
            self._check_trainable(iteration_id, settings)
            if settings.overrides:
                configure(self.project, settings.overrides)
        params = read_params(self.project)
        fits = [fit for fit in params["fits"].values() if fit["iteration"] == iteration_id]
        known = tuple(fit["variant"] for fit in fits)
        variants = settings.variants or known
        if not set(variants) <= set(known):
            raise IterationError(f"{iteration_id} has the variants {[*known]}, not {[*variants]}.")
        targets = [f"fit@{iteration_id}-{variant}" for variant in variants]
        executor = build_executor(self.project.root, section(params, "executor"))
        return executor.submit(
            [sys.executable, "-m", "tsloop.cli", "repro", *targets],
            name=f"train {iteration_id}",
            cwd=self.project.root,
            env=dvc_environment(),
            key=f"train {iteration_id}",
        )

    def _check_trainable(self, iteration_id: str, settings: TrainConfig) -> None:
        """Before anything is stored: a refusal must leave the project as it was."""
        facts = gather_facts(self.project, self._spec(iteration_id))
        current, _ = derive_state(facts)
        changed = preview(self.project, settings.overrides) if settings.overrides else []
        if facts.has_data and any(
            line.startswith((f"fits.{iteration_id}-", f"datasets.{iteration_id}."))
            for line in changed
        ):
            current = State.DATA_READY  # what was trained before will no longer count
        check_transition(
            current,
            State.TRAINING,
            "training reads the labels of the iteration",
            missing=missing_for(State.TRAINING, facts),
            who=iteration_id,
            command=self._instead_of_training(iteration_id, facts),
        )

    def _instead_of_training(self, iteration_id: str, facts: IterationFacts) -> str:
        """What to type where an iteration cannot be trained now."""
        if facts.fit_job_running or facts.predict_job_running:
            return "Wait for what is running, or see: tsloop jobs list"
        if not facts.has_data:
            return f"Run: dvc repro dataset@{iteration_id}"
        if any(spec.parent == iteration_id for spec in read_iterations(self.project).values()):
            return (
                "Others build on it, so it stays as it is. Make a new one: tsloop iteration create"
            )
        return (
            "It is trained already. Train it again with another setting: tsloop iteration train "
            f"{iteration_id} KEY=VALUE"
        )

    def run_inference(
        self,
        iteration_id: str,
        data_path: Path,
        variant: str = "",
        *,
        how: Reading | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> list[Result]:
        """Run an iteration's model (or that of ``base``) over a file, or a folder of them.

        ``how`` says how to read them; default: as the project reads its own data. A series that
        cannot be read or scored is a `Result` with status ``failed`` and the reason.
        """
        from tsloop.detectors.files import load_detector
        from tsloop.loop.inference import NewData, detect_new, reading

        if iteration_id != BASE:
            self._spec(iteration_id)
        chosen = variant or read_params(self.project)["loop"]["primary"]
        detector = load_detector(self.project.model(iteration_id, chosen))
        data = NewData(data_path, how or reading(self.project))
        return [
            Result(
                found.new.id,
                str(found.detection.status),
                found.detection.intervals,
                found.detection.reason,
                found.new.repairs,
            )
            for found in detect_new(data, detector, progress or (lambda *_: None))
        ]

    def get_iteration_metrics(self, iteration_id: str) -> Metrics:
        """Metrics on gold per variant; empty where the iteration was not evaluated yet."""
        self._spec(iteration_id)
        return self._metrics(iteration_id)

    def find_garbage(self, keep: int) -> Garbage:
        """What `collect_garbage` would delete, and why older iterations keep what they have."""
        return find_garbage(self.project, keep)

    def collect_garbage(self, keep: int, *, dry_run: bool = False) -> list[str]:
        """Delete weights, predictions and datasets of old iterations: `tsloop.loop.garbage`."""
        return collect_garbage(self.project, keep, dry_run=dry_run)

    def repro(self, targets: Sequence[str] = ()) -> None:
        """`dvc repro` in the foreground, under the project lock."""
        self._repro(targets)

    def _repro(self, targets: Sequence[str]) -> None:
        from tsloop.execution.guard import project_lock

        with project_lock(self.project.root, " ".join(["dvc repro", *targets])):
            run_dvc(self.project.root, "repro", *targets)

    def _metrics(self, iteration_id: str) -> Metrics:
        path = self.project.root / "reports" / "metrics" / f"{iteration_id}.json"
        metrics: Metrics = read_json(path) if path.exists() else {}
        return metrics

    def _base_model(self, name: str, params: Mapping[str, Any]) -> str:
        record = self.project.registry(name)
        if name not in params["evaluations"] and record.exists():  # archived
            params = {"bases": {}, **read_json(record)["config"]}
        primary = params.get("evaluations", {}).get(name, {}).get("primary")
        fit = params.get("fits", {}).get(f"{name}-{primary}")
        return base_model_of(fit, params["bases"]) if fit else ""

    def _describe(self, spec: IterationSpec, view: ProjectView | None = None) -> Iteration:
        view = view or ProjectView(self.project)
        facts = gather_facts(self.project, spec, view)
        state, failure = derive_state(facts)
        return Iteration(
            spec.name,
            spec.parent,
            self._base_model(spec.name, view.params),
            state,
            failure or "",
            spec.archived,
            self._metrics(spec.name),
            facts.published,
            self._n_labelled(spec.name),
        )

    def _n_labelled(self, name: str) -> int | None:
        path = self.project.snapshot(name) / "snapshot.json"
        return int(read_json(path)["n_series"]) if path.exists() else None

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
        view = ProjectView(self.project)
        waiting = new_labels_wait(view, iteration_id)
        if iteration_id in view.params["datasets"] and not waiting:
            return
        if not waiting:
            raise IterationError(
                f"{iteration_id} has no labels yet: data/labels/{iteration_id}.jsonl is missing.",
                hint=f"Label its series first: tsloop labels template {iteration_id}",
            )
        with changing(self.project, f"open {iteration_id}"):
            configure(self.project)

    @staticmethod
    def _next_name(iterations: dict[str, IterationSpec]) -> str:
        numbers = [int(name[2:]) for name in iterations if _NAME.fullmatch(name)]
        return f"it{max(numbers, default=0) + 1:03d}"
