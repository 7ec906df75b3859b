"""A native model as a variant: two iterations, the second one goes on from the first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from project_tools import make_project, run_stages, stages_in_order
from tsloop.chatts.native.tiny import write_tiny
from tsloop.detectors.files import load_detector
from tsloop.detectors.predictions import read_detections
from tsloop.files import read_json, sha256_tree

VARIANT = (
    "+detector@variants.big=chatts_8b",
    "variants.big.device=cpu",
    "variants.big.generate.window=120",
    "variants.big.generate.overlap=0",
    "variants.big.generate.max_new_tokens=60",
    "variants.big.generate.language=en",
    "variants.big.finetune.steps=2",
    "variants.big.finetune.batch_size=2",
    "variants.big.finetune.accumulate=1",
    "variants.big.finetune.window=120",
    "variants.big.finetune.synthetic_series=2",
    "variants.big.finetune.precision=float32",
)


@pytest.mark.slow
def test_the_loop_runs_with_a_native_model(
    project_env: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = write_tiny(tmp_path / "tiny", "8b"), tmp_path / "elsewhere" / "tiny"
    monkeypatch.setenv("TSLOOP_CHATTS_8B", str(here))
    project = make_project(tmp_path / "project", *VARIANT)
    run_stages(project, *stages_in_order(project), record=False)

    first, second = (project.model(name, "big") for name in ("it001", "it002"))
    saved = [path for path in second.rglob("*") if path.is_file()]
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in saved), "a path inside"
    extra = read_json(second / "detector.json")["extra"]
    assert extra["parent"] == "models/it001/big"
    assert extra["fit"]["steps"] == 2.0
    assert sha256_tree(first) != sha256_tree(second)
    detections = read_detections(project.predictions("it002", "big"))
    assert len(detections) == len(read_detections(project.predictions("it002", "knn")))

    before = sha256_tree(second)
    run_stages(project, "fit@it002-big", record=False)
    assert sha256_tree(second) == before

    shutil.move(here, elsewhere)
    monkeypatch.setenv("TSLOOP_CHATTS_8B", str(elsewhere))
    assert load_detector(second).adapter is not None
