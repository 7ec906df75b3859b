"""Detections in many new series: several processes, a result file for each series, resumable.

A result lies in ``OUT/results/<key>/<name>.json``, written once by rename. The key stands for the
model's content, for how data is read and for the version of tsloop, and the result holds a mark of
the file that it was found in: another model, another setting or another file is another result, and
a run that was killed goes on where it stopped. The same input gives the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from tsloop import __version__
from tsloop.errors import EvaluationError, JobError, TsloopError
from tsloop.files import dump_json, read_json, sha256_tree, write_json
from tsloop.intervals import Detection, Status
from tsloop.loop.batch_leftovers import earlier_results, tidy
from tsloop.series.tables import file_stem

if TYPE_CHECKING:
    from tsloop.detectors.base import Detector
    from tsloop.loop.inference import NewData, NewSeries, Reading
    from tsloop.series.types import Series

__all__ = ["SCHEMA", "Batch", "BatchJob", "batch_key", "run_batch"]

SCHEMA = "tsloop.result/1"

Result = dict[str, Any]
"""What a result file holds: status, reason, rows of the table, highest score, level, repairs."""


@dataclass(frozen=True)
class BatchJob:
    """What is to be done: ``model`` is a model directory, ``None`` the embedded base.

    ``pictures`` are file names below ``out`` by series id; empty: none are drawn.
    """

    model: Path | None
    out: Path
    key: str
    pictures: Mapping[str, str] = field(default_factory=dict)
    contrast: bool = False
    """Rows get a ``contrast``: `tsloop.evaluation.contrast`."""

    def path(self, name: str) -> Path:
        """Where the result of a series lies."""
        return self.out / "results" / self.key / f"{file_stem(name)}.json"


@dataclass(frozen=True)
class Batch:
    """Results by series id, in the order of the data; how many were there before.

    ``n_gone`` series of earlier runs are not in the data; ``pruned`` says that their files were
    removed.
    """

    results: dict[str, Result]
    n_before: int
    n_gone: int
    pruned: bool


def batch_key(model: Path | None, how: Reading, contrast: bool = False) -> str:
    """Sixteen hex digits for a model, a way of reading and this version of tsloop."""
    settings = {
        "model": "embedded" if model is None else sha256_tree(model),
        "source": dataclasses.asdict(how.source),
        "prepare": dataclasses.asdict(how.prepare),
        "contrast": contrast,
        "tsloop": __version__,
    }
    return hashlib.sha256(dump_json(settings).encode("utf-8")).hexdigest()[:16]


def run_batch(
    data: NewData,
    job: BatchJob,
    jobs: int,
    progress: Callable[[int, int, str], None],
    *,
    prune: bool = False,
) -> Batch:
    """Score what has no result yet, in ``jobs`` processes; 1 is this process.

    What cannot be read or scored has the status ``failed`` and is tried again in the next run.
    With ``prune``, results and pictures of series that are not in the data are removed at the end;
    not while a file cannot be read, because nobody knows what is in it.
    """
    if jobs < 1:
        raise JobError(f"--jobs {jobs} is not positive.")
    _remove_leftovers(job.path("").parent)
    earlier = earlier_results(job.out, SCHEMA)
    found = {name: result for name in data.names if (result := _before(data, job, name))}
    n_before = len(found)
    open_names = [name for name in data.names if name not in found]
    batches = data.batches(open_names)
    jobs = min(jobs, len(batches))
    for part in _in_turn(data, job, batches) if jobs <= 1 else _at_once(data, job, batches, jobs):
        for name, result in part:
            found[name] = result
            progress(len(found), len(data), name)
    progress(len(data), len(data), "done")
    prune = prune and not data.refused
    n_gone = tidy(earlier, set(data.names), set(job.pictures.values()), job.out, remove=prune)
    return Batch({name: found[name] for name in data.names}, n_before, n_gone, prune)


def _before(data: NewData, job: BatchJob, name: str) -> Result | None:
    """The result of an earlier run, where it still stands."""
    path = job.path(name)
    if not path.is_file():
        return None
    try:
        result: Result = read_json(path)
        stands = result["schema"] == SCHEMA and result["input"] == data.mark(name)
        failed = result["status"] == str(Status.FAILED)
    except (TsloopError, KeyError, TypeError):
        return None
    picture = job.pictures.get(name)
    drawn = picture is None or (job.out / picture).is_file()
    return result if stands and drawn and not failed else None


def _remove_leftovers(directory: Path) -> None:
    """Delete half-written files of workers that were killed."""
    for path in directory.glob(".*.tmp-*"):
        pid = path.name.rpartition("-")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)


Part = list[tuple[str, Result]]


def _in_turn(data: NewData, job: BatchJob, batches: Sequence[Sequence[str]]) -> Iterator[Part]:
    worker = _Worker(data, job)
    for batch in batches:
        for name in batch:
            yield worker.answer([name])


def _at_once(
    data: NewData, job: BatchJob, batches: Sequence[Sequence[str]], jobs: int
) -> Iterator[Part]:
    with _few_threads(jobs):
        pool = ProcessPoolExecutor(
            jobs, multiprocessing.get_context("spawn"), initializer=_start, initargs=(data, job)
        )
        try:
            for done in as_completed([pool.submit(_answer, batch) for batch in batches]):
                yield done.result()
        except BrokenProcessPool as error:
            raise JobError(
                "A worker process died, perhaps for lack of memory.",
                hint="What is finished is kept: run it again, with fewer --jobs.",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _few_threads(jobs: int) -> Iterator[None]:
    """Processes share the cores: each gets its part of the threads, unless the user chose."""
    key = "OMP_NUM_THREADS"
    if key in os.environ:
        yield
        return
    os.environ[key] = str(max(1, (os.cpu_count() or 1) // jobs))
    try:
        yield
    finally:
        del os.environ[key]


class _Worker:
    """Reads, scores, draws and writes; the model is loaded when the first series asks for it."""

    def __init__(self, data: NewData, job: BatchJob) -> None:
        self._data, self._job = data, job
        self._detector: Detector | None = None

    def answer(self, names: Sequence[str]) -> Part:
        """The results of some series, which are files when it returns."""
        return [(name, self._one(name)) for name in names]

    def _one(self, name: str) -> Result:
        mark = self._data.mark(name)
        new = self._data.read(name)
        result = {"schema": SCHEMA, "series_id": name, "input": mark, **self._judged(new)}
        write_json(self._job.path(name), result)
        return result

    def _judged(self, new: NewSeries) -> Result:
        from threadpoolctl import threadpool_limits

        from tsloop.report.picture import detection_png
        from tsloop.tracking.serving import detection_rows

        series, scores, level = new.series, None, None
        if series is None:
            detection = Detection.failed(str(new.error))
        else:
            detector = self._loaded()
            level = detector.decision.hi
            try:
                # More threads sum in another order: the last digits would depend on --jobs.
                with threadpool_limits(1, user_api="blas"):
                    detection, scores = detector.analyse(series)
            except Exception as error:  # a fault of one series must not take the others with it
                detection = Detection.failed(repr(error))
        highest = None
        if scores is not None and np.isfinite(scores).any():
            highest = float(np.nanmax(scores))
        if level is not None and highest is not None:
            detection = _with_level(detection, highest, level)
        picture, drawn = self._job.pictures.get(new.id), None
        if picture is not None and series is not None:
            detection_png(series, detection, scores, self._job.out / picture, "en", level=level)
            drawn = picture
        rows = detection_rows(series, detection, new.id)
        if self._job.contrast and series is not None and detection.intervals:
            rows = _with_contrast(rows, series, detection)
        return {
            "series_sha256": "" if series is None else series.sha256,
            "n_rows": 0 if series is None else len(series),
            "status": str(detection.status),
            "reason": detection.reason,
            "highest_score": highest,
            "level": level,
            "rows": rows,
            "picture": drawn,
            "repairs": [repair.to_dict() for repair in new.repairs],
        }

    def _loaded(self) -> Detector:
        if self._detector is None:
            from tsloop.detectors import build
            from tsloop.detectors.files import load_detector

            self._detector = (
                build({"_target_": "tsloop.detectors.chatts.ChattsDetector"})
                if self._job.model is None
                else load_detector(self._job.model)
            )
        return self._detector


def _with_contrast(
    rows: list[dict[str, object]], series: Series, detection: Detection
) -> list[dict[str, object]]:
    """The rows of one series with the contrast of their segments; close ones share theirs."""
    from tsloop.evaluation.contrast import segment_contrast

    try:
        segments = segment_contrast(series.values, detection.intervals)
    except EvaluationError:  # every row is flagged: nothing is left to stand out from
        segments = []
    return [
        {
            **row,
            "contrast": next((s.score for s in segments if s.start <= found.start <= s.end), None),
        }
        for row, found in zip(rows, detection.intervals, strict=True)
    ]


def _with_level(detection: Detection, highest: float, level: float) -> Detection:
    """Where nothing was found: how near the highest score came to the level that it must reach."""
    if detection.status is not Status.NONE:
        return detection
    said = f"highest score {highest:.2f}, level {level:.2f}"
    return Detection(Status.NONE, (), f"{detection.reason} ({said})" if detection.reason else said)


_worker: _Worker | None = None
"""That of a worker process."""


def _start(data: NewData, job: BatchJob) -> None:
    from tsloop.execution.processes import set_parent_death_signal
    from tsloop.offline import work_offline

    global _worker
    set_parent_death_signal(os.getppid())
    work_offline()
    _worker = _Worker(data, job)


def _answer(names: Sequence[str]) -> Part:
    assert _worker is not None
    return _worker.answer(names)
