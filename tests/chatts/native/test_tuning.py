"""Tuning the native model: what is learned, what is refused, what is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tuning_tools import base, config, data, prompt_of

from tsloop.chatts.native.tuning import TuneResult, tune

Checkpoint = Callable[..., Path]


def improvement(result: TuneResult) -> float:
    """Validation loss in shares of what it was before."""
    assert result.valid_loss is not None
    assert result.start_valid_loss is not None
    return result.valid_loss / result.start_valid_loss


@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_scoring_is_learned(method: str, checkpoint: Checkpoint) -> None:
    model, processor = base(checkpoint("8b"))
    settings = config(method=method, steps=30, eval_every=10, encoder_learning_rate=3e-3)
    seen: list[dict[str, float]] = []
    result = tune(
        model,
        processor,
        data(processor),
        settings,
        answer="score",
        prompt_of=prompt_of,
        progress=lambda figures: seen.append(dict(figures)),
    )
    assert (result.steps, result.resumed_from, result.kept_start) == (30, None, False)
    assert improvement(result) < 0.9
    assert result.loss < seen[0]["loss"]
    assert [f["step"] for f in seen if "valid_loss" in f] == [10.0, 20.0, 30.0]
    assert not result.model.training


@pytest.mark.parametrize("answer", ["generate", "both"])
def test_answers_are_learned(answer: str, checkpoint: Checkpoint) -> None:
    model, processor = base(checkpoint("8b"))
    result = tune(
        model,
        processor,
        data(processor),
        config(steps=12, eval_every=4),
        answer=answer,
        prompt_of=prompt_of,
    )
    assert improvement(result) < 0.95
    trained = {n for n, p in result.model.named_parameters() if p.requires_grad}
    assert any("score_head" in n for n in trained) == (answer == "both")
    assert torch.is_tensor(result.model.generate(**processor("x"), max_new_tokens=2))
