"""Gold: labels that are only ever scored against.

The gold file is a journal that only grows; its version is its number of lines, so that figures on
different gold are never compared. Gold is labelled blind: a record that started from a model's
proposal is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tsloop.annotations.journal import latest, parse_records, read_text
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.files import dump_json, write_text_atomic
from tsloop.intervals import Basis

__all__ = ["GoldSet", "append_gold", "check_append_only", "read_gold"]

_NOT_BLIND = frozenset({Basis.ACCEPTED, Basis.EDITED, Basis.MODEL})


@dataclass(frozen=True, slots=True)
class GoldSet:
    """The gold that counts: the latest revision per series, sorted by series id.

    ``version`` is the number of lines of the file and ``sha256`` the hash of its bytes;
    ``content_hashes`` are those of the labelled series, in any revision.
    """

    records: Mapping[str, AnnotationRecord]
    version: int
    sha256: str
    content_hashes: frozenset[str]


def read_gold(path: Path) -> GoldSet:
    """Read and validate a gold file; an empty one is the gold of version 0."""
    text = read_text(path)
    records = parse_records(text, str(path))
    return GoldSet(
        records=latest(records),
        version=len(_lines(text)),
        sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        content_hashes=frozenset(record.series_sha256 for record in records),
    )


def append_gold(path: Path, records: Iterable[AnnotationRecord]) -> GoldSet:
    """Add records at the end of a gold file (made where it is missing), all of them or none."""
    old = read_text(path) if path.exists() else ""
    added = list(records)
    for record in added:
        _check_blind(record)
    new = old + ("\n" if old and not old.endswith("\n") else "")
    new += "".join(dump_json(record.to_dict()) + "\n" for record in added)
    parse_records(new, str(path))
    check_append_only(old, new)
    write_text_atomic(path, new)
    return read_gold(path)


def check_append_only(old_text: str, new_text: str) -> None:
    """Raise `AnnotationError` unless the new gold is the old one with lines added at its end."""
    old, new = _lines(old_text), _lines(new_text)
    for number, line in enumerate(old, start=1):
        if number > len(new) or new[number - 1] != line:
            what = "is gone" if number > len(new) else "was changed"
            raise AnnotationError(
                f"Gold is append-only, but its line {number} {what}.",
                hint="Restore the line and add a record of a higher revision instead.",
            )


def _check_blind(record: AnnotationRecord) -> None:
    proposed = record.queue is not None and record.queue.get("proposal") is not None
    if proposed or any(interval.basis in _NOT_BLIND for interval in record.intervals):
        raise AnnotationError(
            f"The gold record of series {record.series_id!r} started from a model's proposal; "
            "gold must be labelled blind.",
            hint="Label the series again without a pre-annotation.",
        )


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]
