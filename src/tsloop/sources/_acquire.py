"""Copying the series of a source into a raw store, several at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from tsloop.series.raw import RawSeries, RawWriter
from tsloop.sources.base import Source

__all__ = ["Copier"]


class Copier:
    """Copies the named series; the first fault stops all threads at their next piece."""

    def __init__(
        self,
        source: Source,
        writer: RawWriter,
        names: Sequence[str],
        progress: Callable[[int, int, str], None] | None,
    ) -> None:
        self._source, self._writer, self._names = source, writer, names
        self._progress = progress or (lambda done, total, what: None)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._done = 0
        self._figures = {"n_series": 0, "n_rows": 0, "n_with_truth": 0, "n_events": 0}

    def run(self) -> dict[str, int]:
        """Copy, and give the counts; ``n_empty`` only where series had nothing to copy."""
        batches = self._source.batches(self._names)
        jobs = max(1, min(self._source.jobs, len(batches)))
        if jobs == 1:  # in this thread, so that an interrupt ends it at once
            for batch in batches:
                self._copy(batch)
        else:
            self._in_threads(batches, jobs)
        self._say("done")
        if n_empty := len(self._names) - self._figures["n_series"]:
            self._figures["n_empty"] = n_empty
        return self._figures

    def _in_threads(self, batches: Sequence[Sequence[str]], jobs: int) -> None:
        with ThreadPoolExecutor(jobs, thread_name_prefix="acquire") as pool:
            futures = [pool.submit(self._copy, batch) for batch in batches]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                unfinished = any(not future.done() for future in futures)
                if unfinished or any(future.exception() for future in futures):
                    self._stopped.set()
                    pool.shutdown(cancel_futures=True)
        for future in futures:
            if not future.cancelled():
                future.result()

    def _copy(self, batch: Sequence[str]) -> None:
        for name in batch:
            if self._stopped.is_set():
                return
            first = self._writer.add_parts(self._watched(name))
            with self._lock:
                self._done += 1
                if first is not None:
                    self._figures["n_series"] += 1
                    self._figures["n_rows"] += self._writer.n_rows(name)
                    self._figures["n_with_truth"] += int(first.intervals is not None)
                    self._figures["n_events"] += len(first.intervals or ())

    def _watched(self, name: str) -> Iterator[RawSeries]:
        """The pieces of a series, with a sign of life before each."""
        rows = 0
        self._say(name)
        for part in self._source.parts(name):
            if self._stopped.is_set():
                return
            if rows:
                self._say(f"{name}: {rows:,} rows")
            rows += len(part)
            yield part

    def _say(self, what: str) -> None:
        with self._lock:
            self._progress(self._done, len(self._names), what)
