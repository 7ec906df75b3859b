"""A tuned model on disk: the way back, other parents, and everything that is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tuning_tools import LABELS, base, config, data, equal, prompt_of, tensors_of, windows

from tsloop.chatts.native.checkpoints import load_checkpoint
from tsloop.chatts.native.tiny import write_tiny
from tsloop.chatts.native.tuning import (
    BaseIdentity,
    base_identity,
    check_base,
    load_tuned,
    save_tuned,
    score_inputs,
    tune,
    untuned,
)
from tsloop.errors import DetectorError, ModelFileError, NotFittedError

Checkpoint = Callable[..., Path]
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def tuned(directory: Path, settings: Any, start: Path | None = None, answer: str = "score") -> Any:
    """The model after a few steps, whatever validation says."""
    model, processor = base(directory)
    given = data(processor, valid_score=[], valid_texts=[])
    options = {"answer": answer, "prompt_of": prompt_of, "start": start}
    return tune(model, processor, given, settings, **options).model


def scores(model: Any, processor: Any) -> torch.Tensor:
    batch = score_inputs(processor, [w.values for w in windows(50, 2)], prompt_of)
    with torch.no_grad():
        found: torch.Tensor = model.score(**batch).row_logits
    return found


@pytest.fixture(scope="module")
def saved(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint, and an adapter for it; nobody may change them."""
    place = tmp_path_factory.mktemp("saved") / "adapter"
    directory = checkpoint("8b")
    save_tuned(place, tuned(directory, config(steps=2)), base_identity(directory))
    return directory, place


def copied(saved: tuple[Path, Path], place: Path) -> Path:
    place.mkdir()
    for file in saved[1].iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def load(directory: Path, adapter: Path) -> Any:
    return load_tuned(load_checkpoint(directory), adapter, base_identity(directory))


@pytest.mark.parametrize("kind", ["8b", "llama"])
@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_saved_and_loaded_are_equal(
    method: str, kind: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    directory = checkpoint(kind)
    model = tuned(directory, config(steps=2, method=method))
    save_tuned(tmp_path, model, base_identity(directory))
    again = load(directory, tmp_path)
    assert equal(tensors_of(again), tensors_of(model))
    _, processor = base(directory)
    assert torch.equal(scores(again, processor), scores(model, processor))
    assert not torch.equal(scores(again, processor), scores(base(directory)[0], processor))
    assert again.score_labels == LABELS
    assert not any(parameter.requires_grad for parameter in again.parameters())
    names = set(load_file(tmp_path / WEIGHTS))
    assert (method == "head") == all(name.startswith("score_head.") for name in names)
    save_tuned(tmp_path / "again", again, base_identity(directory))
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (tmp_path / WEIGHTS).read_bytes()


def test_an_adapter_of_four_bits_goes_on_four_bits_only(tmp_path: Path) -> None:
    directory = write_tiny(tmp_path / "base", "8b", hidden=64)
    options: dict[str, Any] = {"dtype": torch.bfloat16, "quantization": "nf4"}
    model, processor = base(directory, **options)
    settings = config(method="qlora", steps=2)
    given = data(processor, valid_score=[])
    model = tune(model, processor, given, settings, answer="score", prompt_of=prompt_of).model
    save_tuned(tmp_path / "adapter", model, base_identity(directory))
    fresh = load_checkpoint(directory, **options)
    again = load_tuned(fresh, tmp_path / "adapter", base_identity(directory))
    torch.testing.assert_close(
        scores(again, processor), scores(model, processor), rtol=0.05, atol=0.05
    )
    plain = untuned(again)
    once_more = load_tuned(plain, tmp_path / "adapter", base_identity(directory))
    assert equal(tensors_of(once_more), tensors_of(model))
    with pytest.raises(ModelFileError, match="quantization nf4, this one has none"):
        load(directory, tmp_path / "adapter")


def test_training_goes_on_from_a_parent(saved: tuple[Path, Path], checkpoint: Checkpoint) -> None:
    directory, adapter = saved
    before = tensors_of(load(directory, adapter))
    small = config(steps=1, learning_rate=1e-6, encoder_learning_rate=1e-6)
    after = tensors_of(tuned(directory, small, adapter))
    assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)
    assert not equal(before, after)


def test_a_parent_of_another_rank_is_taken_over(saved: tuple[Path, Path]) -> None:
    directory, adapter = saved
    _, processor = base(directory)
    expected = scores(load(directory, adapter), processor)
    wider = config(steps=1, rank=4, alpha=16.0, learning_rate=1e-7, encoder_learning_rate=1e-7)
    found = scores(tuned(directory, wider, adapter), processor)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_what_a_parent_trained_stays_where_it_is_not_trained_any_more(
    saved: tuple[Path, Path], tmp_path: Path
) -> None:
    directory, adapter = saved
    before = tensors_of(load(directory, adapter))
    frozen = config(steps=2, encoder_learning_rate=0.0)
    after = tensors_of(tuned(directory, frozen, adapter, "generate"))
    kept = [n for n in before if "ts_encoder" in n or "score_head" in n]
    assert kept
    assert all(torch.equal(before[name], after[name]) for name in kept)


def test_a_parent_of_another_method_is_refused(saved: tuple[Path, Path]) -> None:
    with pytest.raises(DetectorError, match="tuned with lora, this fit asks for full"):
        tuned(saved[0], config(method="full"), saved[1])


def test_the_base_comes_back(checkpoint: Checkpoint) -> None:
    model, processor = base(checkpoint("8b"))
    expected = scores(model, processor)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = data(processor, valid_score=[])
    settings = config(steps=2)
    options = {"answer": "score", "prompt_of": prompt_of}
    first = tune(model, processor, given, settings, **options).model
    learned = tensors_of(first)
    back = untuned(first)
    assert equal(dict(back.state_dict()), weights)
    assert torch.equal(scores(back, processor), expected)
    assert equal(tensors_of(tune(back, processor, given, settings, **options).model), learned)
    whole = tuned(checkpoint("8b"), config(steps=1, method="head"))
    with pytest.raises(DetectorError, match="lost its base weights"):
        untuned(whole)


def test_an_untuned_model_is_not_saved(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="was not tuned"):
        save_tuned(tmp_path, base(checkpoint("8b"))[0], BaseIdentity("a", "", "0"))


def test_another_base_is_refused(saved: tuple[Path, Path], tmp_path: Path) -> None:
    other = write_tiny(tmp_path / "other", "8b", seed=1)
    with pytest.raises(ModelFileError, match=r"belongs to base .*, at hand is 'other'"):
        load(other, saved[1])
    check_base(saved[1], base_identity(saved[0]))


def test_another_score_head_is_refused(saved: tuple[Path, Path]) -> None:
    model, _ = base(saved[0], labels=("dropout",))
    with pytest.raises(ModelFileError, match="has a score head of"):
        load_tuned(model, saved[1], base_identity(saved[0]))


def test_pickles_code_and_other_schemas_are_refused(
    saved: tuple[Path, Path], tmp_path: Path
) -> None:
    place = copied(saved, tmp_path / "adapter")
    for name in ("adapter_model.bin", "modeling.py"):
        (place / name).write_bytes(pickle.dumps(print))
        with pytest.raises(ModelFileError, match="pickles and code are not loaded"):
            load(saved[0], place)
        (place / name).unlink()
    info = json.loads((place / CONFIG).read_text(encoding="utf-8"))
    for change, message in (
        ({"auto_map": {}}, "names remote code"),
        ({"schema": "tsloop.adapter/1"}, "not of schema"),
        ({"rank": "two"}, "must be int"),
    ):
        (place / CONFIG).write_text(json.dumps(info | change), encoding="utf-8")
        with pytest.raises(Exception, match=message):
            load(saved[0], place)
    (place / CONFIG).write_text(json.dumps({**info}), encoding="utf-8")
    (place / WEIGHTS).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        load(saved[0], place)
    (place / WEIGHTS).unlink()
    with pytest.raises(ModelFileError, match="has no adapter_model"):
        load(saved[0], place)
    with pytest.raises(ModelFileError, match="no adapter directory"):
        load(saved[0], place / "nowhere")


def test_damaged_missing_and_foreign_tensors_are_refused(
    saved: tuple[Path, Path], tmp_path: Path
) -> None:
    place = copied(saved, tmp_path / "adapter")
    tensors = load_file(place / WEIGHTS)
    name = "base_model.model.ts_encoder.mlp.0.bias"

    def refused(match: str, changed: dict[str, torch.Tensor], *, hashed: bool = True) -> None:
        save_file(changed, place / WEIGHTS)
        if hashed:
            info = json.loads((place / CONFIG).read_text(encoding="utf-8"))
            info["sha256"] = hashlib.sha256((place / WEIGHTS).read_bytes()).hexdigest()
            (place / CONFIG).write_text(json.dumps(info), encoding="utf-8")
        with pytest.raises(ModelFileError, match=match):
            load(saved[0], place)

    refused("the file is damaged", {**tensors, name: tensors[name] + 1}, hashed=False)
    refused(r"1 tensors are missing", {n: t for n, t in tensors.items() if n != name})
    refused(r"1 tensors are missing", {**tensors, "extra": torch.zeros(1)})
    refused(r"1 tensors are missing", {**tensors, name: torch.zeros(3)})


def test_the_identity_follows_weights_and_config(tmp_path: Path) -> None:
    one, same, other = (
        base_identity(write_tiny(tmp_path / name, "8b", seed=seed))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert (one.id, same.id) == ("a", "b")
    assert one.sha256 == same.sha256 != other.sha256
    info = json.loads((tmp_path / "a/config.json").read_text(encoding="utf-8"))
    (tmp_path / "a/config.json").write_text(json.dumps(info | {"rms_norm_eps": 1e-5}), "utf-8")
    assert base_identity(tmp_path / "a").sha256 != one.sha256
    with pytest.raises(ModelFileError, match=r"has no config\.json"):
        base_identity(tmp_path)


def test_a_large_file_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_tiny(tmp_path / "a", "8b")
    monkeypatch.setattr("tsloop.chatts.native.tuning.identity._WHOLE", 1000)
    before = base_identity(directory).sha256
    file = directory / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert base_identity(directory).sha256 != before


def test_the_revision_is_the_commit_of_the_hub(tmp_path: Path) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    cached = write_tiny(tmp_path / "models--org--ChatTS" / "snapshots" / commit, "8b")
    assert base_identity(cached).id == "org/ChatTS"
    assert base_identity(cached).revision == commit
    plain = write_tiny(tmp_path / "ChatTS", "8b")
    assert base_identity(plain).revision == ""
    note = plain / ".cache" / "huggingface" / "download" / "config.json.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{commit}\netag\n1.0\n", encoding="utf-8")
    assert base_identity(plain) == BaseIdentity("ChatTS", commit, base_identity(plain).sha256)
