"""What a project holds for reviewers: series, label set, iterations, queues and predictions.

Everything is read from the files that stages and people write, and kept until they change; so the
page shows what `dvc repro` made last without being started anew.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from tsloop.config.params import read_iterations, read_params
from tsloop.config.schema import section
from tsloop.errors import ReviewNotFoundError, TsloopError
from tsloop.files import read_json, sha256_file
from tsloop.labels import LabelSet, builtin_label_set, load_label_set
from tsloop.loop.queues import QueueItem, read_queue
from tsloop.project import BASE, Project
from tsloop.review.config import ReviewConfig
from tsloop.series.store import SeriesEntry, SeriesStore
from tsloop.series.types import Series

if TYPE_CHECKING:
    from tsloop.annotations.record import AnnotationRecord
    from tsloop.config.pipeline import IterationSpec
    from tsloop.detectors.predictions import PredictionReader

__all__ = ["Material", "series_key"]

T = TypeVar("T")
MAX_CACHED_ROWS = 20_000_000
"""Rows of series and scores that stay in memory, 16 bytes each."""


def series_key(series_id: str) -> str:
    """The name of a series in URLs: 16 hex digits, whatever its own name is made of."""
    return hashlib.sha256(series_id.encode("utf-8")).hexdigest()[:16]


class Material:
    """Reads a project; safe to use from several threads."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._lock = threading.RLock()
        self._files: dict[str, tuple[Any, Any]] = {}
        self._arrays: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._reading: dict[tuple[str, ...], threading.Lock] = {}

    def _cached(self, name: str, paths: Sequence[Path], make: Callable[[], T]) -> T:
        """What ``make`` gave when the files last changed."""
        stamp = tuple(_stamp(path) for path in paths)
        with self._lock:
            held = self._files.get(name)
            if held is None or held[0] != stamp:
                held = (stamp, make())
                self._files[name] = held
            return held[1]

    def _sized(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """The least recently used arrays go where the rows become too many.

        Who asks for what another thread is reading waits for it, and does not read it again.
        """
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]  # type: ignore[no-any-return]
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            with self._lock:
                if key in self._arrays:
                    return self._arrays[key]  # type: ignore[no-any-return]
            made = make()
            with self._lock:
                self._arrays[key] = made
                self._reading.pop(key, None)
                while len(self._arrays) > 1 and self._n_rows() > MAX_CACHED_ROWS:
                    self._arrays.popitem(last=False)
            return made

    def _n_rows(self) -> int:
        return sum(len(held) for held in self._arrays.values() if held is not None)

    @property
    def params(self) -> Mapping[str, Any]:
        """``params.yaml``."""
        return self._cached("params", [self.project.params], lambda: read_params(self.project))

    @property
    def config(self) -> ReviewConfig:
        """The settings of the page; a project of an older tsloop has the defaults."""
        params = self.params
        if "review" not in params:
            return ReviewConfig()
        make: Callable[[], ReviewConfig] = lambda: section(params, "review")  # noqa: E731
        return self._cached("config", [self.project.params], make)

    @property
    def iterations(self) -> Mapping[str, IterationSpec]:
        """All iterations, oldest first."""
        path = self.project.conf / "project" / "iterations.yaml"
        return self._cached("iterations", [path], lambda: read_iterations(self.project))

    @property
    def label_set(self) -> LabelSet:
        """The label set that the project uses now."""
        chosen = section(self.params, "labels").set
        if chosen == "tsloop":
            return builtin_label_set()
        path = self.project.root / chosen
        return self._cached("labels", [path], lambda: load_label_set(path))

    @property
    def store(self) -> SeriesStore:
        """The stored series."""
        manifest = self.project.series / "manifest.json"
        return self._cached("store", [manifest], lambda: SeriesStore.open(self.project.series))

    def entry(self, key: str) -> SeriesEntry:
        """The series of a key; an unknown one is a `ReviewNotFoundError`."""
        manifest = self.project.series / "manifest.json"
        store = self.store
        keys = self._cached("keys", [manifest], lambda: {series_key(i): i for i in store.entries})
        if key not in keys:
            raise ReviewNotFoundError(f"There is no series of the key {key[:40]!r}.")
        return store.entries[keys[key]]

    def series(self, series_id: str) -> Series:
        """A series with its values."""
        store = self.store
        sha256 = store.entry(series_id).sha256
        return self._sized(("series", series_id, sha256), lambda: store[series_id])

    def times(self, series_id: str, rows: Sequence[int]) -> Sequence[int]:
        """UTC nanoseconds of some rows."""
        if not rows:
            return ()
        return [int(t) for t in self.series(series_id).timestamps[np.asarray(rows)]]

    def queue(self, iteration: str) -> list[QueueItem]:
        """What is asked for an iteration: the queue of what it builds on, empty where none is."""
        path = self.project.queue(self.parent(iteration))
        if not path.exists():
            return []
        return self._cached(f"queue {path.name}", [path], lambda: read_queue(path))

    def parent(self, iteration: str) -> str:
        """What an iteration builds on; an unknown one is a `ReviewNotFoundError`."""
        if iteration not in self.iterations:
            raise ReviewNotFoundError(
                f"There is no iteration {iteration[:40]!r}.",
                hint="Make one with: tsloop iteration create",
            )
        return self.iterations[iteration].parent

    def stamp(self, iteration: str) -> tuple[Any, ...]:
        """Changes whenever what is asked for an iteration might."""
        parent = self.parent(iteration)
        place = self.project.root / "data" / "predictions" / parent
        files = [self.project.queue(parent), self.project.series / "manifest.json"]
        files += sorted(place.glob("*/detections.jsonl"))
        return (self.config, *(_stamp(path) for path in files))

    def variants(self, iteration: str) -> list[str]:
        """Variants whose predictions are there, the primary one first."""
        place = self.project.root / "data" / "predictions" / iteration
        found = sorted(p.parent.name for p in place.glob("*/detections.jsonl"))
        primary = self.primary(iteration)
        return sorted(found, key=lambda name: (name != primary, name))

    def primary(self, iteration: str) -> str:
        """The variant whose detections become proposals."""
        entry = (self.params.get("queues") or {}).get(iteration) or {}
        return str(entry.get("variant") or self.params["loop"]["primary"])

    def reader(self, model: str) -> PredictionReader | None:
        """Predictions of ``iteration/variant``; ``None`` where there are none."""
        iteration, _, variant = model.partition("/")
        if iteration != BASE and iteration not in self.iterations:
            return None
        if variant not in self.variants(iteration):
            return None
        directory = self.project.predictions(iteration, variant)
        from tsloop.detectors.predictions import DETECTIONS, PredictionReader

        path = directory / DETECTIONS
        return self._cached(f"model {model}", [path], lambda: PredictionReader(directory))

    def scores(self, model: str, series_id: str) -> npt.NDArray[np.float32] | None:
        """One score per row of the stored series; ``None`` where there are none that fit it."""
        reader = self.reader(model)
        entry = self.store.entry(series_id)
        if reader is None or reader.sha256.get(series_id) != entry.sha256:
            return None
        stamp = str(_stamp(reader.directory / "detections.jsonl"))
        key = ("scores", model, series_id, entry.sha256, stamp)
        return self._sized(key, lambda: reader.scores(series_id))

    def threshold(self, model: str) -> float | None:
        """The score from which a model calls a row an event."""
        iteration, _, variant = model.partition("/")
        try:
            decision = read_json(self.project.predictions(iteration, variant) / "decision.json")
            return float(decision["hi"])
        except (TsloopError, KeyError, TypeError, ValueError):
            return None

    def model_sha256(self, model: str | None) -> str | None:
        """Which model it was: the hash of its manifest, which names the hashes of its files."""
        if not model or "/" not in model:
            return None
        iteration, _, variant = model.partition("/")
        path = self.project.model(iteration, variant) / "detector.json"
        if not path.exists():
            return None
        return self._cached(f"sha256 {model}", [path], lambda: sha256_file(path))

    def labelled_before(self, iteration: str) -> Mapping[str, AnnotationRecord]:
        """What an iteration starts from: the labels of its parent's snapshot, by series."""
        parent = self.parent(iteration)
        path = self.project.snapshot(parent)
        if not (path / "snapshot.json").exists():
            return {}
        from tsloop.annotations.snapshot import read_snapshot

        marks = [path / "snapshot.json"]
        return self._cached(f"labels {parent}", marks, lambda: read_snapshot(path).records)

    def is_closed(self, iteration: str) -> bool:
        """Archived, or published and built upon: its journal must not change any more."""
        self.parent(iteration)  # an unknown one is an error
        spec = self.iterations[iteration]
        built_on = any(other.parent == iteration for other in self.iterations.values())
        return spec.archived or (built_on and self.project.registry(iteration).exists())

    def open_iteration(self) -> str | None:
        """The newest iteration that still takes labels and has a queue; ``None`` where none does.

        A published one takes none without being asked to: create the next.
        """
        for name in reversed(list(self.iterations)):
            if self.is_closed(name) or self.project.registry(name).exists():
                continue
            if self.queue(name):
                return name
        return None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
