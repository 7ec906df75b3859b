"""The model, its base on disk, its adapters: shapes, masks, determinism, refusals."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tsloop.chatts.adapter import (
    LORA_TARGETS,
    Adapter,
    Trainable,
    as_start,
    check_trained,
    load_adapter,
    merged_model,
    save_adapter,
)
from tsloop.chatts.bases import load_base, load_model, save_base
from tsloop.chatts.channels import CHANNELS
from tsloop.chatts.config import FinetuneConfig, ModelConfig
from tsloop.chatts.finetune import FinetuneData, finetune
from tsloop.chatts.model import build_model
from tsloop.chatts.pretrain import PretrainConfig, main, pretrain, schedule
from tsloop.chatts.scoring import score_channels
from tsloop.chatts.synthetic import generate
from tsloop.chatts.training import Item, WindowSampler, make_batch, synthetic_item
from tsloop.errors import ConfigError, DetectorError, ModelFileError
from tsloop.files import read_json, sha256_tree
from tsloop.labels import builtin_label_set

LABELS = list(builtin_label_set().ids)
TINY = ModelConfig(
    channels=list(CHANNELS), labels=LABELS, window=128, hidden=16, layers=2, heads=2, kv_heads=1,
    mlp=16, encoder_layers=2, context=4, point=8,
)  # fmt: skip
QUICK = FinetuneConfig(steps=3, batch_size=4, window=64, rank=2, synthetic_series=2, eval_every=1)


@pytest.fixture(scope="module")
def base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("base")
    save_base(directory, "tiny", build_model(TINY, 0), {"made": "in a test"})
    return directory


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return [synthetic_item(generate(3, index, 400), LABELS) for index in range(4)]


def channels(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, len(CHANNELS))).astype(np.float32)


def test_same_seed_same_weights_and_the_global_state_stays() -> None:
    torch.manual_seed(4)
    before = torch.random.get_rng_state()
    one, two = build_model(TINY, 1).state_dict(), build_model(TINY, 1).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(before, torch.random.get_rng_state())


def test_series_tokens_see_both_directions_and_never_the_padding() -> None:
    model = build_model(TINY, 0).eval()
    x = torch.from_numpy(channels(128))[None]
    valid = torch.ones(1, 128, dtype=torch.bool)
    valid[:, 64:] = False
    with torch.inference_mode():
        padded, _ = model(x, valid)
        alone, _ = model(x[:, :64], valid[:, :64])
        changed = x.clone()
        changed[:, 60] += 3.0
        moved, _ = model(changed[:, :64], valid[:, :64])
    assert torch.allclose(padded[:, :64], alone, atol=1e-5)
    assert not torch.equal(moved[:, :8], alone[:, :8])


@pytest.mark.parametrize("n", [1, 3, 7, 8, 127, 128, 129, 500])
def test_any_length_gets_a_logit_per_row_and_labels_per_patch(n: int) -> None:
    logits, labels = score_channels(build_model(TINY, 0).eval(), channels(n))
    assert logits.shape == (n,)
    assert labels.shape == (-(-n // 8), len(LABELS))
    assert np.isfinite(logits).all()
    assert np.isfinite(labels).all()


def test_impossible_shapes_and_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="window 100"):
        ModelConfig(window=100)
    with pytest.raises(ModelFileError, match="colour"):
        ModelConfig.from_dict({"colour": 1})
    for wrong in ({"method": "dora"}, {"rank": 0}, {"replay_share": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            FinetuneConfig(**wrong)


def test_the_embedded_base_is_small_verified_and_trained_on_synthetic_series() -> None:
    base = load_base()
    assert sum(t.numel() for t in base.tensors.values()) * 4 < 5e6
    assert base.recipe["command"] == "python -m tsloop.chatts.pretrain"
    assert load_base() is base
    load_model(base)


def test_a_base_that_is_damaged_foreign_or_missing_is_refused(
    base_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match="not at hand"):
        load_base(str(tmp_path / "nowhere"))
    for name, change, message in (
        ("remote", {"auto_map": {"AutoModel": "x.Y"}}, "remote code"),
        ("schema", {"schema": "other"}, "not a base"),
        ("hash", {"sha256": "0" * 64}, "damaged"),
        ("channels", {"model": {**TINY.to_dict(), "channels": ["value"]}}, "other input channels"),
        ("shape", {"model": {**TINY.to_dict(), "hidden": 32}}, "does not fit"),
    ):
        copy = tmp_path / name
        shutil.copytree(base_dir, copy)
        info = read_json(copy / "config.json") | change
        (copy / "config.json").write_text(json.dumps(info))
        with pytest.raises(ModelFileError, match=message):
            load_model(load_base(str(copy)))


@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_finetune_is_deterministic_and_survives_the_disk(
    method: str, base_dir: Path, items: list[Item], tmp_path: Path
) -> None:
    base = load_base(str(base_dir))
    config = dataclasses.replace(QUICK, method=method)
    data = FinetuneData(new=items[:2], old=items[2:3], valid=items[3:])
    seen: list[dict[str, float]] = []
    first = finetune(base, data, config, seed=1, progress=lambda f: seen.append(dict(f)))
    again = finetune(base, data, config, seed=1)
    for name, result in (("a", first), ("b", again)):
        (tmp_path / name).mkdir()
        save_adapter(tmp_path / name, result.adapter, base)
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")
    assert [f["step"] for f in seen] == [1.0, 2.0, 3.0]
    assert {"loss", "learning_rate", "valid_loss"} <= set(seen[-1])
    x = channels(300)
    before = score_channels(merged_model(base, first.adapter), x)[0]
    after = score_channels(merged_model(base, load_adapter(tmp_path / "a", base)), x)[0]
    plain = score_channels(load_model(base), x)[0]
    assert np.array_equal(before, after)
    assert not np.array_equal(before, plain)


def test_lora_adapts_the_named_projections_only(base_dir: Path) -> None:
    trainable = Trainable(load_base(str(base_dir)), QUICK)
    names = [n for n, p in trainable.module.named_parameters() if p.requires_grad]
    lora = {n.split(".lora_")[0] for n in names if "lora_" in n}
    assert len(lora) == 2 * 7
    assert all("backbone.layers." in name for name in lora)
    rest = [n for n in names if "lora_" not in n]
    assert all("modules_to_save" in n and ("encoder." in n or "head." in n) for n in rest)
    assert "encoder" not in LORA_TARGETS


def test_training_goes_on_from_the_parent(base_dir: Path, items: list[Item]) -> None:
    base = load_base(str(base_dir))
    parent = finetune(base, FinetuneData(new=items[:2]), QUICK).adapter
    start = Trainable(base, QUICK, parent).adapter()
    assert all(torch.equal(start.tensors[n], parent.tensors[n]) for n in parent.tensors)
    child = finetune(base, FinetuneData(new=items[2:]), QUICK, start=parent).adapter
    assert any(not torch.equal(child.tensors[n], parent.tensors[n]) for n in child.tensors)


@pytest.mark.parametrize(("rank", "alpha"), [(2, 4.0), (5, 16.0), (3, 1.0)])
def test_a_parent_of_lower_rank_is_taken_over_exactly(
    base_dir: Path, items: list[Item], rank: int, alpha: float
) -> None:
    """The same update, with room for more; the new directions have no effect yet."""
    base = load_base(str(base_dir))
    parent = finetune(base, FinetuneData(new=items[:2]), QUICK).adapter
    config = dataclasses.replace(QUICK, rank=rank, alpha=alpha)
    torch.manual_seed(0)
    start = as_start(parent, config)
    assert (start.rank, start.alpha) == (rank, alpha)
    before, after = (merged_model(base, a).state_dict() for a in (parent, start))
    for name, tensor in before.items():
        assert torch.allclose(tensor, after[name], atol=1e-6), name
    child = finetune(base, FinetuneData(new=items[2:]), config, start=parent).adapter
    assert child.rank == rank


def test_a_parent_of_higher_rank_is_taken_over_as_closely_as_can_be(
    base_dir: Path, items: list[Item]
) -> None:
    base = load_base(str(base_dir))
    parent = finetune(base, FinetuneData(new=items[:2]), QUICK).adapter
    start = as_start(parent, dataclasses.replace(QUICK, rank=1))
    plain, full, less = (merged_model(base, a).state_dict() for a in (None, parent, start))
    name = "backbone.layers.0.self_attn.q_proj.weight"
    values = torch.linalg.svdvals((full[name] - plain[name]).double())
    lost = torch.linalg.matrix_norm((full[name] - less[name]).double())
    assert lost == pytest.approx(float(values[1:].square().sum().sqrt()), rel=1e-3)


def test_another_method_does_not_go_on_from_the_parent(base_dir: Path, items: list[Item]) -> None:
    base = load_base(str(base_dir))
    parent = finetune(base, FinetuneData(new=items[:2]), QUICK).adapter
    with pytest.raises(DetectorError, match=r"tuned with lora.*asks for head"):
        Trainable(base, dataclasses.replace(QUICK, method="head"), parent)


def test_training_that_does_nothing_is_an_error(base_dir: Path, items: list[Item]) -> None:
    base = load_base(str(base_dir))
    with pytest.raises(DetectorError, match="steps is 0"):
        finetune(base, FinetuneData(new=items), dataclasses.replace(QUICK, steps=0))
    with pytest.raises(DetectorError, match="no labelled example"):
        finetune(base, FinetuneData(new=[]), QUICK)
    still = dataclasses.replace(QUICK, learning_rate=0.0, encoder_learning_rate=0.0)
    with pytest.raises(DetectorError, match="zero after training"):
        finetune(base, FinetuneData(new=items), still)
    with pytest.raises(DetectorError, match="same after"):
        finetune(base, FinetuneData(new=items), dataclasses.replace(still, method="head"))


@pytest.fixture
def saved(base_dir: Path, items: list[Item], tmp_path: Path) -> Path:
    base = load_base(str(base_dir))
    save_adapter(tmp_path, finetune(base, FinetuneData(new=items[:1]), QUICK).adapter, base)
    return tmp_path


def test_foreign_adapters_are_refused_before_loading(saved: Path, base_dir: Path) -> None:
    base = load_base(str(base_dir))
    with pytest.raises(ModelFileError, match="belongs to base 'tiny'"):
        load_adapter(saved, load_base())
    config = saved / "adapter_config.json"
    good = config.read_text()
    assert json.loads(good)["target_modules"] == sorted(json.loads(good)["target_modules"])
    config.write_text(json.dumps(json.loads(good) | {"auto_map": {}}))
    with pytest.raises(ModelFileError, match="remote code"):
        load_adapter(saved, base)
    config.write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(ModelFileError, match="schema"):
        load_adapter(saved, base)
    config.write_text(good)
    (saved / "adapter_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ModelFileError, match="pickles"):
        load_adapter(saved, base)
    (saved / "adapter_model.bin").unlink()
    weights = saved / "adapter_model.safetensors"
    weights.write_bytes(b"\x80\x04" + bytes(64))
    with pytest.raises(ModelFileError, match="not a safetensors"):
        load_adapter(saved, base)
    weights.unlink()
    with pytest.raises(ModelFileError, match="no adapter_model"):
        load_adapter(saved, base)


def test_a_renamed_tensor_is_refused(saved: Path, base_dir: Path) -> None:
    base = load_base(str(base_dir))
    adapter = load_adapter(saved, base)
    tensors = dict(adapter.tensors)
    name = next(iter(tensors))
    tensors[name + ".other"] = tensors.pop(name)
    with pytest.raises(ModelFileError, match="does not fit"):
        merged_model(base, Adapter("lora", adapter.rank, adapter.alpha, tensors))
    check_trained(adapter, Trainable(base, QUICK).adapter())


def test_batches_pad_short_series_and_hold_the_event(items: list[Item]) -> None:
    sampler = WindowSampler(items, 64, 1.0)
    rng = np.random.default_rng(0)
    batch = make_batch(sampler.draw(16, rng), 64)
    assert bool((batch.target.sum(dim=1) > 0).all())
    short = synthetic_item(generate(3, 0, 40), LABELS)
    padded = make_batch([(short, 0)], 64)
    assert int(padded.valid.sum()) == 40
    assert float(padded.weight[:, 40:].sum()) == 0


def test_pretraining_learns_is_reproducible_and_writes_a_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = PretrainConfig(steps=3, series=3, batch_size=2)
    one, loss = pretrain(config, TINY)
    two, _ = pretrain(config, TINY)
    assert np.isfinite(loss)
    other = two.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.state_dict().items())
    assert schedule(0, 100, 0.1) == pytest.approx(0.1)
    assert schedule(99, 100, 0.1) < 0.03
    assert main(["--steps", "1", "--series", "2", "--output", str(tmp_path / "base")]) == 0
    assert load_base(str(tmp_path / "base")).recipe["steps"] == 1
    assert "sha256" in capsys.readouterr().out
