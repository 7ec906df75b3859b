"""A training that dies goes on where it was, to the same bits."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tuning_tools import base, config, data, equal, prompt_of, tensors_of, windows

import tsloop
from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.native.tuning import TuneResult, base_identity, save_tuned, tune
from tsloop.errors import TsloopError

Checkpoint = Callable[..., Path]
SETTINGS = config(steps=7, eval_every=2, augment=0.5)

SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from tuning_tools import base, config, data, prompt_of
from tsloop.chatts.native.tuning import tune
from test_tuning_resume import SETTINGS
model, processor = base(Path({base!r}))
def report(figures):
    if figures["step"] == 5:
        os.kill(os.getpid(), signal.SIGKILL)
tune(model, processor, data(processor), SETTINGS, answer="both", prompt_of=prompt_of,
     checkpoint_dir=Path({checkpoints!r}), progress=report)
"""


class DiedError(Exception):
    """Stands for the end of the process."""


def run(
    directory: Path,
    checkpoints: Path | None,
    *,
    dies_at: int = 0,
    settings: FinetuneConfig = SETTINGS,
    **options: Any,
) -> TuneResult:
    """Tune a fresh base; die in the report of step ``dies_at``."""
    model, processor = base(directory)

    def report(figures: Mapping[str, float]) -> None:
        if figures["step"] == dies_at:
            raise DiedError

    given = options.pop("data", None) or data(processor)
    return tune(
        model,
        processor,
        given,
        settings,
        answer="both",
        prompt_of=prompt_of,
        checkpoint_dir=checkpoints,
        progress=report,
        **options,
    )


@pytest.fixture(scope="module")
def whole(checkpoint: Checkpoint) -> TuneResult:
    """What comes out without interruption (and without checkpoints)."""
    return run(checkpoint("8b"), None)


def same(one: TuneResult, other: TuneResult) -> bool:
    figures = [(r.steps, r.loss, r.valid_loss, r.start_valid_loss) for r in (one, other)]
    return figures[0] == figures[1] and equal(tensors_of(one.model), tensors_of(other.model))


@pytest.mark.parametrize(("dies_at", "resumed_from"), [(1, None), (2, 2), (3, 2), (6, 6), (7, 7)])
def test_it_goes_on_to_the_same_bits(
    dies_at: int,
    resumed_from: int | None,
    checkpoint: Checkpoint,
    whole: TuneResult,
    tmp_path: Path,
) -> None:
    with pytest.raises(DiedError):
        run(checkpoint("8b"), tmp_path, dies_at=dies_at)
    again = run(checkpoint("8b"), tmp_path)
    assert again.resumed_from == resumed_from
    assert same(again, whole)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000007"]
    finished = run(checkpoint("8b"), tmp_path)
    assert finished.resumed_from == 7
    assert same(finished, whole)


@pytest.mark.parametrize("method", ["full", "head"])
def test_other_methods_go_on_as_well(method: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    settings = config(steps=4, method=method)
    options = {"answer": "score", "prompt_of": prompt_of}

    def tuned(place: Path | None, steps: int) -> TuneResult:
        model, processor = base(checkpoint("8b"))

        def report(figures: Mapping[str, float]) -> None:
            if figures["step"] == steps:
                raise DiedError

        given = data(processor)
        return tune(
            model, processor, given, settings, checkpoint_dir=place, progress=report, **options
        )

    with pytest.raises(DiedError):
        tuned(tmp_path, 3)
    again = tuned(tmp_path, 0)
    assert again.resumed_from == 2
    assert same(again, tuned(None, 0))


def test_a_killed_process_leaves_nothing_half_done(
    checkpoint: Checkpoint, whole: TuneResult, tmp_path: Path
) -> None:
    places = {"tests": str(Path(__file__).parent), "base": str(checkpoint("8b"))}
    script = SCRIPT.format(checkpoints=str(tmp_path), **places)
    source = str(Path(tsloop.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    again = run(checkpoint("8b"), tmp_path)
    assert again.resumed_from == 4
    assert same(again, whole)


def test_dying_while_a_checkpoint_is_written(
    checkpoint: Checkpoint, whole: TuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before is whole, and what was begun is removed later."""
    module = "tsloop.chatts.native.tuning.resume"
    with pytest.raises(DiedError):
        run(checkpoint("8b"), tmp_path, dies_at=2)
    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.write_json", _raise)
        with pytest.raises(DiedError):
            run(checkpoint("8b"), tmp_path)
    (tmp_path / ".step-00000004.tmp-1").mkdir()
    again = run(checkpoint("8b"), tmp_path)
    assert again.resumed_from == 2
    assert same(again, whole)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000007"]


def _raise(*arguments: Any) -> None:
    raise DiedError


def test_a_checkpoint_of_another_training_is_not_used(
    checkpoint: Checkpoint, whole: TuneResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, processor = base(checkpoint("8b"))
    other_data = data(processor, score=windows(40, 6))
    directory = checkpoint("8b")
    for first in (
        {"settings": config(steps=7, eval_every=2, augment=0.4)},
        {"data": other_data},
        {"seed": 1},
    ):
        place = tmp_path / next(iter(first))
        with pytest.raises(DiedError):
            run(directory, place, dies_at=3, **first)
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="tsloop"):
            found = run(directory, place)
        assert found.resumed_from is None
        assert same(found, whole)
        assert "step-00000002 of a training with another config, data or start" in caplog.text


def test_a_checkpoint_holds_no_pickle_and_a_broken_one_is_an_error(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(DiedError):
        run(checkpoint("8b"), tmp_path, dies_at=2)
    place = tmp_path / "step-00000002"
    assert {p.suffix for p in place.iterdir()} == {".safetensors", ".json"}
    assert load_file(place / "optimizer.safetensors")
    state = json.loads((place / "state.json").read_text(encoding="utf-8"))
    assert state["progress"]["step"] == 2
    (place / "state.json").write_text("{", encoding="utf-8")
    with pytest.raises(TsloopError, match="not valid JSON"):
        run(checkpoint("8b"), tmp_path)


def test_a_resumed_training_is_saved_like_any_other(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(DiedError):
        run(checkpoint("8b"), tmp_path / "checkpoints", dies_at=4)
    result = run(checkpoint("8b"), tmp_path / "checkpoints")
    save_tuned(tmp_path / "adapter", result.model, base_identity(checkpoint("8b")))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
