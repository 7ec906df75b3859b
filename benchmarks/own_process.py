"""Time a piece of work in a fresh process, so that its peak memory is its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

__all__ = ["in_own_process", "size_mb"]

Work = Callable[..., Mapping[str, int]]
"""A function of a module, whose figures have ``n_rows``."""


def in_own_process(work: Work, *arguments: object) -> dict[str, Any]:
    """Rows, seconds, rows per second, and memory before and at its peak, in MB, of the work."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=_timed, args=(there, work, arguments))
    worker.start()
    there.close()
    try:
        figures: dict[str, Any] = here.recv()
    except EOFError:
        sys.exit(f"{work.__name__} failed; see the traceback above")
    worker.join()
    return figures


def size_mb(directory: Path) -> float:
    """Bytes below a directory, in megabytes."""
    total = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return round(total / 1e6, 1)


def _timed(pipe: Connection, work: Work, arguments: tuple[object, ...]) -> None:
    before_mb = _peak_mb()
    began = time.perf_counter()
    figures = work(*arguments)
    seconds = time.perf_counter() - began
    pipe.send(
        {
            "rows": figures["n_rows"],
            "seconds": round(seconds, 2),
            "rows_per_second": round(figures["n_rows"] / seconds),
            "memory_before_mb": round(before_mb),
            "peak_memory_mb": round(_peak_mb()),
        }
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
