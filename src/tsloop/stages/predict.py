"""Score every series with one fitted variant."""

from __future__ import annotations

from collections import Counter

from tsloop.files import fresh_dir, write_json
from tsloop.stages.runner import Figures, StageContext, run_stage

__all__ = ["predict"]


def predict(context: StageContext) -> Figures:
    """Stage ``predict@<iteration>-<variant>``."""
    from tsloop.detectors.files import load_detector
    from tsloop.detectors.predictions import PredictionWriter
    from tsloop.series.store import SeriesStore

    project, entry = context.project, context.entry("predictions")
    iteration, variant = entry["iteration"], entry["variant"]
    detector = load_detector(project.model(iteration, variant))
    store = SeriesStore.open(project.series)
    counts: Counter[str] = Counter()
    with (
        fresh_dir(project.predictions(iteration, variant)) as directory,
        PredictionWriter(directory) as writer,
    ):
        for number, series in enumerate(store, start=1):
            detection, scores = detector.analyse(series)
            writer.add(series.id, series.sha256, detection, scores)
            counts[str(detection.status)] += 1
            context.progress(number, len(store), variant)
        write_json(directory / "decision.json", detector.decision.to_dict())
    return {"series": len(store), **counts}


if __name__ == "__main__":
    raise SystemExit(run_stage("predict", predict))
