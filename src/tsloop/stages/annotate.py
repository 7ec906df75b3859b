"""A simulated annotator answers the queue of the parent; ``gold`` labels the gold series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsloop.config.schema import LabelsConfig, resolve_environment
from tsloop.labels import LabelSet, builtin_label_set, load_label_set
from tsloop.stages.runner import Figures, StageContext, run_stage
from tsloop.typed import from_mapping

__all__ = ["annotate", "gold_label_set", "label_set_of"]


def label_set_of(entry: Mapping[str, Any]) -> LabelSet:
    """The label set that an entry of the pipeline names."""
    config = from_mapping(LabelsConfig, entry["labels"], "labels")
    return builtin_label_set() if config.set == "tsloop" else load_label_set(Path(config.set))


def gold_label_set(context: StageContext) -> LabelSet:
    """The label set that the project uses now: gold goes with it, whichever iteration is scored."""
    return label_set_of({"labels": resolve_environment(context.params["labels"], "labels")})


def annotate(context: StageContext) -> Figures:
    """Stage ``annotate@<iteration>`` and ``annotate@gold``."""
    from tsloop.annotations.journal import write_journal
    from tsloop.annotations.snapshot import read_snapshot
    from tsloop.loop.annotator import AnnotatorConfig, read_truth, simulate, simulate_gold
    from tsloop.loop.samplers import read_queue
    from tsloop.series.store import SeriesStore

    project, entry = context.project, context.entry("annotations")
    store = SeriesStore.open(project.series)
    truth = read_truth(project.truth / "intervals.jsonl")
    label_set = label_set_of(entry)
    config = from_mapping(AnnotatorConfig, entry.get("annotator", {}), "annotator")
    if context.key == "gold":
        records = simulate_gold(truth, store, label_set, config)
    else:
        labelled: set[str] = set()
        if Path(entry["parent_labels"]).is_dir():
            labelled = set(read_snapshot(project.root / entry["parent_labels"]).records)
        queue = [item.to_dict() for item in read_queue(project.root / entry["queue"])]
        records = simulate(
            truth, queue, store, config, context.key, labelled=labelled, label_set=label_set
        )
    write_journal(project.simulated(context.key), records)
    return {"series": len(records), "intervals": sum(len(r.intervals) for r in records)}


if __name__ == "__main__":
    raise SystemExit(run_stage("annotate", annotate))
