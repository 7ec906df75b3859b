"""Freeze all labels so far in a snapshot and split them into training and validation examples."""

from __future__ import annotations

from tsloop.stages.annotate import label_set_of
from tsloop.stages.runner import Figures, StageContext, run_stage
from tsloop.typed import from_mapping

__all__ = ["dataset"]


def dataset(context: StageContext) -> Figures:
    """Stage ``dataset@<iteration>``."""
    from tsloop.annotations.dataset import SplitConfig, build_dataset
    from tsloop.annotations.gold import read_gold
    from tsloop.annotations.snapshot import build_snapshot, read_snapshot
    from tsloop.series.store import SeriesStore

    project, entry = context.project, context.entry("datasets")
    store = SeriesStore.open(project.series)
    label_set = label_set_of(entry)
    parent = project.root / entry["parent_labels"]
    build_snapshot(
        project.snapshot(context.key),
        [(context.key, project.root / entry["journal"])],
        store,
        label_set,
        parent if parent.is_dir() else None,
    )
    return build_dataset(
        project.dataset(context.key),
        read_snapshot(project.snapshot(context.key)),
        store,
        read_gold(project.root / entry["gold"]),
        from_mapping(SplitConfig, entry["split"], "split"),
        context.key,
        label_set,
        entry["seed"],
    )


if __name__ == "__main__":
    raise SystemExit(run_stage("dataset", dataset))
