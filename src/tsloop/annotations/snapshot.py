"""Snapshots: all labels so far, validated and frozen, so that training never reads live labels.

A snapshot directory holds ``annotations.jsonl`` (one record per series, in rows of the stored
series, each with the iteration that it came from), ``snapshot.json`` and ``quality.json``. Equal
input gives equal bytes; a snapshot whose lines were touched afterwards is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tsloop.annotations.checks.config import ChecksConfig
from tsloop.annotations.checks.run import Material, check_labels, refuse
from tsloop.annotations.checks.second import second_opinions
from tsloop.annotations.fitting import (
    Fitted,
    SeriesLookup,
    fit_record,
    raise_all,
    stored_series,
)
from tsloop.annotations.journal import latest, parse_records, read_journal
from tsloop.annotations.quality import assess
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError, TsloopError
from tsloop.files import dump_json, fresh_dir, read_json, sha256_file, write_json, write_text_atomic
from tsloop.labels import LabelSet

__all__ = ["SCHEMA", "Snapshot", "build_snapshot", "read_snapshot"]

SCHEMA = "tsloop.snapshot/1"
_ORIGIN = "origin_iteration"
T = TypeVar("T")


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


class _Pool:
    """Records while a snapshot is put together: first who counts, then whether it fits."""

    def __init__(self, store: SeriesLookup, label_set: LabelSet, checks: ChecksConfig) -> None:
        self.store = store
        self.label_set = label_set
        self.material = Material(label_set, checks)
        self.held: dict[str, tuple[AnnotationRecord, str]] = {}
        self.errors: list[TsloopError] = []
        self.superseded: list[dict[str, Any]] = []

    def take(self, record: AnnotationRecord, iteration: str) -> None:
        """Hold a record if its revision is the latest of its series."""
        extra = {key: value for key, value in record.extra.items() if key != _ORIGIN}
        record = record.replace(extra=extra)
        current = self.held.get(record.series_id)
        if current is None or record.revision > current[0].revision:
            self.held[record.series_id] = (record, iteration)
        elif record.revision < current[0].revision:
            row = {"series_id": record.series_id, "revision": record.revision, "from": iteration}
            self.superseded.append(row)
        else:
            self.attempt(self.check_same, record, iteration, *current)

    def check_same(
        self, record: AnnotationRecord, iteration: str, held: AnnotationRecord, origin: str
    ) -> None:
        """Two records of one revision must say the same of the stored series."""
        if record != held and self.fit(record).record != self.fit(held).record:
            raise AnnotationError(
                f"Series {record.series_id!r} has two different records of revision "
                f"{record.revision}: from {origin} and from {iteration}.",
                hint=f"Give the one that shall count revision {held.revision + 1}.",
            )

    def fit(self, record: AnnotationRecord) -> Fitted:
        """`fit_record`, with the series read from the store."""
        return fit_record(record, stored_series(record, self.store), self.label_set)

    def fit_and_see(self, record: AnnotationRecord) -> Fitted:
        """`fit`, and what the checks need to see of the series."""
        series = stored_series(record, self.store)
        fitted = fit_record(record, series, self.label_set)
        self.material.see(series, fitted.record)
        return fitted

    def fit_all(self) -> dict[str, Fitted]:
        """Every record that counts, by series id in sorted order; all faults in one error."""
        fitted = {
            series_id: self.attempt(self.fit_and_see, record)
            for series_id, (record, _) in sorted(self.held.items())
        }
        raise_all(self.errors, "labels cannot enter the snapshot")
        return {series_id: item for series_id, item in fitted.items() if item is not None}

    def attempt(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """Call a function and keep its error for later."""
        try:
            return function(*arguments)
        except TsloopError as error:
            self.errors.append(error)
            return None


def build_snapshot(
    out_dir: Path,
    journals: Sequence[tuple[str, Path]],
    store: SeriesLookup,
    label_set: LabelSet,
    parent_dir: Path | None = None,
    *,
    checks: ChecksConfig | None = None,
    gold: Iterable[str] = (),
    second: Path | None = None,
) -> Snapshot:
    """Write the snapshot of the parent's labels and these journals (iteration, path), in order.

    ``gold`` are the ids of gold series, which labels may not resemble, and ``second`` is a journal
    of somebody who labelled series of the last iteration again. Raises `AnnotationError` (or
    `LabelSetError`) that lists the records which do not fit the series store or the label set, or
    what a check with the action ``stop`` has found; nothing is written then.
    """
    parent = read_snapshot(parent_dir) if parent_dir is not None else None
    checks = checks or ChecksConfig()
    pool = _Pool(store, label_set, checks)
    for series_id, record in (parent.records if parent else {}).items():
        pool.take(record, parent.origin[series_id] if parent else "")
    for iteration, path in journals:
        for record in latest(read_journal(path)).values():
            pool.take(record, iteration)
    fitted = pool.fit_all()
    records = {series_id: item.record for series_id, item in fitted.items()}
    origin = {series_id: pool.held[series_id][1] for series_id in fitted}
    text = "".join(
        dump_json({**record.to_dict(), _ORIGIN: origin[series_id]}) + "\n"
        for series_id, record in records.items()
    )
    snapshot = Snapshot(records, origin, _sha256(text), label_set.ref)
    latest_name = journals[-1][0] if journals else ""
    material = pool.material
    material.records = records
    material.earlier = parent.records if parent else {}
    material.fresh = frozenset(i for i, name in origin.items() if name == latest_name)
    material.merged = [row for item in fitted.values() for row in item.merged]
    material.gold = {name: store[name] for name in sorted(set(gold)) if name in store.entries}
    if second is not None and journals:
        material.found += second_opinions(journals[-1][1], second, store, label_set, checks)
    findings = check_labels(material)
    refuse(findings, checks, latest_name)
    quality = {
        **assess(records, parent.records if parent else None, findings, checks),
        "merged_overlaps": material.merged,
        "remapped": [series_id for series_id, item in fitted.items() if item.remapped],
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
