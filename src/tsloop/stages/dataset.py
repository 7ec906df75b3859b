"""Freeze all labels so far in a snapshot and split them into training and validation examples."""

from __future__ import annotations

from tsloop.config.params import read_specs
from tsloop.config.pipeline import NOTHING_YET
from tsloop.files import fresh_dir, read_json
from tsloop.stages.annotate import gold_label_set, label_set_of
from tsloop.stages.runner import Figures, StageContext, run_stage
from tsloop.typed import from_mapping

__all__ = ["dataset"]


def dataset(context: StageContext) -> Figures:
    """Stage ``dataset@<iteration>``."""
    from tsloop.annotations.checks.config import ChecksConfig
    from tsloop.annotations.dataset import SplitConfig, build_dataset, gold_ids
    from tsloop.annotations.snapshot import build_snapshot, read_snapshot
    from tsloop.loop.closed import check_closed_journal
    from tsloop.loop.gold import load_gold
    from tsloop.series.store import SeriesStore

    project, entry = context.project, context.entry("datasets")
    check_closed_journal(project, context.key, read_specs(context.params["iterations"]))
    store = SeriesStore.open(project.series)
    label_set = label_set_of(entry)
    parent = project.root / entry["parent_labels"]
    journal, gold_file = project.root / entry["journal"], project.root / entry["gold"]
    second = project.root / entry["second"] if entry["second"] != NOTHING_YET else None
    # The snapshot takes its place only together with its dataset: a leak leaves neither.
    with (
        fresh_dir(project.dataset(context.key)) as dataset_dir,
        fresh_dir(project.snapshot(context.key)) as snapshot_dir,
        context.unchanged(journal, gold_file, *([second] if second else [])),
    ):
        gold = load_gold(
            project, gold_file, context.params["iterations"], store, gold_label_set(context)
        )
        build_snapshot(
            snapshot_dir,
            [(context.key, journal)],
            store,
            label_set,
            parent if parent.is_dir() else None,
            checks=from_mapping(ChecksConfig, entry["checks"], "checks"),
            gold=gold_ids(store, gold),
            second=second,
        )
        figures = build_dataset(
            dataset_dir,
            read_snapshot(snapshot_dir),
            store,
            gold,
            from_mapping(SplitConfig, entry["split"], "split"),
            context.key,
            label_set,
            entry["seed"],
        )
        quality = read_json(snapshot_dir / "quality.json")
    return {**figures, "label_findings": len(quality["findings"])}


if __name__ == "__main__":
    raise SystemExit(run_stage("dataset", dataset))
