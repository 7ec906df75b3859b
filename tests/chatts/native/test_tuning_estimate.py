"""The estimate of memory, against what was measured and against real models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn.modules import Linear4bit
from tuning_tools import base, config

import tsloop
from tsloop.chatts.native.configuration import official_config
from tsloop.chatts.native.estimate import describe, estimate, main
from tsloop.chatts.native.lora import add_lora, lora_config
from tsloop.chatts.native.modeling import MODEL_CLASSES
from tsloop.chatts.native.tiny import write_tiny
from tsloop.chatts.native.tuning.trainable import Trainable
from tsloop.errors import ConfigError

Checkpoint = Callable[..., Path]
MEASURED = Path(tsloop.__file__).parents[2] / "docs" / "results" / "native_lora.json"


def of_8b(method: str, checkpointing: bool = False, **changes: Any) -> Any:
    settings: dict[str, Any] = {"rank": 16, "rows": 1024, "batch": 4, "tokens": 128}
    settings |= {"precision": "bfloat16", "checkpointing": checkpointing}
    return estimate(official_config("8b"), method, **settings | changes)


@pytest.mark.parametrize("case", ["lora", "lora checkpointing", "qlora", "qlora checkpointing"])
def test_measured_peaks_are_met(case: str) -> None:
    """The measured runs had no score head, which the estimate counts: 0.03 GiB."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))["busy"][case]
    found = of_8b(case.split()[0], "checkpointing" in case)
    assert found.total_gib == pytest.approx(measured["peak_gib"], rel=0.05)
    assert found.weights_gib == pytest.approx(measured["weights_gib"], rel=0.01)
    assert found.trainable == pytest.approx(measured["trainable"], rel=0.02)


@pytest.mark.parametrize("era", ["8b", "0801", "paper"])
def test_parameters_are_those_of_peft(era: str) -> None:
    info = official_config(era) | {"score_head": {"labels": ["a"], "width": 64}}
    model_class = MODEL_CLASSES[info["model_type"]]
    settings = {key: value for key, value in info.items() if key != "auto_map"}
    with torch.device("meta"):
        model = model_class(model_class.config_class.from_dict(settings))
        whole = sum(p.numel() for p in model.parameters())
        tuned = add_lora(model, lora_config(8, score_head=True))
    trainable = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    sizes = (8, 512, 1, 64, "bfloat16", True)
    assert estimate(info, "lora", *sizes).trainable == trainable
    assert estimate(info, "full", *sizes).trainable == whole


@pytest.mark.parametrize("method", ["lora", "full", "head", "qlora"])
def test_weights_are_those_of_a_real_model(method: str, tmp_path: Path) -> None:
    directory = write_tiny(tmp_path, "8b", hidden=64)
    options: dict[str, Any] = {}
    if method == "qlora":
        options = {"dtype": torch.bfloat16, "quantization": "nf4"}
    model, _ = base(directory, **options)
    trainable = Trainable(model, config(method=method), "score")
    held = sum(p.numel() * p.element_size() for p in trainable.model.parameters())
    if method == "qlora":
        held += sum(
            module.weight.quant_state.absmax.numel() * 4
            for module in trainable.model.modules()
            if isinstance(module, Linear4bit)
        )
    info = model.config.to_dict()
    found = estimate(info, method, 2, 64, 4, 16, "float32", False)
    assert found.weights_gib * 2**30 == pytest.approx(held, rel=0.001)
    assert found.trainable == sum(p.numel() for p in trainable.named().values())


def test_what_saves_memory_is_less() -> None:
    plain = of_8b("lora")
    assert of_8b("lora", checkpointing=True).total_gib < plain.total_gib
    assert of_8b("lora", batch=1).total_gib < plain.total_gib
    assert of_8b("lora", learned=0).total_gib < plain.total_gib
    assert of_8b("lora", rows=256).total_gib < plain.total_gib
    assert plain.total_gib < of_8b("lora", precision="float32").total_gib
    assert of_8b("head").total_gib < of_8b("lora").total_gib < of_8b("full").total_gib
    assert of_8b("head").step_flops < plain.step_flops < of_8b("full").step_flops
    assert of_8b("lora", checkpointing=True).step_flops == pytest.approx(1.5 * plain.step_flops)


def test_the_command_says_it_in_a_line(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["8b", "--method", "qlora", "--checkpointing"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    found = of_8b("qlora", checkpointing=True)
    assert line == describe("ChatTS-8B", "qlora", 16, 1024, found)
    assert line.startswith("ChatTS-8B QLoRA r=16, 1024 points: about 13.")
    assert main([str(checkpoint("llama")), "--method", "full", "--rows", "64"]) == 0
    assert "full, 64 points: about 0.0 GiB" in capsys.readouterr().out


def test_what_cannot_be_estimated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="method is 'dora'"):
        of_8b("dora")
    with pytest.raises(ConfigError, match="precision is 'int4'"):
        of_8b("lora", precision="int4")
    with pytest.raises(ConfigError, match="rank is 0"):
        of_8b("lora", rank=0)
    with pytest.raises(ConfigError, match="neither a checkpoint directory nor"):
        main([str(tmp_path)])
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="no section 'ts'"):
        main([str(tmp_path)])
