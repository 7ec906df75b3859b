"""Snapshots: all labels so far, validated and frozen, so that training never reads live labels.

A snapshot directory holds ``annotations.jsonl`` (one record per series, in rows of the stored
series, each with the iteration that it came from), ``snapshot.json`` and ``quality.json``. Equal
input gives equal bytes; a snapshot whose lines were touched afterwards is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.annotations.fitting import Fitted, SeriesLookup, fit_record, raise_all
from tsloop.annotations.journal import latest, parse_records, read_journal
from tsloop.annotations.quality import assess, fingerprint
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError, TsloopError
from tsloop.files import dump_json, fresh_dir, read_json, sha256_file, write_json, write_text_atomic
from tsloop.labels import LabelSet

__all__ = ["SCHEMA", "Snapshot", "build_snapshot", "read_snapshot"]

SCHEMA = "tsloop.snapshot/1"
_ORIGIN = "origin_iteration"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The labels that count at one iteration.

    ``records`` and ``origin`` (the iteration whose journal gave the record) are keyed by series id
    in sorted order; ``sha256`` is the hash of ``annotations.jsonl``.
    """

    records: Mapping[str, AnnotationRecord]
    origin: Mapping[str, str]
    sha256: str
    label_set: str


@dataclass(slots=True)
class _Pool:
    """Fitted records while a snapshot is put together."""

    store: SeriesLookup
    label_set: LabelSet
    held: dict[str, tuple[Fitted, str]]
    shapes: dict[str, npt.NDArray[np.float32]]
    errors: list[TsloopError]
    superseded: list[dict[str, Any]]

    def take(self, record: AnnotationRecord, iteration: str) -> None:
        """Fit one record and hold it if its revision is the latest."""
        try:
            fitted = self.fit(record)
            current = self.held.get(record.series_id)
            if current is not None and not self.wins(fitted.record, current, iteration):
                return
        except TsloopError as error:
            self.errors.append(error)
            return
        self.held[record.series_id] = (fitted, iteration)

    def fit(self, record: AnnotationRecord) -> Fitted:
        """`fit_record`, with the series read from the store."""
        if record.series_id not in self.store.entries:
            raise AnnotationError(
                f"Series {record.series_id!r} is labelled, but the series store does not have it.",
                hint="Bring it back into the source: labels are never dropped silently.",
            )
        series = self.store[record.series_id]
        if record.series_id not in self.shapes:
            self.shapes[record.series_id] = fingerprint(series)
        extra = {key: value for key, value in record.extra.items() if key != _ORIGIN}
        return fit_record(record.replace(extra=extra), series, self.label_set)

    def wins(self, record: AnnotationRecord, current: tuple[Fitted, str], iteration: str) -> bool:
        """Whether a record takes the place of the one that is held."""
        held, origin = current[0].record, current[1]
        if record.revision == held.revision and record != held:
            raise AnnotationError(
                f"Series {record.series_id!r} has two different records of revision "
                f"{record.revision}: from {origin} and from {iteration}.",
                hint=f"Give the one that shall count revision {held.revision + 1}.",
            )
        if record.revision < held.revision:
            row = {"series_id": record.series_id, "revision": record.revision, "from": iteration}
            self.superseded.append(row)
        return record.revision > held.revision


def build_snapshot(
    out_dir: Path,
    journals: Sequence[tuple[str, Path]],
    store: SeriesLookup,
    label_set: LabelSet,
    parent_dir: Path | None = None,
) -> Snapshot:
    """Write the snapshot of the parent's labels and these journals (iteration, path), in order.

    Raises `AnnotationError` (or `LabelSetError`) that lists the records which do not fit the
    series store or the label set; nothing is written then.
    """
    parent = read_snapshot(parent_dir) if parent_dir is not None else None
    pool = _Pool(store, label_set, {}, {}, [], [])
    for series_id, record in (parent.records if parent else {}).items():
        pool.take(record, parent.origin[series_id] if parent else "")
    for iteration, path in journals:
        for record in latest(read_journal(path)).values():
            pool.take(record, iteration)
    raise_all(pool.errors, "labels cannot enter the snapshot")
    held = dict(sorted(pool.held.items()))
    records = {series_id: fitted.record for series_id, (fitted, _) in held.items()}
    origin = {series_id: iteration for series_id, (_, iteration) in held.items()}
    text = "".join(
        dump_json({**record.to_dict(), _ORIGIN: origin[series_id]}) + "\n"
        for series_id, record in records.items()
    )
    snapshot = Snapshot(records, origin, _sha256(text), label_set.ref)
    quality = {
        **assess(records, label_set, parent.records if parent else None, pool.shapes),
        "merged_overlaps": [item for fitted, _ in held.values() for item in fitted.merged],
        "remapped": [series_id for series_id, (fitted, _) in held.items() if fitted.remapped],
        "superseded": pool.superseded,
    }
    with fresh_dir(out_dir) as directory:
        write_text_atomic(directory / "annotations.jsonl", text)
        write_json(directory / "quality.json", quality)
        write_json(directory / "snapshot.json", _summary(snapshot, journals, parent))
    return snapshot


def read_snapshot(directory: Path) -> Snapshot:
    """Read a snapshot; a missing, foreign or changed one is an `AnnotationError`."""
    path = directory / "annotations.jsonl"
    summary = _read_summary(directory)
    text = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
    if not path.is_file() or _sha256(text) != summary["annotations_sha256"]:
        raise AnnotationError(
            f"Snapshot {directory} was changed after it was made: {path.name} does not have the "
            f"hash that snapshot.json names ({summary['annotations_sha256'][:12]}…).",
            hint="Restore it with: dvc checkout",
        )
    records: dict[str, AnnotationRecord] = {}
    origin: dict[str, str] = {}
    for record in parse_records(text, str(path)):
        origin[record.series_id] = str(record.extra.get(_ORIGIN, ""))
        extra = {key: value for key, value in record.extra.items() if key != _ORIGIN}
        records[record.series_id] = record.replace(extra=extra)
    return Snapshot(records, origin, summary["annotations_sha256"], summary["label_set"])


def _read_summary(directory: Path) -> dict[str, Any]:
    if not directory.is_dir():
        raise AnnotationError(
            f"Snapshot {directory} does not exist.", hint="Make it with: dvc repro"
        )
    summary = read_json(directory / "snapshot.json")
    if not isinstance(summary, dict) or summary.get("schema") != SCHEMA:
        raise AnnotationError(f"{directory} is not a snapshot of schema {SCHEMA}.")
    return summary


def _summary(
    snapshot: Snapshot, journals: Sequence[tuple[str, Path]], parent: Snapshot | None
) -> dict[str, Any]:
    origins = list(snapshot.origin.values())
    return {
        "schema": SCHEMA,
        "annotations_sha256": snapshot.sha256,
        "label_set": snapshot.label_set,
        "n_series": len(snapshot.records),
        "n_intervals": sum(len(record.intervals) for record in snapshot.records.values()),
        "series_per_iteration": {name: origins.count(name) for name in sorted(set(origins))},
        "journals": [{"iteration": name, "sha256": sha256_file(path)} for name, path in journals],
        "parent_sha256": parent.sha256 if parent else None,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
