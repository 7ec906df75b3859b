"""Bars on a terminal, lines elsewhere, a file for the job, and never a failure."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tsloop.execution.progress import LINE_EVERY_S, StageProgress, stage_progress


class Clock:
    """A clock that only moves when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_every_few_seconds_and_at_the_end(tmp_path: Path) -> None:
    clock, stream = Clock(), io.StringIO()
    with StageProgress("predict", stream, tmp_path, clock) as show:
        for done in range(100):
            show(done, 100, f"series {done}")
            clock.now += LINE_EVERY_S / 10
        show(100, 100, "done")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[predict] 0/100 (0 %) series 0 · 0 s"
    assert lines[-1] == "[predict] 100/100 (100 %) done · 50 s"
    assert len(lines) == 11
    report = json.loads((tmp_path / "progress.json").read_text())
    assert (report["stage"], report["done"], report["total"]) == ("predict", 100, 100)


def test_unknown_totals_and_late_figures(tmp_path: Path) -> None:
    clock, stream = Clock(), io.StringIO()
    show = StageProgress("acquire", stream, tmp_path, clock)
    show(1, 0)
    show(7, 0, "tag 7")  # too soon for a line, but closing shows it
    show.close()
    show.close()
    assert stream.getvalue() == "[acquire] 1 · 0 s\n[acquire] 7 tag 7 · 0 s\n"
    assert json.loads((tmp_path / "progress.json").read_text())["done"] == 7


def test_nothing_shown_where_nothing_was_done(tmp_path: Path) -> None:
    stream = io.StringIO()
    with StageProgress("idle", stream, tmp_path):
        pass
    assert stream.getvalue() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("TSLOOP_JOB_DIR", raising=False)
    stream = Terminal()
    with stage_progress("fit", stream) as show:
        show(1, 0, "loading")
        show(2, 4, "[epoch 2]")
    assert "fit" in stream.getvalue()
    assert "[epoch 2]" in stream.getvalue()
    assert "2/4" in stream.getvalue()


def test_showing_never_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Closed(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TSLOOP_JOB_DIR", str(tmp_path / "file" / "not a directory"))
    with stage_progress("fit", Closed()) as show:
        show(1, 2, "x")
        show(2, 2, "x")
