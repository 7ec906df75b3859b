"""Rank what to review next: unlabelled pool series, with the detections as pre-annotations.

Before them stand a few labelled series in which a label looks wrong (``sampler.recheck``).
What is gold, or would leak it, is not asked about: gold is labelled without seeing proposals.
"""

from __future__ import annotations

from tsloop.files import read_json
from tsloop.stages.runner import Figures, StageContext, run_stage
from tsloop.typed import from_mapping

__all__ = ["queue"]


def queue(context: StageContext) -> Figures:
    """Stage ``queue@<iteration>`` and ``queue@base``."""
    from tsloop.annotations.dataset import gold_relation
    from tsloop.annotations.gold import GoldSet, read_gold
    from tsloop.annotations.snapshot import read_snapshot
    from tsloop.detectors.predictions import read_all_scores, read_detections
    from tsloop.loop.queues import QueueItem
    from tsloop.loop.samplers import Candidate, SamplerConfig, rank, write_queue
    from tsloop.loop.suspects.find import find_suspects
    from tsloop.loop.suspects.rechecks import add_rechecks, rechecks
    from tsloop.series.store import SeriesStore
    from tsloop.series.types import Role

    project, entry = context.project, context.entry("queues")
    store = SeriesStore.open(project.series)
    predictions = project.predictions(context.key, entry["variant"])
    detections, scores = read_detections(predictions), read_all_scores(predictions)
    threshold = read_json(predictions / "decision.json")["hi"]
    labels = project.root / entry["labels"]
    records = read_snapshot(labels).records if labels.is_dir() else {}
    gold = project.root / entry["gold"]
    known = read_gold(gold) if gold.suffix == ".jsonl" else GoldSet({}, 0, "", frozenset())
    relation = gold_relation(store, known)
    asked = [i for i in store.ids(Role.POOL) if not relation(i, store.entries[i].sha256)]
    candidates = [
        Candidate(
            series_id,
            store.entries[series_id].group,
            store.entries[series_id].n_rows,
            detections.get(series_id),
            scores[series_id],
            series_id in records,
            threshold=threshold,
        )
        for series_id in asked
    ]
    config = from_mapping(SamplerConfig, entry["sampler"], "sampler")
    items = rank(candidates, config, model=f"{context.key}/{entry['variant']}")
    again: list[QueueItem] = []
    if config.recheck:
        suspects = find_suspects(records, store, seed=config.seed, progress=context.progress)
        again = rechecks(suspects, records, config.recheck)
    write_queue(project.queue(context.key), add_rechecks(again, items))
    left_out = len(store.ids(Role.POOL)) - len(asked)
    return {
        "items": len(items),
        "rechecks": len(again),
        "labelled": len(records),
        "gold_left_out": left_out,
    }


if __name__ == "__main__":
    raise SystemExit(run_stage("queue", queue))
