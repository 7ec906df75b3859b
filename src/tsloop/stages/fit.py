"""Fine-tune one variant on the examples of one iteration, starting from its parent."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from tsloop.files import read_jsonl, write_jsonl
from tsloop.stages.runner import Figures, StageContext, run_stage

__all__ = ["fit", "note"]

NO_TREES = "trees_weight is 0: held-out groups are scored best by nearest neighbours alone"


def fit(context: StageContext) -> Figures:
    """Stage ``fit@<iteration>-<variant>``."""
    from tsloop.annotations.dataset import load_examples
    from tsloop.detectors import build
    from tsloop.detectors.files import load_detector, save_detector
    from tsloop.series.store import SeriesStore

    project, entry = context.project, context.entry("fits")
    iteration, variant = entry["iteration"], entry["variant"]
    store = SeriesStore.open(project.series)
    examples = load_examples(project.dataset(iteration), store)
    detector = build(entry["detector"])
    parent = load_detector(project.root / entry["parent_model"])
    checkpoints = detector.checkpoint_dir = project.checkpoints(iteration, variant)
    curve: list[dict[str, float]] = []
    kept = checkpoints / "curve.jsonl"
    before_kill = list(read_jsonl(kept)) if kept.is_file() else []

    def record(figures: Mapping[str, float]) -> None:
        if not curve:
            curve.extend(p for p in before_kill if p["step"] < figures.get("step", 0))
        curve.append(dict(figures))
        if checkpoints.is_dir():
            write_jsonl(kept, curve)
        context.progress(int(figures.get("step", 0)), int(figures.get("steps", 0)), variant)

    figures = detector.fit(
        examples,
        parent if type(parent) is type(detector) else None,
        seed=entry["seed"],
        progress=record,
    )
    # Wall times vary from run to run; the model directory must not.
    stable = {k: v for k, v in figures.items() if "second" not in k}
    directory = project.model(iteration, variant)
    save_detector(detector, directory, extra={"fit": stable, "parent": entry["parent_model"]})
    write_jsonl(directory / "training.jsonl", curve)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {"examples": len(examples), **figures, **note(figures)}


def note(figures: Mapping[str, float]) -> dict[str, str]:
    """A word where trees were grown and got no say: ``fallback``, which tells of none, is 0."""
    unused = figures.get("trees_weight") == 0 and not figures.get("fallback")
    return {"note": NO_TREES} if unused else {}


if __name__ == "__main__":
    raise SystemExit(run_stage("fit", fit))
