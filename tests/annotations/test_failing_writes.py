"""Fail the n-th write, for every n: journals and gold are the old ones or the new ones, whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from labelled_samples import make_series, record_of

from tsloop.annotations.gold import append_gold, read_gold
from tsloop.annotations.journal import read_journal, write_journal
from tsloop.annotations.record import AnnotationRecord

SERIES = [make_series(f"s{number}") for number in range(3)]
OLD = [record_of(series, (10, 20, "step_up")) for series in SERIES[:2]]
NEW = [record_of(SERIES[2], (30, 33, "dropout")), record_of(SERIES[0], revision=2)]

Write = Callable[[Path], object]


class Faults:
    """Counts what a writer asks of the system, and lets the n-th request fail.

    A failing write leaves half of its bytes. Where the process is ``killed`` nothing cleans up.
    """

    def __init__(self, patch: pytest.MonkeyPatch, fails_at: int, *, killed: bool) -> None:
        self.left = fails_at
        self.patch = patch
        open_file, replace, unlink = Path.open, Path.replace, Path.unlink

        def counted_open(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if "r" in mode:
                return open_file(path, mode, *rest, **named)
            self.step()
            return Stream(open_file(path, mode, buffering=0), self)

        def counted_fsync(descriptor: int) -> None:
            self.step()

        def counted_replace(path: Path, target: Path) -> Path:
            self.step()
            return replace(path, target)

        def maybe_unlink(path: Path, missing_ok: bool = False) -> None:
            if not (killed and self.left == 0):
                unlink(path, missing_ok)

        patch.setattr(Path, "open", counted_open)
        patch.setattr(os, "fsync", counted_fsync)
        patch.setattr(Path, "replace", counted_replace)
        patch.setattr(Path, "unlink", maybe_unlink)

    def step(self) -> None:
        """One request; the last that is allowed fails."""
        self.left -= 1
        if self.left == 0:
            raise OSError(28, "No space left on device")


class Stream:
    """An open file whose writes are counted."""

    def __init__(self, raw: Any, faults: Faults) -> None:
        self.raw, self.faults = raw, faults

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def write(self, data: bytes) -> int:
        """Half of the bytes reach the disk before the fault."""
        self.raw.write(data[: len(data) // 2])
        self.faults.step()
        return int(self.raw.write(data[len(data) // 2 :]))

    def flush(self) -> None:
        self.faults.step()
        self.raw.flush()


def fail_everywhere(path: Path, write: Write, check: Callable[[], None], *, killed: bool) -> int:
    """Let every request of ``write`` fail in turn, and look after each; returns how many."""
    for number in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            Faults(patch, number, killed=killed)
            with contextlib.suppress(OSError):
                write(path)
                return number - 1
        check()
        left = [other.name for other in path.parent.iterdir() if other != path]
        assert not left or killed
        assert all(name.startswith(".") and ".tmp-" in name for name in left)
    raise AssertionError("it never came to an end")


def bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("before", [None, [], OLD], ids=["missing", "empty", "full"])
def test_a_journal_is_never_half(
    tmp_path: Path, before: Sequence[AnnotationRecord] | None, killed: bool
) -> None:
    path = tmp_path / "labels" / "it001.jsonl"
    path.parent.mkdir()
    if before is not None:
        write_journal(path, before)
    held = bytes_of(path)

    def check() -> None:
        assert bytes_of(path) == held
        if before is not None:
            assert read_journal(path) == list(before)

    tried = fail_everywhere(path, lambda p: write_journal(p, [*OLD, *NEW]), check, killed=killed)
    assert tried >= 4, "open, write, flush, fsync, rename"
    assert sorted(map(repr, read_journal(path))) == sorted(map(repr, [*OLD, *NEW]))


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("before", [None, [], OLD], ids=["missing", "empty", "full"])
def test_gold_gets_all_records_or_none(
    tmp_path: Path, before: Sequence[AnnotationRecord] | None, killed: bool
) -> None:
    path = tmp_path / "labels" / "gold.jsonl"
    path.parent.mkdir()
    if before is not None:
        path.write_bytes(b"")
        append_gold(path, before)
    held = bytes_of(path)

    def check() -> None:
        assert bytes_of(path) == held
        if before is not None:
            assert read_gold(path).version == len(before)

    tried = fail_everywhere(path, lambda p: append_gold(p, NEW), check, killed=killed)
    assert tried >= 4
    gold = read_gold(path)
    assert gold.version == len(before or []) + len(NEW)
    assert path.read_bytes().startswith(held or b"")
    assert gold.records["s0"].revision == 2


def test_records_that_cannot_be_written_leave_the_journal(tmp_path: Path) -> None:
    """The fault comes before the file is touched."""
    path = tmp_path / "it001.jsonl"
    write_journal(path, OLD)
    held = path.read_bytes()
    with pytest.raises(ValueError, match="Out of range"):
        write_journal(path, [*NEW, OLD[1].replace(revision=3, overall={"x": float("nan")})])
    with pytest.raises(ValueError, match="Out of range"):
        append_gold(path, [OLD[1].replace(revision=3, overall={"x": float("nan")})])
    assert path.read_bytes() == held
    assert [other.name for other in tmp_path.iterdir()] == [path.name]
