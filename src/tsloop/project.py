"""Where everything of a project lies. The only place that knows the directory names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsloop.errors import ProjectError
from tsloop.names import check_name

__all__ = ["BASE", "Project", "find_project"]

BASE = "base"
"""Name of the state before the first labels: the parent of the first iteration."""


@dataclass(frozen=True, slots=True)
class Project:
    """Paths of one project; ``root`` is the directory that holds ``dvc.yaml`` and ``conf``.

    No path leaves the project: a name that is none (``../x``) is a `ConfigError`.
    """

    root: Path

    @property
    def conf(self) -> Path:
        """Hydra configuration: what people choose."""
        return self.root / "conf"

    @property
    def params(self) -> Path:
        """The composed configuration that DVC and the stages read."""
        return self.root / "params.yaml"

    @property
    def raw(self) -> Path:
        """Series as the source gave them."""
        return self.root / "data" / "raw"

    @property
    def series(self) -> Path:
        """Validated series, reduced views, thumbnails."""
        return self.root / "data" / "series"

    @property
    def truth(self) -> Path:
        """The source's own truth, read by simulated annotators only."""
        return self.root / "data" / "truth"

    def labels(self, iteration: str) -> Path:
        """Human journal of an iteration (``gold`` for the gold file): an input, kept in git."""
        return self.root / "data" / "labels" / f"{_it(iteration)}.jsonl"

    def second(self, iteration: str) -> Path:
        """Journal of a second person, who labelled series of an iteration without seeing its."""
        return self.root / "data" / "labels" / f"{_it(iteration)}.second.jsonl"

    def simulated(self, iteration: str) -> Path:
        """Journal of a simulated annotator: a stage output."""
        return self.root / "data" / "simulated" / f"{_it(iteration)}.jsonl"

    def snapshot(self, iteration: str) -> Path:
        """All labels up to and with an iteration."""
        return self.root / "data" / "snapshots" / _it(iteration)

    def dataset(self, iteration: str) -> Path:
        """Training and validation examples of an iteration."""
        return self.root / "data" / "datasets" / _it(iteration)

    def model(self, iteration: str, variant: str) -> Path:
        """A fitted detector; iteration ``base`` is the one that no label has touched."""
        return self.root / "models" / _it(iteration) / check_name(variant, "The variant")

    def predictions(self, iteration: str, variant: str) -> Path:
        """Detections and scores of every series."""
        place = self.root / "data" / "predictions" / _it(iteration)
        return place / check_name(variant, "The variant")

    def report(self, iteration: str) -> Path:
        """Metrics, scorecard and the HTML report."""
        return self.root / "reports" / _it(iteration)

    def queue(self, iteration: str) -> Path:
        """What to review after an iteration, and why."""
        return self.root / "data" / "queues" / f"{_it(iteration)}.jsonl"

    def registry(self, iteration: str) -> Path:
        """What an iteration published: hashes, metrics, verdict."""
        return self.root / "registry" / f"{_it(iteration)}.json"

    @property
    def promotions(self) -> Path:
        """Append-only history of champions."""
        return self.root / "registry" / "promotions.jsonl"

    def promoted(self, sha256: str) -> Path:
        """A promoted model, named by its content: what is served. No stage writes there."""
        return self.root / "registry" / "models" / sha256[:16]

    @property
    def sweeps(self) -> Path:
        """Results of multirun sweeps, one file a job."""
        return self.root / "sweeps"

    @property
    def local(self) -> Path:
        """State of this machine, never in git: jobs, locks, the MLflow store."""
        return self.root / ".tsloop"

    def checkpoints(self, iteration: str, variant: str) -> Path:
        """What a fit that was killed goes on from; gone when its model is written."""
        return self.local / "checkpoints" / f"{_it(iteration)}-{variant}"

    def relative(self, path: Path) -> str:
        """A path as ``params.yaml`` and messages show it: relative to the project, with ``/``."""
        return path.resolve().relative_to(self.root.resolve()).as_posix()


def _it(name: str) -> str:
    return check_name(name, "The iteration")


def find_project(start: Path | None = None) -> Project:
    """The project that ``start`` (default: the working directory) lies in."""
    here = (start or Path.cwd()).resolve()
    for directory in (here, *here.parents):
        if (directory / "dvc.yaml").is_file() and (directory / "conf" / "config.yaml").is_file():
            return Project(directory)
    raise ProjectError(
        f"{here} is not inside a tsloop project (no directory with dvc.yaml and conf/config.yaml).",
        hint="Make one with: tsloop init DIR",
    )
