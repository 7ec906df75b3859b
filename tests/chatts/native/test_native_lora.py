"""LoRA: which modules are adapted, and that an adapter survives its ways to the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tsloop.chatts.native.checkpoints import load_checkpoint
from tsloop.chatts.native.lora import add_lora, load_lora, lora_config
from tsloop.chatts.native.tiny import write_tiny
from tsloop.errors import ConfigError, ModelFileError

Loaded = Callable[[str], tuple[Any, Any]]
SERIES = "<ts><ts/>"
PROJECTIONS = [f"self_attn.{p}_proj" for p in "qkvo"] + [
    f"mlp.{p}_proj" for p in ("gate", "up", "down")
]


def trained(model: Any, batch: dict[str, torch.Tensor], config: Any) -> Any:
    """Two steps, on the answer and (where there is a head) on the score."""
    torch.manual_seed(0)
    wrapped = add_lora(model, config).train()
    optimizer = torch.optim.AdamW([p for p in wrapped.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        loss = wrapped(**batch, labels=batch["input_ids"]).loss
        if model.score_head is not None:
            loss = loss + model.score(**batch).row_logits.square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return wrapped.eval()


@pytest.mark.parametrize("kind", ["paper", "8b", "llama"])
def test_saved_loaded_and_merged_are_equal(
    kind: str, checkpoint: Callable[..., Path], loaded: Loaded, series: list[Any], tmp_path: Path
) -> None:
    model, processor = loaded(kind)
    batch = processor([f"{SERIES} {SERIES} 12", "x"], [series[:2], []])
    with torch.no_grad():
        before = model(**batch).logits
    tuned = trained(load_checkpoint(checkpoint(kind)), batch, lora_config(4))
    with torch.no_grad():
        expected = tuned(**batch).logits
    assert not torch.allclose(before, expected, atol=1e-3)
    tuned.save_pretrained(str(tmp_path))

    names = set(load_file(tmp_path / "adapter_model.safetensors"))
    prefix = "base_model.model."
    encoder = {f"{prefix}ts_encoder.{name}" for name in model.ts_encoder.state_dict()}
    matrices = {
        f"{prefix}model.layers.{layer}.{p}.lora_{side}.weight"
        for layer in range(2)
        for p in PROJECTIONS
        for side in "AB"
    }
    assert names == encoder | matrices

    again = load_lora(load_checkpoint(checkpoint(kind)), tmp_path)
    assert not any(p.requires_grad for p in again.parameters())
    more = load_lora(load_checkpoint(checkpoint(kind)), tmp_path, trainable=True)
    assert len([p for p in more.parameters() if p.requires_grad]) == len(names)
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, expected)
        generated = again.generate(**batch, max_new_tokens=5, do_sample=False)
        merged = again.merge_and_unload()
        torch.testing.assert_close(merged(**batch).logits, expected)
        assert torch.equal(merged.generate(**batch, max_new_tokens=5, do_sample=False), generated)


def test_the_score_head_can_go_with_the_adapter(
    checkpoint: Callable[..., Path], loaded: Loaded, series: list[Any], tmp_path: Path
) -> None:
    _, processor = loaded("8b")
    batch = processor(f"{SERIES} 12", [[series[0]]])

    def base() -> Any:
        model = load_checkpoint(checkpoint("8b"))
        model.add_score_head(["a", "b"], width=8)
        return model

    tuned = trained(base(), batch, lora_config(2, score_head=True))
    with torch.no_grad():
        expected = tuned.score(**batch)
    tuned.save_pretrained(str(tmp_path))
    again = load_lora(base(), tmp_path).eval().merge_and_unload()
    with torch.no_grad():
        found = again.score(**batch)
    torch.testing.assert_close(found.row_logits, expected.row_logits)
    torch.testing.assert_close(found.label_logits, expected.label_logits)


def test_an_adapter_of_a_quantised_model_goes_on_a_fresh_one(
    loaded: Loaded, series: list[Any], tmp_path: Path
) -> None:
    write_tiny(tmp_path / "base", "8b", hidden=64)
    _, processor = loaded("8b")
    batch = processor([f"{SERIES} 12", "x"], [[series[0]], []])

    def base() -> Any:
        return load_checkpoint(tmp_path / "base", quantization="nf4", dtype=torch.bfloat16)

    tuned = trained(base(), batch, lora_config(4))
    tuned.save_pretrained(str(tmp_path / "adapter"))
    again = load_lora(base(), tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(again(**batch).logits, tuned(**batch).logits)
    settings = {"max_new_tokens": 5, "do_sample": False}
    assert torch.equal(again.generate(**batch, **settings), tuned.generate(**batch, **settings))


def test_a_frozen_encoder_is_not_in_the_adapter(checkpoint: Callable[..., Path]) -> None:
    model = add_lora(load_checkpoint(checkpoint("8b")), lora_config(train_encoder=False))
    assert not any("ts_encoder" in n for n, p in model.named_parameters() if p.requires_grad)


def test_gradient_checkpointing_reaches_the_encoder(
    checkpoint: Callable[..., Path], loaded: Loaded, series: list[Any]
) -> None:
    _, processor = loaded("8b")
    model = add_lora(load_checkpoint(checkpoint("8b")), lora_config(2)).train()
    model.activation_checkpointing_enable({"use_reentrant": False})
    batch = processor(f"{SERIES} 12", [[series[0]]])
    model(**batch, labels=batch["input_ids"], use_cache=False).loss.backward()
    grads = [p.grad for n, p in model.named_parameters() if "ts_encoder.modules_to_save" in n]
    assert len(grads) == 11
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)


def test_a_rank_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="rank of LoRA is 0"):
        lora_config(0)


def test_adapters_that_do_not_fit_or_could_execute_are_refused(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    add_lora(load_checkpoint(checkpoint("8b")), lora_config(2)).save_pretrained(str(tmp_path))
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)

    def refused(match: str) -> None:
        with pytest.raises(ModelFileError, match=match):
            load_lora(load_checkpoint(checkpoint("8b")), tmp_path)

    name = "base_model.model.ts_encoder.mlp.0.bias"
    save_file({key: t for key, t in tensors.items() if key != name}, file)
    refused(r"1 tensors are missing, unknown or of another shape \(base_model\S+mlp.0.bias\)")
    settings = tmp_path / "adapter_config.json"
    kept = settings.read_text(encoding="utf-8")
    settings.write_text(kept.replace("{", '{"auto_map": {},', 1), encoding="utf-8")
    refused("remote code")
    settings.write_text(kept, encoding="utf-8")
    file.rename(tmp_path / "adapter_model.bin")
    refused(r"has no adapter_model\.safetensors")
