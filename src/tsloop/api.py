"""The loop from a notebook: `IterationManager`, and one thin adapter for each thing it moves.

`IterationManager` creates, trains and inspects iterations. The adapters say where labels, training
data, detections and models come from and go to, so that a program of your own (an annotation tool,
a trainer, a service) needs no other module. ``docs/api.md`` shows them at work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsloop.annotations.journal import latest, read_journal, write_journal
from tsloop.annotations.record import DRAFT, AnnotationRecord
from tsloop.config.params import read_iterations, read_params
from tsloop.errors import AnnotationError, DetectorError, IterationError, IterationNotFoundError
from tsloop.files import read_jsonl
from tsloop.intervals import Basis, Interval, Status
from tsloop.loop.manager import Iteration, IterationManager, Result, TrainConfig
from tsloop.loop.queues import QueueItem, read_queue
from tsloop.project import BASE, Project, find_project

if TYPE_CHECKING:
    from tsloop.detectors.base import Detector

__all__ = [
    "AnnotationAdapter",
    "AnnotationRecord",
    "InferenceAdapter",
    "Interval",
    "Iteration",
    "IterationManager",
    "ModelAdapter",
    "Project",
    "QueueItem",
    "Result",
    "TrainConfig",
    "TrainingDataAdapter",
    "find_project",
]

GOLD = "gold"

_DRAFT = (
    "Look at the series, correct result and intervals, delete this key. "
    'No anomaly: "result": "none", "intervals": []'
)

_AGAIN = "Labelled already, but please look again; delete this key if you did, or the line if not."


class AnnotationAdapter:
    """Labels in and out: what to label, and what was said. The border to annotation tools."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def queue(self, iteration: str) -> list[QueueItem]:
        """What to label for an iteration, most useful first, with proposals to correct.

        It is what the iteration builds on that asks: the queue of its parent.
        """
        path = self.project.queue(_spec(self.project, iteration).parent)
        if not path.exists():
            raise IterationError(
                f"Nothing was asked for {iteration} yet: {self.project.relative(path)} is missing.",
                hint="Run `dvc repro` first.",
            )
        return read_queue(path)

    def draft(self, iteration: str, author: str = "") -> list[dict[str, Any]]:
        """The queue as rows of a journal to edit: proposals to correct, hash and rows filled in.

        Each has the key ``draft``, and no journal takes it before that key is deleted. Intervals
        that stay as they were proposed have the basis ``accepted``.
        """
        if _is_closed(self.project, iteration):
            raise _closed(iteration)
        rows = []
        held = self._held(iteration)
        for item in self.queue(iteration):
            if item.revision:
                rows.append(self._again(item, held, author))
                continue
            proposed = item.proposal.intervals if item.proposal is not None else ()
            kept = [Interval(i.start, i.end, i.label, basis=Basis.ACCEPTED) for i in proposed]
            more = {"author": author, "queue": item.to_dict()}
            row = self.record(item.series_id, kept, **more).to_dict()
            first = {key: row[key] for key in ("series_id", "result", "intervals")}
            rows.append({DRAFT: _DRAFT, **first, **row})
        return rows

    def _held(self, iteration: str) -> Mapping[str, AnnotationRecord]:
        """What is labelled before the iteration, by series."""
        from tsloop.annotations.snapshot import read_snapshot

        snapshot = self.project.snapshot(_spec(self.project, iteration).parent)
        return read_snapshot(snapshot).records if snapshot.is_dir() else {}

    def _again(
        self, item: QueueItem, held: Mapping[str, AnnotationRecord], author: str
    ) -> dict[str, Any]:
        """A labelled series to look at again: its record as the next revision."""
        from tsloop.loop.suspects.find import KINDS

        if item.series_id not in held:
            raise AnnotationError(
                f"The queue asks again for {item.series_id!r}, which is not labelled any more.",
                hint="Make the queue anew: dvc repro",
            )
        record = held[item.series_id]
        again = record.replace(
            revision=record.revision + 1, author=author, queue=item.to_dict(), time=""
        )
        row = again.to_dict()
        places = "; ".join(
            f"rows {s['start']} to {s['end']}: {KINDS[s['kind']]}" for s in item.suspects
        )
        first = {key: row[key] for key in ("series_id", "result", "intervals")}
        return {DRAFT: f"{_AGAIN} {places}", **first, **row}

    def record(
        self, series_id: str, intervals: Sequence[Interval] = (), **more: Any
    ) -> AnnotationRecord:
        """The judgement of a stored series: these intervals, or that there are none.

        ``more`` are other fields of `AnnotationRecord`: ``author``, ``comment``, ``revision``, …
        """
        from tsloop.series.store import SeriesStore
        from tsloop.stages.annotate import label_set_of

        entry = SeriesStore.open(self.project.series).entries.get(series_id)
        if entry is None:
            raise AnnotationError(f"The series store has no series {series_id!r}.")
        label_set = label_set_of(read_params(self.project))
        label_set.check(interval.label for interval in intervals)
        return AnnotationRecord(
            series_id,
            entry.sha256,
            entry.n_rows,
            Status.OK if intervals else Status.NONE,
            label_set.ref,
            tuple(intervals),
            **more,
        )

    def export_records(self, iteration: str) -> list[AnnotationRecord]:
        """What counts of an iteration's own labels (or of ``gold``): the latest of each series."""
        if iteration != GOLD:
            _spec(self.project, iteration)
        paths = (self.project.labels(iteration), self.project.simulated(iteration))
        path = next((path for path in paths if path.exists()), None)
        return list(latest(read_journal(path)).values()) if path else []

    def import_records(self, iteration: str, records: Iterable[AnnotationRecord]) -> Path:
        """Add people's labels to an iteration's journal; returns the journal.

        A correction has a higher ``revision``; two records of one series and revision that differ
        are refused, and nothing is written then. `IterationManager.prepare_training_data`, or
        `tsloop configure && dvc repro`, takes the labels in.
        """
        if iteration != GOLD and _is_closed(self.project, iteration):
            raise _closed(iteration)
        path = self.project.labels(iteration)
        old = read_journal(path) if path.exists() else []
        write_journal(path, [*old, *(record for record in records if record not in old)])
        return path


class TrainingDataAdapter:
    """Labels become training data: the frozen dataset of an iteration."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def prepare(self, iteration: str) -> Path:
        """Bring snapshot and dataset up to date with `dvc repro`; returns the directory."""
        return IterationManager(self.project).prepare_training_data(iteration)

    def finetune_rows(self, iteration: str) -> list[dict[str, Any]]:
        """The training set as ChatTS prompts and answers, for a trainer of your own."""
        return read_jsonl(self.project.dataset(iteration) / "finetune.jsonl")


class InferenceAdapter:
    """Detections in data from anywhere."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def run(self, iteration: str, path: Path | str, variant: str = "") -> list[Result]:
        """What a model says of a CSV or parquet file, or of a folder of them.

        ``failed`` is an answer of its own, with a reason; it is never "nothing found".
        """
        return IterationManager(self.project).run_inference(iteration, Path(path), variant)


class ModelAdapter:
    """Models: those that iterations published, the champion, and the detector behind a name."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def registered(self) -> list[str]:
        """All published models as ``iteration/variant``, oldest iteration first."""
        from tsloop.tracking.published import read_published

        published, _ = read_published(self.project)
        return [variant.key for item in published for variant in item.variants]

    def champion(self) -> str | None:
        """The champion as ``iteration/variant``, or None before the first promotion."""
        from tsloop.tracking.promotions import current_champion

        return current_champion(self.project.root)

    def load(self, model: str = "champion") -> Detector:
        """The detector of ``iteration/variant`` (``base/variant`` too) or of the champion."""
        from tsloop.detectors.files import load_detector

        key = self.champion() if model == "champion" else model
        if not key:
            raise DetectorError("There is no champion yet.", hint="Make one: tsloop promote it001")
        iteration, _, variant = key.partition("/")
        if iteration != BASE:
            _spec(self.project, iteration)
        variant = variant or read_params(self.project)["loop"]["primary"]
        return load_detector(self.project.model(iteration, variant))


def _spec(project: Project, iteration: str) -> Any:
    iterations = read_iterations(project)
    if iteration not in iterations:
        raise IterationNotFoundError(
            f"No iteration {iteration!r}; this project has {[*iterations] or 'none'}.",
            hint="Make one with: tsloop iteration create",
        )
    return iterations[iteration]


def _is_closed(project: Project, iteration: str) -> bool:
    """Archived, or published and built upon."""
    spec = _spec(project, iteration)
    parents = {other.parent for other in read_iterations(project).values()}
    return spec.archived or (iteration in parents and project.registry(iteration).exists())


def _closed(iteration: str) -> IterationError:
    return IterationError(
        f"{iteration} is closed: other iterations build on what it published.",
        hint="Put a correction, with a higher revision, into the newest iteration.",
    )
