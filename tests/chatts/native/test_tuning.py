"""Tuning the native model: what is learned, what is refused, what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tuning_tools import base, config, data, equal, prompt_of, tensors_of, windows

from tsloop.chatts.config import FinetuneConfig
from tsloop.chatts.native.tiny import write_tiny
from tsloop.chatts.native.tuning import TuneResult, tune
from tsloop.chatts.native.tuning.batches import score_loss
from tsloop.errors import ConfigError, DetectorError, NotFittedError

Checkpoint = Callable[..., Path]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose layers are wide enough for 4 bits."""
    return write_tiny(tmp_path_factory.mktemp("wide"), "8b", hidden=64)


def run(
    directory: Path, settings: FinetuneConfig, answer: str = "score", **options: Any
) -> tuple[TuneResult, list[float]]:
    """Tune a fresh base; the result and the losses of all steps."""
    loading = {key: options.pop(key) for key in ("dtype", "quantization") if key in options}
    model, processor = base(directory, **loading)
    losses: list[float] = []
    result = tune(
        model,
        processor,
        options.pop("data", None) or data(processor),
        settings,
        answer=answer,
        prompt_of=prompt_of,
        progress=lambda figures: losses.append(figures["loss"]),
        **options,
    )
    return result, losses


def improvement(result: TuneResult) -> float:
    """Validation loss in shares of what it was before."""
    assert result.valid_loss is not None
    assert result.start_valid_loss is not None
    return result.valid_loss / result.start_valid_loss


@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_scoring_is_learned(method: str, checkpoint: Checkpoint) -> None:
    settings = config(method=method, steps=30, eval_every=10, encoder_learning_rate=3e-3)
    result, losses = run(checkpoint("8b"), settings)
    assert (result.steps, result.resumed_from, result.kept_start) == (30, None, False)
    assert improvement(result) < 0.9
    assert result.loss < losses[0]
    assert not result.model.training


@pytest.mark.parametrize("answer", ["generate", "both"])
def test_answers_are_learned(answer: str, checkpoint: Checkpoint) -> None:
    result, _ = run(checkpoint("8b"), config(steps=12, eval_every=4), answer)
    assert improvement(result) < 0.95
    trained = {n for n, p in result.model.named_parameters() if p.requires_grad}
    assert any("score_head" in n for n in trained) == (answer == "both")
    assert any("ts_encoder" in n for n in trained)


def test_four_bits_are_trained_around(wide: Path) -> None:
    settings = config(method="qlora", steps=12, eval_every=4, precision="bfloat16")
    result, _ = run(wide, settings, "both", dtype=torch.bfloat16, quantization="nf4")
    assert improvement(result) < 0.97
    kinds = {n: type(m).__name__ for n, m in result.model.named_modules()}
    whole = [n for n in kinds if "ts_encoder" in n or "score_head" in n or "lm_head" in n]
    assert whole
    assert not any("4bit" in kinds[name] for name in whole)
    assert any("4bit" in kind for kind in kinds.values())


def test_a_look_in_between_does_not_change_gradients_in_four_bits(wide: Path) -> None:
    """bitsandbytes repacks 4-bit layers at a forward without gradients; see load_checkpoint."""
    model, processor = base(wide, dtype=torch.bfloat16, quantization="nf4")
    batch = processor("x <ts><ts/> y", [[windows(0, 1)[0].values]])

    def gradient() -> torch.Tensor:
        embedded = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
        model.model(inputs_embeds=embedded).last_hidden_state.float().square().sum().backward()
        assert embedded.grad is not None
        return embedded.grad

    before = gradient()
    with torch.no_grad():
        model.eval()(**batch)
    assert torch.equal(gradient(), before)


def test_parts_of_a_batch_give_the_same_as_the_whole(checkpoint: Checkpoint) -> None:
    _, whole = run(checkpoint("8b"), config(), "both")
    _, parts = run(checkpoint("8b"), config(accumulate=4), "both")
    assert parts == pytest.approx(whole, abs=1e-4)


def test_gradient_checkpointing_changes_nothing_but_memory(checkpoint: Checkpoint) -> None:
    _, kept = run(checkpoint("8b"), config(), "both")
    result, again = run(checkpoint("8b"), config(gradient_checkpointing=True), "both")
    assert again == pytest.approx(kept, abs=1e-4)
    assert not result.model.is_activation_checkpointing


def test_half_precision_learns_too(checkpoint: Checkpoint) -> None:
    _, exact = run(checkpoint("8b"), config(), "both")
    _, half = run(checkpoint("8b"), config(precision="bfloat16"), "both")
    assert half != exact
    assert half == pytest.approx(exact, rel=0.05)


def test_the_same_seed_gives_the_same_tensors(checkpoint: Checkpoint) -> None:
    settings = config(augment=0.5, synthetic_replay_share=0.5, synthetic_series=2)
    one, other, third = (
        tensors_of(run(checkpoint("8b"), settings, seed=seed)[0].model) for seed in (3, 3, 4)
    )
    assert equal(one, other)
    assert not equal(one, third)


def test_what_validation_finds_worse_than_the_start_is_not_returned(
    checkpoint: Checkpoint,
) -> None:
    ruinous = config(learning_rate=3.0, encoder_learning_rate=3.0, steps=4)
    result, _ = run(checkpoint("8b"), ruinous)
    assert result.kept_start
    assert result.valid_loss == result.start_valid_loss
    lora = {n: t for n, t in tensors_of(result.model).items() if "lora_B" in n}
    assert lora
    assert not any(tensor.any() for tensor in lora.values())


def test_training_stops_when_validation_does_not_get_better(checkpoint: Checkpoint) -> None:
    ruinous = config(learning_rate=3.0, eval_every=1, patience=2, steps=20)
    result, _ = run(checkpoint("8b"), ruinous)
    assert result.steps == 2


def test_the_best_weights_are_returned_not_the_last(checkpoint: Checkpoint) -> None:
    """The learning rate rises until it ruins everything."""
    model, processor = base(checkpoint("8b"))
    settings = config(learning_rate=1.0, steps=12, eval_every=1, warmup=1.0)
    given = data(processor)
    seen: list[float] = []
    result = tune(
        model,
        processor,
        given,
        settings,
        answer="score",
        prompt_of=prompt_of,
        progress=lambda figures: seen.append(figures["valid_loss"]),
    )
    assert result.valid_loss == min(seen)
    assert max(seen) > 1.2 * min(seen)
    assert seen[-1] > min(seen)
    with torch.no_grad():
        again = score_loss(
            result.model, processor, given.valid_score, prompt_of, settings, torch.device("cpu")
        )
    assert float(again) / 2 == pytest.approx(min(seen))


def test_the_encoder_has_its_own_learning_rate(checkpoint: Checkpoint) -> None:
    result, _ = run(checkpoint("8b"), config(steps=1, eval_every=1, encoder_learning_rate=0.0))
    assert not any("ts_encoder" in name for name in tensors_of(result.model))
    moved = {}
    for rate in (1e-5, 1e-3):
        model, processor = base(checkpoint("8b"))
        before = model.ts_encoder.mlp[0].weight.detach().clone()
        settings = config(steps=1, encoder_learning_rate=rate)
        nothing = data(processor, valid_score=[])
        tune(model, processor, nothing, settings, answer="score", prompt_of=prompt_of)
        tuned = model.ts_encoder.modules_to_save["default"].mlp[0].weight
        moved[rate] = float((tuned.detach() - before).abs().max())
    assert moved[1e-3] == pytest.approx(100 * moved[1e-5], rel=0.05)


def test_examples_that_are_too_long_are_counted(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    _, processor = base(checkpoint("8b"))
    given = data(processor, score=[*windows(0, 3), *windows(9, 2, rows=8193)])
    with caplog.at_level(logging.WARNING, logger="tsloop"):
        result, _ = run(checkpoint("8b"), config(steps=1), data=given)
    assert result.left_out == 2
    assert "2 examples are too long" in caplog.text
    only = data(processor, score=windows(9, 2, rows=8193))
    with pytest.raises(DetectorError, match=r"no labelled windows .* 2 examples were too long"):
        run(checkpoint("8b"), config(), data=only)


def test_old_examples_alone_are_enough(checkpoint: Checkpoint) -> None:
    _, processor = base(checkpoint("8b"))
    given = data(processor, score=[], old_score=windows(0, 3))
    assert run(checkpoint("8b"), config(steps=2), data=given)[0].steps == 2


def test_a_training_that_would_change_nothing_is_an_error(checkpoint: Checkpoint) -> None:
    with pytest.raises(DetectorError, match="steps is 0"):
        run(checkpoint("8b"), config(steps=0))
    with pytest.raises(DetectorError, match="Every LoRA update is zero"):
        run(checkpoint("8b"), config(learning_rate=0.0, encoder_learning_rate=0.0))
    with pytest.raises(DetectorError, match="same after training as before"):
        run(checkpoint("8b"), config(method="head", learning_rate=0.0))


def test_a_loss_that_is_not_finite_stops_training(checkpoint: Checkpoint) -> None:
    with pytest.raises(DetectorError, match=r"The loss of step \d+ is (nan|inf)"):
        run(checkpoint("8b"), config(method="full", learning_rate=1e20, steps=10), "generate")


def test_methods_and_models_that_do_not_fit_are_refused(checkpoint: Checkpoint, wide: Path) -> None:
    directory = checkpoint("8b")
    with pytest.raises(ConfigError, match="not loaded in 4 bits"):
        run(directory, config(method="qlora"))
    with pytest.raises(ConfigError, match=r"the model is quantised\. .* finetune=qlora"):
        run(wide, config(), quantization="nf4")
    with pytest.raises(ConfigError, match=r"weights are \['torch.bfloat16'\]"):
        run(directory, config(method="full"), dtype=torch.bfloat16)
    with pytest.raises(ConfigError, match="trains the score head alone"):
        run(directory, config(method="head"), "both")
    with pytest.raises(ConfigError, match="answer is 'speak'"):
        run(directory, config(), "speak")
    model, processor = base(directory, labels=())
    with pytest.raises(NotFittedError, match="no score head"):
        tune(model, processor, data(processor), config(), answer="score", prompt_of=prompt_of)
    tuned, _ = run(directory, config(steps=1))
    with pytest.raises(DetectorError, match="tuned already"):
        tune(tuned.model, processor, data(processor), config(), answer="score", prompt_of=prompt_of)
