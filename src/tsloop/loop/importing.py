"""A benchmark as a folder that ``source=folder`` reads, with its labels as gold.

::

    manifest.json            the series with role, group and truth
    series/<name>.parquet    timestamp (ns, UTC), value (null = gap): what prepare would store
    gold.jsonl               records of the gold series, for `tsloop labels gold add`
    import.json              what was repaired, left out or skipped

The series are validated here, so that they are the same, by content, once a project has prepared
them, and gold fits. The same benchmark and settings give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tsloop.annotations.blind import BLIND
from tsloop.annotations.journal import write_journal
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import ConfigError, SourceError, TsloopError
from tsloop.files import fresh_dir, write_json
from tsloop.intervals import Interval, Status
from tsloop.series.policies import PrepareConfig
from tsloop.series.tables import file_stem, write_table
from tsloop.series.types import Role
from tsloop.series.validate import Validated, validate

if TYPE_CHECKING:
    from tsloop.labels import LabelSet
    from tsloop.sources.benchmarks.base import Benchmark

__all__ = ["Imported", "import_benchmark"]

SCHEMA = "tsloop.import/1"
JOBS = 4


@dataclass
class Imported:
    """What an import did; ``refused`` and ``skipped`` say of series and files why not."""

    n_series: int = 0
    n_rows: int = 0
    n_pool: int = 0
    n_gold: int = 0
    n_events: int = 0
    n_unlabelled: int = 0
    repairs: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def import_benchmark(
    source: Benchmark,
    out: Path,
    prepare: PrepareConfig,
    label_set: LabelSet,
    *,
    gold_share: float = 0.5,
    label: str = "anomaly",
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Imported:
    """Write a benchmark into ``out``, which appears complete or not at all.

    ``gold_share`` of its groups, drawn by a hash of their names, are gold, as far as they are
    labelled; the others are pool. ``label`` takes the place of the benchmark's plain "anomaly".
    A series that cannot be read is left out and told.
    """
    if not 0.0 <= gold_share <= 1.0:
        raise ConfigError(f"--gold-share is {gold_share}, not in [0, 1].")
    label_set.check([label])
    names = source.list()
    writer = _Writer(source.kind, label_set, label, gold_share)
    with fresh_dir(out) as place:
        (place / "series").mkdir()
        for done, (name, found) in enumerate(_validated(source, names, prepare)):
            progress(done, len(names), name)
            if isinstance(found, TsloopError):
                writer.done.refused[name] = str(found)
            else:
                writer.add(place, found)
        if not writer.done.n_series:
            reason = next(iter(writer.done.refused.values()))
            raise SourceError(f"None of {len(names)} series can be read. The first: {reason}")
        writer.done.skipped = dict(sorted(source.skipped.items()))
        writer.close(place)
    progress(len(names), len(names), "done")
    return writer.done


def _validated(
    source: Benchmark, names: Sequence[str], prepare: PrepareConfig
) -> Iterator[tuple[str, Validated | TsloopError]]:
    """The series in their order, read by a few threads, no more at once than these hold."""

    def read(batch: Sequence[str]) -> list[tuple[str, Validated | TsloopError]]:
        found: list[tuple[str, Validated | TsloopError]] = []
        for name in batch:
            try:
                found.append((name, validate(source.read(name), prepare)))
            except TsloopError as error:
                found.append((name, error))
        return found

    batches = source.batches(names)
    with ThreadPoolExecutor(JOBS) as pool:
        for first in range(0, len(batches), JOBS):
            for part in pool.map(read, batches[first : first + JOBS]):
                yield from part


class _Writer:
    """Collects what the manifest and the gold file say while series are written."""

    def __init__(self, kind: str, label_set: LabelSet, label: str, gold_share: float) -> None:
        self._kind, self._label_set, self._label, self._share = kind, label_set, label, gold_share
        self._manifest: dict[str, Any] = {}
        self._records: list[AnnotationRecord] = []
        self.done = Imported()

    def add(self, place: Path, found: Validated) -> None:
        """Write one series."""
        series, done = found.series, self.done
        intervals = self._labelled(found.intervals)
        labelled = intervals is not None
        role = Role.GOLD if labelled and self._is_gold(series.group) else Role.POOL
        file = f"series/{file_stem(series.id)}.parquet"
        stamps = pa.array(series.timestamps).cast(pa.timestamp("ns", "UTC"))
        values = pa.array(series.values, mask=np.isnan(series.values))
        write_table(place / file, pa.table({"timestamp": stamps, "value": values}))
        entry: dict[str, Any] = {
            "file": file,
            "dataset": self._kind,
            "role": str(role),
            "group": series.group,
            "n": len(series),
            "zone": series.zone,
            "metadata": {"read_from" if k == "file" else k: v for k, v in series.meta.items()},
        }
        if intervals is not None:
            entry["intervals"] = [[i.start, i.end, i.label] for i in intervals]
            done.n_events += len(intervals)
        self._manifest[series.id] = entry
        if role is Role.GOLD and intervals is not None:
            self._records.append(self._record(found, intervals))
        done.n_series += 1
        done.n_rows += len(series)
        done.n_gold += int(role is Role.GOLD)
        done.n_pool += int(role is Role.POOL)
        done.n_unlabelled += int(not labelled)
        done.repairs += [repair.to_dict() for repair in found.repairs]

    def _labelled(self, intervals: tuple[Interval, ...] | None) -> tuple[Interval, ...] | None:
        if intervals is None:
            return None
        renamed = [i.replace(label=self._label) if i.label == "anomaly" else i for i in intervals]
        return tuple(renamed)

    def _is_gold(self, group: str) -> bool:
        return int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 2**32 < self._share

    def _record(self, found: Validated, intervals: tuple[Interval, ...]) -> AnnotationRecord:
        series = found.series
        self._label_set.check(interval.label for interval in intervals)
        placed = tuple(
            interval.replace(
                t_start=int(series.timestamps[interval.start]),
                t_end=int(series.timestamps[interval.end]),
            )
            for interval in intervals
        )
        return AnnotationRecord(
            series.id,
            series.sha256,
            len(series),
            Status.OK if placed else Status.NONE,
            self._label_set.ref,
            placed,
            author=self._kind,
            # Its publishers labelled it before there was a model of ours.
            extra={BLIND: {"by": f"publishers of {self._kind}"}},
        )

    def close(self, place: Path) -> None:
        """Write what was collected."""
        write_json(place / "manifest.json", self._manifest)
        write_journal(place / "gold.jsonl", self._records)
        report = {"schema": SCHEMA, "benchmark": self._kind, **dataclasses.asdict(self.done)}
        write_json(place / "import.json", report)
