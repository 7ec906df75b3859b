"""From a snapshot to a dataset: leak check, split, replay, fine-tuning rows.

A dataset directory holds ``examples.jsonl`` (stretches of series with their labels, in rows of the
stored series), ``split.json`` (which rule was used, and counts) and ``finetune.jsonl``. It depends
on the snapshot, the series and the settings; gold is only checked against, so that gold can grow
without a new dataset.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tsloop.annotations.checks.contents import values_sha256
from tsloop.annotations.examples import Example
from tsloop.annotations.finetune import finetune_rows
from tsloop.annotations.fitting import SeriesLookup
from tsloop.annotations.gold import GoldSet
from tsloop.annotations.record import AnnotationRecord
from tsloop.annotations.snapshot import Snapshot
from tsloop.annotations.split import Split, SplitConfig, Stretch, seeded_unit, split_records
from tsloop.errors import AnnotationError, LabelSetError, LeakError
from tsloop.files import fresh_dir, read_jsonl, write_json, write_jsonl
from tsloop.grammar import PROMPT_VERSION
from tsloop.intervals import Interval
from tsloop.labels import LabelSet
from tsloop.series.types import Role

__all__ = [
    "SCHEMA",
    "SplitConfig",
    "build_dataset",
    "check_leaks",
    "find_leaks",
    "gold_ids",
    "gold_relation",
    "load_examples",
]

SCHEMA = "tsloop.dataset/1"


def build_dataset(
    out_dir: Path,
    snapshot: Snapshot,
    store: SeriesLookup,
    gold: GoldSet,
    config: SplitConfig,
    iteration: str,
    label_set: LabelSet,
    seed: int,
) -> dict[str, Any]:
    """Write the dataset of one iteration and return its figures.

    Raises `LeakError` where gold is labelled for training, and `AnnotationError` where the
    snapshot does not fit the series store.
    """
    if snapshot.label_set != label_set.ref:
        raise LabelSetError(
            f"The snapshot speaks of label set {snapshot.label_set}, "
            f"but the project uses {label_set.ref}."
        )
    check_leaks(snapshot, store, gold)
    for series_id, record in snapshot.records.items():
        _check_content(series_id, record.series_sha256, store)
    groups = {series_id: str(store.entries[series_id].group) for series_id in snapshot.records}
    split = split_records(snapshot.records, groups, snapshot.origin, config, seed)
    kept = _select(split, snapshot, config, iteration, seed)
    learned = {i for i, o in snapshot.origin.items() if config.incremental and o != iteration}
    rows = [_example_row(stretch, groups, snapshot, learned) for stretch in kept]
    training = [_example(row, store) for row in rows if row["split"] == "train"]
    windows, report = finetune_rows(training, config, label_set, seed)
    figures = _figures(rows, split, report)
    summary = {
        "schema": SCHEMA,
        "iteration": iteration,
        "rule": split.rule,
        "reason": split.reason,
        "seed": seed,
        "config": dataclasses.asdict(config),
        "snapshot_sha256": snapshot.sha256,
        "label_set": label_set.ref,
        "prompt": PROMPT_VERSION,
        "groups": {
            side: sorted({row["group"] for row in rows if row["split"] == side})
            for side in ("train", "valid")
        },
        "figures": figures,
        "finetune": report,
    }
    with fresh_dir(out_dir) as directory:
        write_jsonl(directory / "examples.jsonl", rows)
        write_jsonl(directory / "finetune.jsonl", windows)
        write_json(directory / "split.json", summary)
    return figures


def load_examples(directory: Path, store: SeriesLookup) -> list[Example]:
    """The examples of a dataset; series whose content has changed are an `AnnotationError`."""
    path = directory / "examples.jsonl"
    if not path.is_file():
        raise AnnotationError(
            f"Dataset {directory} does not exist.", hint="Make it with: dvc repro"
        )
    return [_example(row, store) for row in read_jsonl(path)]


def gold_ids(store: SeriesLookup, gold: GoldSet) -> list[str]:
    """The series of the gold file and those of the role gold in the store, sorted."""
    roles = {series_id for series_id, entry in store.entries.items() if entry.role == Role.GOLD}
    return sorted(roles | set(gold.records))


def gold_relation(store: SeriesLookup, gold: GoldSet) -> Callable[[str, str], str]:
    """A function of a series' id and content hash: how it is related to gold, "" for not at all.

    Gold are the series of the gold file and those of the role gold in the series store, and all
    that have the content or belong to the group of one.
    """
    ids = set(gold_ids(store, gold))
    roles = {series_id for series_id, entry in store.entries.items() if entry.role == Role.GOLD}
    contents = {store.entries[series_id].sha256 for series_id in roles} | gold.content_hashes
    by_group = {
        str(store.entries[i].group): i for i in sorted(ids, reverse=True) if i in store.entries
    }

    def relation(series_id: str, sha256: str) -> str:
        entry = store.entries.get(series_id)
        if series_id in ids:
            return f"{series_id} is gold"
        if sha256 in contents or (entry and entry.sha256 in contents):
            return f"{series_id} has the content of a gold series"
        if entry and str(entry.group) in by_group:
            same = by_group[str(entry.group)]
            return f"{series_id} is of group {entry.group!r} like the gold series {same}"
        return ""

    return relation


def check_leaks(snapshot: Snapshot, store: SeriesLookup, gold: GoldSet) -> None:
    """Raise `LeakError` for labelled series that `find_leaks` finds."""
    leaks = list(find_leaks(snapshot.records, store, gold).values())
    if leaks:
        more = f" … and {len(leaks) - 5} more" if len(leaks) > 5 else ""
        raise LeakError(
            f"{len(leaks)} labelled series would leak gold into training: "
            f"{'; '.join(leaks[:5])}{more}.",
            hint="Take their records out of the open journal, or give them another role and group.",
        )


def find_leaks(
    records: Mapping[str, AnnotationRecord], store: SeriesLookup, gold: GoldSet
) -> dict[str, str]:
    """Labelled series that are gold: by id, by content, by group, or by their values.

    Equal values under other timestamps are the same series, stored again.
    """
    relation = gold_relation(store, gold)
    by_values = {
        digest: name
        for name in gold_ids(store, gold)
        if name in store.entries and (digest := values_sha256(store[name]))
    }
    leaks: dict[str, str] = {}
    for name, record in records.items():
        leak = relation(name, record.series_sha256)
        if not leak and by_values and name in store.entries:
            twin = by_values.get(values_sha256(store[name]))
            leak = (
                f"{name} has the values of the gold series {twin}, at other times" if twin else ""
            )
        if leak:
            leaks[name] = leak
    return leaks


def _select(
    split: Split, snapshot: Snapshot, config: SplitConfig, iteration: str, seed: int
) -> list[Stretch]:
    """The stretches to use.

    Incremental: this iteration's training labels and a share of the older ones, taken alike from
    series with and without anomalies. Validation always uses everything.
    """
    if not config.incremental:
        return list(split.stretches)
    training = {s.record.series_id for s in split.stretches if s.split == "train"}
    old = sorted(i for i in training if snapshot.origin[i] != iteration)
    replay: set[str] = set()
    for eventful in (True, False):
        layer = [i for i in old if bool(snapshot.records[i].intervals) is eventful]
        layer.sort(key=lambda i: (seeded_unit(seed, "replay", iteration, i), i))
        replay.update(layer[: math.ceil(config.replay_share * len(layer))])
    dropped = set(old) - replay
    return [s for s in split.stretches if s.split == "valid" or s.record.series_id not in dropped]


def _example_row(
    stretch: Stretch, groups: Mapping[str, str], snapshot: Snapshot, learned: set[str]
) -> dict[str, Any]:
    record = stretch.record
    return {
        "series_id": record.series_id,
        "sha256": record.series_sha256,
        "group": groups[record.series_id],
        "start": stretch.start,
        "stop": stretch.stop,
        "intervals": [interval.to_dict() for interval in stretch.intervals],
        "split": stretch.split,
        "replay": record.series_id in learned,
        "weight": 1.0,
        "origin": snapshot.origin[record.series_id],
    }


def _example(row: Mapping[str, Any], store: SeriesLookup) -> Example:
    _check_content(row["series_id"], row["sha256"], store)
    series = store[row["series_id"]]
    start, stop = row["start"], row["stop"]
    if (start, stop) != (0, len(series)):
        series = series.window(start, stop)
    intervals = (Interval.from_dict(item) for item in row["intervals"])
    return Example(
        series,
        tuple(i.replace(start=i.start - start, end=i.end - start) for i in intervals),
        split=row["split"],
        replay=row["replay"],
        weight=row["weight"],
    )


def _check_content(series_id: str, sha256: str, store: SeriesLookup) -> None:
    entry = store.entries.get(series_id)
    if entry is None or entry.sha256 != sha256:
        found = "is not in the series store" if entry is None else f"is now {entry.sha256[:12]}…"
        raise AnnotationError(
            f"Series {series_id!r} was labelled with the content {sha256[:12]}…, but {found}.",
            hint="Make snapshot and dataset again with: dvc repro",
        )


def _figures(
    rows: Sequence[Mapping[str, Any]], split: Split, report: Mapping[str, int]
) -> dict[str, Any]:
    def side(name: str) -> list[Mapping[str, Any]]:
        return [row for row in rows if row["split"] == name]

    def events(some: Iterable[Mapping[str, Any]]) -> int:
        return sum(len(row["intervals"]) for row in some)

    return {
        "rule": split.rule,
        "train_examples": len(side("train")),
        "train_events": events(side("train")),
        "valid_examples": len(side("valid")),
        "valid_events": events(side("valid")),
        "replayed_examples": sum(row["replay"] for row in side("train")),
        "finetune_windows": report["windows"],
    }
