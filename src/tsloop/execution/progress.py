"""How a stage shows that it gets on: a bar on a terminal, lines elsewhere, a file for its job."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from tsloop.execution.jobs import JOB_DIR_VARIABLE, now_text
from tsloop.files import write_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["StageProgress", "stage_progress"]

LINE_EVERY_S = 5.0
FILE_EVERY_S = 0.5


class StageProgress:
    """A ``(done, total, what)`` callable that is cheap enough to be called for every item.

    ``total`` 0 means that nobody knows. Showing progress never fails: where the terminal is closed
    or the disk full, the work goes on without it. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        name: str,
        stream: TextIO,
        job_dir: Path | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        bar: bool = True,
    ) -> None:
        self.name = name
        self._stream = stream
        self._job_dir = job_dir
        self._clock = clock
        self._begin = clock()
        self._last_line = self._last_file = float("-inf")
        self._state: tuple[int, int, str] | None = None
        self._shown: tuple[int, int, str] | None = None
        self._saved: tuple[int, int, str] | None = None
        self._bar: tuple[Progress, TaskID] | None = None
        self._on_terminal = bar and stream.isatty() and os.environ.get("TERM") != "dumb"

    def __call__(self, done: int, total: int, what: str = "") -> None:
        """So many of ``total`` are done; ``what`` is being done now."""
        self._state = (done, total, what)
        now = self._clock()
        complete = 0 < total <= done
        if self._on_terminal:
            bar, task = self._bar = self._bar or _make_bar(self.name, self._stream)
            with suppress(OSError, ValueError):
                bar.update(task, completed=done, total=total or None, what=what)
        elif now - self._last_line >= LINE_EVERY_S or complete:
            self._print(now)
        if now - self._last_file >= FILE_EVERY_S or complete:
            self._save(now)

    def close(self) -> None:
        """Show and save the last figures, and put the terminal in order."""
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar[0].stop()
            self._bar = None
        elif not self._on_terminal:
            self._print(self._clock())
        if self._state is not None:
            self._save(self._clock())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _print(self, now: float) -> None:
        if self._state is None or self._state == self._shown:
            return
        done, total, what = self._state
        share = f"{done}/{total} ({100 * done // total} %)" if total > 0 else str(done)
        line = f"[{self.name}] {share} {what}".rstrip() + f" · {now - self._begin:.0f} s\n"
        with suppress(OSError, ValueError):
            self._stream.write(line)
            self._stream.flush()
        self._shown, self._last_line = self._state, now

    def _save(self, now: float) -> None:
        if self._job_dir is None or self._state is None or self._state == self._saved:
            return
        done, total, what = self._state
        report = {"stage": self.name, "done": done, "total": total, "what": what}
        with suppress(OSError):
            write_json(self._job_dir / "progress.json", {**report, "time": now_text()})
        self._saved, self._last_file = self._state, now


def _make_bar(name: str, stream: TextIO) -> tuple[Progress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}", markup=False),
        TimeElapsedColumn(),
        console=Console(file=stream),
    )
    task = bar.add_task(name, total=None, what="")
    bar.start()
    atexit.register(bar.stop)  # gives the cursor back, also where nobody closed it
    return bar, task


def stage_progress(name: str, stream: TextIO | None = None, *, bar: bool = True) -> StageProgress:
    """Progress of one stage, on stderr (stdout belongs to the stage's line of figures).

    ``bar=False`` writes lines on a terminal too, for processes that share it.
    """
    job_dir = os.environ.get(JOB_DIR_VARIABLE)
    place = Path(job_dir) if job_dir else None
    return StageProgress(name, stream or sys.stderr, place, bar=bar)
