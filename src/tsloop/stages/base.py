"""The detector of a variant before any label: the embedded base, or an empty state."""

from __future__ import annotations

from tsloop.project import BASE
from tsloop.stages.runner import Figures, StageContext, run_stage

__all__ = ["base"]


def base(context: StageContext) -> Figures:
    """Stage ``base@<variant>``."""
    from tsloop.detectors import build
    from tsloop.detectors.files import save_detector

    detector = build(context.entry("bases")["detector"])
    save_detector(detector, context.project.model(BASE, context.key))
    return {"detector": detector.name, "trainable": detector.trainable}


if __name__ == "__main__":
    raise SystemExit(run_stage("base", base))
