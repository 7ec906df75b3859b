"""Gold: labels that are only ever scored against.

The gold file is a journal that only grows; its version is its number of lines, so that figures on
different gold are never compared. Whoever scores against it takes it through `fit_gold`, which
refuses what does not fit the stored series, speaks of unknown labels, or is not known to be
labelled blind (`tsloop.annotations.blind`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tsloop.annotations.blind import check_blind
from tsloop.annotations.fitting import (
    Fitted,
    SeriesLookup,
    fit_record,
    raise_all,
    stored_series,
)
from tsloop.annotations.journal import latest, parse_records, read_text
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError, TsloopError
from tsloop.files import dump_json, write_text_atomic
from tsloop.labels import LabelSet

__all__ = ["GoldSet", "append_gold", "check_append_only", "fit_gold", "read_gold"]


@dataclass(frozen=True, slots=True)
class GoldSet:
    """The gold that counts: the latest revision per series, sorted by series id.

    ``version`` is the number of lines of the file and ``sha256`` the hash of its bytes;
    ``content_hashes`` are those of the labelled series, in any revision; ``remapped`` are the
    series whose content has changed since and whose rows were found again by time (`fit_gold`).
    """

    records: Mapping[str, AnnotationRecord]
    version: int
    sha256: str
    content_hashes: frozenset[str]
    remapped: tuple[str, ...] = ()


def read_gold(path: Path) -> GoldSet:
    """Read a gold file and check it line by line; an empty one is the gold of version 0.

    Before anything is scored against it, it must go through `fit_gold`.
    """
    text = read_text(path)
    records = parse_records(text, str(path))
    return GoldSet(
        records=latest(records),
        version=len(_lines(text)),
        sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        content_hashes=frozenset(record.series_sha256 for record in records),
    )


def fit_gold(gold: GoldSet, store: SeriesLookup, label_set: LabelSet) -> GoldSet:
    """Gold in rows of the stored series, by the rules of `fit_record`, or one error for all faults.

    Only the records that count are checked: a blind record of a higher revision mends a bad one.
    """
    fitted: dict[str, Fitted] = {}
    errors: list[TsloopError] = []
    for series_id, record in gold.records.items():
        try:
            check_blind(record)
            fitted[series_id] = fit_record(record, stored_series(record, store), label_set)
        except TsloopError as error:
            errors.append(error)
    raise_all(errors, "gold records cannot be scored against")
    records = {series_id: item.record for series_id, item in fitted.items()}
    return replace(
        gold,
        records=records,
        content_hashes=gold.content_hashes | {r.series_sha256 for r in records.values()},
        remapped=tuple(series_id for series_id, item in fitted.items() if item.remapped),
    )


def append_gold(path: Path, records: Iterable[AnnotationRecord]) -> GoldSet:
    """Add records at the end of a gold file (made where it is missing), all of them or none."""
    old = read_text(path) if path.exists() else ""
    added = list(records)
    for record in added:
        check_blind(record)
    new = old + ("\n" if old and not old.endswith("\n") else "")
    new += "".join(dump_json(record.to_dict()) + "\n" for record in added)
    parse_records(new, str(path))
    write_text_atomic(path, new)
    return read_gold(path)


def check_append_only(old_text: str, new_text: str) -> None:
    """Raise `AnnotationError` unless every line of the old gold is still in the new one.

    The place does not matter: where two branches added lines, a merge has those of both.
    """
    present = set(_lines(new_text))
    for number, line in enumerate(_lines(old_text), start=1):
        if line not in present:
            raise AnnotationError(
                f"Gold is append-only, but its line {number} was changed or taken out: "
                f"{line[:60]}…",
                hint="Restore the line and add a record of a higher revision instead.",
            )


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]
