"""Freeze all labels so far in a snapshot and split them into training and validation examples."""

from __future__ import annotations

from tsloop.config.params import read_specs
from tsloop.files import fresh_dir
from tsloop.stages.annotate import gold_label_set, label_set_of
from tsloop.stages.runner import Figures, StageContext, run_stage
from tsloop.typed import from_mapping

__all__ = ["dataset"]


def dataset(context: StageContext) -> Figures:
    """Stage ``dataset@<iteration>``."""
    from tsloop.annotations.dataset import SplitConfig, build_dataset
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
    # The snapshot takes its place only together with its dataset: a leak leaves neither.
    with (
        fresh_dir(project.dataset(context.key)) as dataset_dir,
        fresh_dir(project.snapshot(context.key)) as snapshot_dir,
        context.unchanged(journal, gold_file),
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
        )
        return build_dataset(
            dataset_dir,
            read_snapshot(snapshot_dir),
            store,
            gold,
            from_mapping(SplitConfig, entry["split"], "split"),
            context.key,
            label_set,
            entry["seed"],
        )


if __name__ == "__main__":
    raise SystemExit(run_stage("dataset", dataset))
