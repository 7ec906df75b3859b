"""Gold of a project: it only grows, it fits the series, and how people add to it.

`load_gold` is the one way in which stages come to gold. What an iteration was published on must
still be in ``data/labels/gold.jsonl``; what a simulated annotator wrote is made anew by its stage.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tsloop.annotations.blind import Blindness, blindness, state_blind, without_statement
from tsloop.annotations.dataset import check_leaks
from tsloop.annotations.fitting import SeriesLookup
from tsloop.annotations.gold import GoldSet, append_gold, check_append_only, fit_gold, read_gold
from tsloop.annotations.journal import latest, read_journal, read_text
from tsloop.annotations.record import AnnotationRecord
from tsloop.annotations.snapshot import read_snapshot
from tsloop.errors import AnnotationError, TsloopError
from tsloop.files import read_json
from tsloop.labels import LabelSet
from tsloop.project import Project

__all__ = ["add_gold", "add_gold_records", "load_gold"]

_HINT = (
    "Bring the lines back (`git log -p -- {where}` shows them); a record is corrected by one of a "
    "higher revision: tsloop labels gold add FILE"
)


def load_gold(
    project: Project,
    path: Path,
    iterations: Iterable[str],
    store: SeriesLookup,
    label_set: LabelSet,
) -> GoldSet:
    """Read gold to score against: in rows of the stored series, or refused with all its faults.

    ``iterations`` are those of the project: a registry file of another one is a leftover.
    """
    gold = read_gold(path)
    _check_published(project, path, iterations)
    return fit_gold(gold, store, label_set)


def add_gold(
    project: Project,
    file: Path,
    iterations: Iterable[str],
    store: SeriesLookup,
    label_set: LabelSet,
    blind_by: str = "",
) -> tuple[GoldSet, int]:
    """Append the records of a journal to the project's gold; returns it and how many were new.

    Of each series the latest revision is taken. It gets the timestamps of its rows, so that it can
    be found again where the series changes.
    Nothing is written unless all gold fits, was labelled blind, and trains nobody. ``blind_by``
    is who states the second of records that do not say it, in gold already too: their statement
    is a record of the next revision.
    """
    records = read_journal(file)
    if blind_by:
        now = datetime.now(UTC)
        records = [state_blind(record, blind_by, now) for record in records]
    return add_gold_records(project, records, iterations, store, label_set)


def add_gold_records(
    project: Project,
    records: list[AnnotationRecord],
    iterations: Iterable[str],
    store: SeriesLookup,
    label_set: LabelSet,
) -> tuple[GoldSet, int]:
    """`add_gold` for records at hand."""
    names = list(iterations)
    path = project.labels("gold")
    held = read_journal(path) if path.exists() else []
    _check_published(project, path, names)
    given = fit_gold(_as_gold(records), store, label_set)
    stated = [_as_statement(record, held) for record in given.records.values()]
    added = [r for r in stated if r not in held and _is_new(r, held)]
    for name in names:
        if project.snapshot(name).is_dir():
            check_leaks(read_snapshot(project.snapshot(name)), store, _as_gold(added))
    return append_gold(path, added), len(added)


def _as_gold(records: list[AnnotationRecord]) -> GoldSet:
    hashes = frozenset(record.series_sha256 for record in records)
    return GoldSet(latest(records), len(records), "", hashes)


def _as_statement(record: AnnotationRecord, held: list[AnnotationRecord]) -> AnnotationRecord:
    """The next revision where gold says the same, and only lacked that it was labelled blind."""
    known = latest(held).get(record.series_id)
    states = blindness(record) is Blindness.YES
    if known is None or blindness(known) is not Blindness.UNKNOWN or not states:
        return record
    same = known.revision == record.revision and _spans(known) == _spans(record)
    return record.replace(revision=known.revision + 1) if same else record


def _is_new(record: AnnotationRecord, held: list[AnnotationRecord]) -> bool:
    """Whether a record says what gold does not say yet; one that would not count is an error."""
    known = latest(held).get(record.series_id)
    if known is None or record.revision > known.revision:
        return True
    told, again = without_statement(known), without_statement(record)
    if _spans(told) == _spans(again) and told.replace(intervals=again.intervals) == again:
        return False  # the same without timestamps, or stated once more
    raise AnnotationError(
        f"Gold has revision {known.revision} of series {record.series_id!r}, so another record of "
        f"revision {record.revision} would not count.",
        hint=f"Give the one that shall count revision {known.revision + 1}.",
    )


def _spans(record: AnnotationRecord) -> list[tuple[int, int, str]]:
    return [(interval.start, interval.end, interval.label) for interval in record.intervals]


def _check_published(project: Project, path: Path, iterations: Iterable[str]) -> None:
    """Raise `AnnotationError` where a line is gone that an iteration was published on."""
    where = project.relative(path)
    if path.resolve() != project.labels("gold").resolve():
        return
    text = read_text(path) if path.exists() else ""
    for name in iterations:
        published = _published_gold(project, name, where)
        if published is None or _begins_with(text.encode("utf-8"), **published):
            continue
        old = _text_in_git(project, where, published["sha256"])
        if old is None:
            raise AnnotationError(
                f"Gold is append-only, but {where} does not begin with the "
                f"{published['version']} lines that {name} was published on.",
                hint=_HINT.format(where=where),
            )
        try:
            check_append_only(old, text)
        except AnnotationError as error:
            raise AnnotationError(
                f"{where} is not what {name} was published on. {error.message}",
                hint=_HINT.format(where=where),
            ) from error


def _published_gold(project: Project, name: str, where: str) -> dict[str, Any] | None:
    """Version and hash of the gold that an iteration was published on, if it was this file."""
    with suppress(TsloopError, KeyError, TypeError):  # not published, or what `tracking` reports
        entry = read_json(project.registry(name))
        if entry["config"]["evaluations"][name]["gold"] == where:
            return {"version": entry["gold"]["version"], "sha256": entry["gold"]["sha256"]}
    return None


def _begins_with(data: bytes, version: int, sha256: str) -> bool:
    """Whether the first ``version`` records, with or without their last line end, have a hash."""
    digest, records = hashlib.sha256(), 0
    for line in data.splitlines(keepends=True):
        bare = line.rstrip(b"\r\n")
        records += bool(bare.strip())
        if records > version:
            break
        for part in (bare, line[len(bare) :]):
            digest.update(part)
            if records == version and digest.hexdigest() == sha256:
                return True
    return version == 0


def _text_in_git(project: Project, where: str, sha256: str) -> str | None:
    """The committed text of a file that has a hash, if git knows one."""
    for data in _committed(project, where):
        if hashlib.sha256(data).hexdigest() == sha256:
            return data.decode("utf-8")
    return None


def _committed(project: Project, where: str) -> Iterator[bytes]:
    """Every version of a file that the history holds, newest first; none without git."""

    def git(*arguments: str) -> bytes:
        with suppress(OSError):
            return subprocess.run(
                ["git", *arguments], cwd=project.root, capture_output=True, check=False
            ).stdout
        return b""

    for commit in git("log", "--all", "--format=%H", "--", where).decode("ascii").split():
        yield git("show", f"{commit}:./{where}")
