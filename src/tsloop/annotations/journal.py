"""Journals: JSON lines of annotation records, one file per iteration.

A journal is read whole and validated line by line. A record is corrected by a later revision of
the same series, in the same journal or in a later one; the latest revision counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.files import write_jsonl

__all__ = ["latest", "parse_records", "read_journal", "read_text", "write_journal"]


def read_journal(path: Path) -> list[AnnotationRecord]:
    """All records in file order; lines that say the same twice count once.

    A line that is no valid record, and two different records of one series and revision, are
    `AnnotationError`s that name file and line.
    """
    return parse_records(read_text(path), str(path))


def write_journal(path: Path, records: Iterable[AnnotationRecord]) -> None:
    """Replace a journal in one step; the order is by series and revision, so equal sets of records
    give equal bytes."""
    ordered = sorted(records, key=lambda r: (r.series_id, r.revision))
    rows = [record.to_dict() for record in ordered]
    _check_conflicts(((f"record {n}", r) for n, r in enumerate(ordered, start=1)), str(path))
    write_jsonl(path, rows)


def latest(records: Iterable[AnnotationRecord]) -> dict[str, AnnotationRecord]:
    """The record of the highest revision for each series, by series id in sorted order."""
    found: dict[str, AnnotationRecord] = {}
    for record in records:
        held = found.get(record.series_id)
        if held is None or record.revision > held.revision:
            found[record.series_id] = record
    return dict(sorted(found.items()))


def read_text(path: Path) -> str:
    """The text of a journal; a missing file and foreign bytes are `AnnotationError`s."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise AnnotationError(
            f"Journal {path} does not exist.", hint="An empty file says that nothing is labelled."
        ) from None
    except UnicodeDecodeError as error:
        raise AnnotationError(f"Journal {path} is not UTF-8: {error}.") from error


def parse_records(text: str, where: str) -> list[AnnotationRecord]:
    """Records from the text of a journal; ``where`` names it in error messages."""
    numbered = list(_numbered_records(text, where))
    return _check_conflicts(((f"line {number}", r) for number, r in numbered), where)


def _numbered_records(text: str, where: str) -> Iterator[tuple[int, AnnotationRecord]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise AnnotationError(f"A record must be a JSON object, but is {line[:60]!r}.")
            yield number, AnnotationRecord.from_dict(row)
        except (ValueError, RecursionError) as error:
            hint = "It looks like a merge conflict: keep the lines of both sides."
            raise AnnotationError(
                f"{where}, line {number} is not valid JSON: {error}.",
                hint=hint if line.startswith(("<<<<<<<", "=======", ">>>>>>>")) else "",
            ) from error
        except AnnotationError as error:
            raise type(error)(
                f"{where}, line {number}: {error.message}", hint=error.hint
            ) from error


def _check_conflicts(
    placed: Iterable[tuple[str, AnnotationRecord]], where: str
) -> list[AnnotationRecord]:
    seen: dict[tuple[str, int], tuple[str, AnnotationRecord]] = {}
    for place, record in placed:
        key = (record.series_id, record.revision)
        if key in seen and seen[key][1] != record:
            raise AnnotationError(
                f"{where}, {place}: series {record.series_id!r} already has another record of "
                f"revision {record.revision} ({seen[key][0]}).",
                hint="Give the one that shall count a higher revision.",
            )
        seen.setdefault(key, (place, record))
    return [record for _, record in seen.values()]
