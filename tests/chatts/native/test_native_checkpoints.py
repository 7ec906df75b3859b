"""Directories in the official layout: what loads, what is refused, what is never run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tsloop.chatts.native.checkpoints import (
    UNQUANTISED,
    build_on_backbone,
    load_checkpoint,
    load_processor,
    save_checkpoint,
)
from tsloop.chatts.native.convert import convert_to_safetensors, main
from tsloop.chatts.native.shards import weight_files
from tsloop.chatts.native.tiny import TINY, tiny_config, tiny_model, tiny_tokenizer, write_tiny
from tsloop.errors import ConfigError, ModelFileError

Checkpoint = Callable[..., Path]
Loaded = Callable[[str], tuple[Any, Any]]
SERIES = "<ts><ts/>"
WAYS = [("bin", 1), ("bin", 3), ("safetensors", 3)]


def logits(model: Any, processor: Any, series: list[Any]) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = model(**processor(f"{SERIES} ?", [[series[0]]])).logits
    return out


@pytest.fixture
def copy(checkpoint: Checkpoint, tmp_path: Path) -> Callable[..., Path]:
    """A checkpoint that a test may damage."""

    def get(*args: Any, **kwargs: Any) -> Path:
        return Path(shutil.copytree(checkpoint(*args, **kwargs), tmp_path / "copy"))

    return get


def edit_config(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}), "utf-8")


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize(("file_format", "shards"), WAYS)
def test_every_layout_gives_the_same_logits(
    kind: str,
    file_format: str,
    shards: int,
    checkpoint: Checkpoint,
    loaded: Loaded,
    series: list[Any],
) -> None:
    directory = checkpoint(kind, file_format, shards)
    assert {f.suffix for f in weight_files(directory)} == {f".{file_format}"}
    model = load_checkpoint(directory)
    processor = load_processor(directory, model)
    assert torch.equal(logits(model, processor, series), logits(*loaded(kind), series))


def test_half_precision_and_old_style_pickles_load(
    loaded: Loaded, series: list[Any], tmp_path: Path
) -> None:
    write_tiny(tmp_path, "8b", file_format="bin", dtype=torch.float16)
    stored = load_checkpoint(tmp_path)
    assert (stored.dtype, stored.ts_encoder.mlp[0].weight.dtype) == (torch.float16, torch.float32)
    model = load_checkpoint(tmp_path, dtype=torch.float32)
    (file,) = weight_files(tmp_path)
    tensors = torch.load(file, weights_only=True)
    torch.save(tensors, file, _use_new_zipfile_serialization=False)
    old = load_checkpoint(tmp_path, dtype=torch.float32)
    processor = load_processor(tmp_path, model)
    assert torch.equal(logits(model, processor, series), logits(old, processor, series))
    original = logits(*loaded("8b"), series)
    torch.testing.assert_close(logits(model, processor, series), original, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("kind", TINY)
def test_transformers_own_entry_finds_the_native_classes(
    kind: str, checkpoint: Checkpoint, loaded: Loaded, series: list[Any]
) -> None:
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(
        str(checkpoint(kind, "bin", 1)), output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(model).__module__ == "tsloop.chatts.native.modeling"
    reference, processor = loaded(kind)
    assert torch.equal(
        logits(model.eval(), processor, series), logits(reference, processor, series)
    )


@pytest.mark.parametrize("kind", ["paper", "8b", "llama"])
def test_a_config_that_names_the_plain_backbone_loads(
    kind: str, copy: Callable[..., Path], loaded: Loaded, series: list[Any]
) -> None:
    reference, processor = loaded(kind)
    plain = {"paper": "qwen2", "8b": "qwen3", "llama": "llama"}[kind]
    directory = copy(kind)
    edit_config(directory, model_type=plain)
    model = load_checkpoint(directory)
    assert model.config.model_type == reference.config.model_type
    assert torch.equal(logits(model, processor, series), logits(reference, processor, series))


@pytest.mark.parametrize("kind", TINY)
def test_era_prefix_and_cache_follow_from_the_checkpoint(kind: str, loaded: Loaded) -> None:
    model, processor = loaded(kind)
    assert model.ts_layout.era == {"llama": "8b"}.get(kind, kind)
    assert processor.config.prefix == ("paper" if kind == "paper" else "v2")
    assert processor.config.max_samples == model.ts_layout.max_samples
    assert model.generation_config.use_cache is True
    assert model.config.use_cache is True
    assert not model.training
    tied = model.lm_head.weight is model.model.embed_tokens.weight
    assert tied == (kind == "llama")


@pytest.mark.parametrize("kind", TINY)
def test_saved_and_loaded_again_is_equal(
    kind: str, loaded: Loaded, series: list[Any], tmp_path: Path
) -> None:
    _, processor = loaded(kind)
    model = tiny_model(kind, labels=("spike", "shift"), seed=5)
    save_checkpoint(model, processor, tmp_path / "saved")
    again = load_checkpoint(tmp_path / "saved")
    reader = load_processor(tmp_path / "saved", again)
    assert reader.config == processor.config
    assert torch.equal(logits(model, processor, series), logits(again, reader, series))
    batch = processor(SERIES, [[series[1]]])
    with torch.no_grad():
        torch.testing.assert_close(model.score(**batch).row_logits, again.score(**batch).row_logits)
    assert again.score_labels == ("spike", "shift")


@pytest.mark.parametrize("file_format", ["bin", "safetensors"])
def test_a_renamed_tensor_is_an_error(file_format: str, copy: Callable[..., Path]) -> None:
    directory = copy("8b", file_format)
    (file,) = weight_files(directory)
    tensors = torch.load(file, weights_only=True) if file_format == "bin" else load_file(file)
    tensors["ts_encoder.mlp.2.wieght"] = tensors.pop("ts_encoder.mlp.2.bias")
    (torch.save if file_format == "bin" else save_file)(tensors, file)
    with pytest.raises(
        ModelFileError,
        match=r"1 missing \(ts_encoder.mlp.2.bias\); 1 unexpected \(ts_encoder.mlp.2.wieght\)",
    ):
        load_checkpoint(directory)


def test_only_the_first_five_names_are_listed(copy: Callable[..., Path]) -> None:
    directory = copy("8b")
    edit_config(directory, num_hidden_layers=3)
    with pytest.raises(ModelFileError, match=r"11 missing \((\S+, ){5}…\)"):
        load_checkpoint(directory)


def test_another_shape_is_an_error(copy: Callable[..., Path]) -> None:
    directory = copy("8b")
    edit_config(directory, vocab_size=300)
    with pytest.raises(
        ModelFileError, match=r"2 of another shape \(lm_head.weight, model.embed_tokens.weight\)"
    ):
        load_checkpoint(directory)


def test_a_config_that_contradicts_the_encoder_is_an_error(copy: Callable[..., Path]) -> None:
    directory = copy("8b")
    edit_config(directory, ts=tiny_config("8b")["ts"] | {"patch_size": 16})
    with pytest.raises(ModelFileError, match="tensors say patch_size = 8"):
        load_checkpoint(directory)


class Bomb:
    """Unpickled, it makes a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.makedirs, (str(self.path),)


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_a_pickle_that_executes_is_refused_before_it_does(
    way: str, copy: Callable[..., Path], tmp_path: Path
) -> None:
    directory = copy("8b", "bin")
    content = {"lm_head.weight": torch.zeros(1), "bomb": Bomb(tmp_path / "exploded")}
    (file,) = weight_files(directory)
    if way == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    for refuse in (load_checkpoint, lambda d: convert_to_safetensors(d, tmp_path / "new")):
        with pytest.raises(ModelFileError, match="refused: it is not a file of plain tensors"):
            refuse(directory)
    assert not (tmp_path / "exploded").exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [([torch.zeros(1)], "holds a list"), ({"a": 1}, "'a': int"), ({1: torch.zeros(1)}, "holds 1")],
)
def test_a_pickle_without_named_tensors_is_refused(
    content: Any, match: str, copy: Callable[..., Path]
) -> None:
    directory = copy("8b", "bin")
    torch.save(content, weight_files(directory)[0])
    with pytest.raises(ModelFileError, match=match):
        load_checkpoint(directory)


def test_a_damaged_safetensors_file_is_refused(copy: Callable[..., Path]) -> None:
    directory = copy("8b")
    weight_files(directory)[0].write_bytes(b"\xff" * 100)
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        load_checkpoint(directory)


def test_code_that_the_config_names_is_never_run(copy: Callable[..., Path], tmp_path: Path) -> None:
    directory = copy("8b")
    evil = f"import os\nos.makedirs({str(tmp_path / 'exploded')!r})\n"
    modules = tiny_config("8b")["auto_map"]
    assert modules, "the official configs name code"
    for module in {name.partition(".")[0] for name in modules.values()}:
        (directory / f"{module}.py").write_text(evil, encoding="utf-8")
    path = directory / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["auto_map"] = {"AutoProcessor": modules["AutoProcessor"]}
    path.write_text(json.dumps(settings), encoding="utf-8")
    model = load_checkpoint(directory)
    load_processor(directory, model)
    assert type(model).__module__ == "tsloop.chatts.native.modeling"
    assert "auto_map" not in model.config.to_dict()
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model_type": "gpt2"}, "model type 'gpt2'"),
        ({"ts_token_start_index": ...}, "lacks ts_token_start_index"),
        ({"ts": ...}, "no section 'ts'"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"quantised already \(gptq\)"),
    ],
)
def test_a_config_of_another_model_is_refused(
    changes: dict[str, Any], match: str, copy: Callable[..., Path]
) -> None:
    directory = copy("8b")
    edit_config(directory, **changes)
    with pytest.raises(ModelFileError, match=match):
        load_checkpoint(directory)


def test_missing_files_are_named(copy: Callable[..., Path], tmp_path: Path) -> None:
    directory = copy("8b", "safetensors", 3)
    (directory / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"model-00002-of-00003.safetensors, which is not"):
        load_checkpoint(directory)
    index = directory / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../a.safetensors"}}', encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"'../a.safetensors', which is no"):
        load_checkpoint(directory)
    index.write_text("{}", encoding="utf-8")
    with pytest.raises(ModelFileError, match="no weight_map"):
        load_checkpoint(directory)
    index.unlink()
    with pytest.raises(ModelFileError, match="has no weights"):
        load_checkpoint(directory)
    with pytest.raises(ModelFileError, match=r"no config\.json"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_tokenizer_of_another_release_is_refused(
    checkpoint: Checkpoint, loaded: Loaded, copy: Callable[..., Path]
) -> None:
    directory = copy("8b")
    edit_config(directory, ts_token_start_index=7)
    with pytest.raises(ModelFileError, match=r"are \(259, 260\) .*, \(7, 260\)"):
        load_processor(directory, load_checkpoint(directory))
    model, _ = loaded("paper")
    _, processor = loaded("8b")
    processor.save(directory)
    with pytest.raises(ModelFileError, match="patch size is 8, the model's 16"):
        load_processor(directory, model)


@pytest.mark.parametrize(("name", "quantised"), [("nf4", "Linear4bit"), ("int8", "Linear8bitLt")])
def test_quantisation_leaves_the_encoder_alone(
    name: str, quantised: str, series: list[Any], tmp_path: Path
) -> None:
    write_tiny(tmp_path, "8b", hidden=64)
    model = load_checkpoint(tmp_path, quantization=name, dtype=torch.float32)
    processor = load_processor(tmp_path, model)
    assert type(model.model.layers[0].self_attn.q_proj).__name__ == quantised
    for module in (model.ts_encoder.mlp[0], model.lm_head):
        assert type(module) is torch.nn.Linear
    assert torch.isfinite(logits(model, processor, series)).all()


def test_an_unknown_quantisation_is_refused(checkpoint: Checkpoint) -> None:
    assert UNQUANTISED == ("ts_encoder", "lm_head", "score_head")
    with pytest.raises(ConfigError, match="Quantization 'q5' is unknown"):
        load_checkpoint(checkpoint("8b"), quantization="q5")


@pytest.mark.parametrize("kind", ["paper", "llama"])
@pytest.mark.parametrize("shards", [1, 3])
def test_conversion_keeps_every_tensor_and_drops_the_code(
    kind: str, shards: int, checkpoint: Checkpoint, tmp_path: Path, loaded: Loaded, series: Any
) -> None:
    source = tmp_path / "source"
    shutil.copytree(checkpoint(kind, "bin", shards), source)
    (source / "modeling.py").write_text("raise SystemExit", encoding="utf-8")
    files = convert_to_safetensors(source, tmp_path / "new")
    assert len(files) == shards
    names = {file.name for file in (tmp_path / "new").iterdir()}
    assert not any(name.endswith((".bin", ".py", ".bin.index.json")) for name in names)
    assert ("model.safetensors.index.json" in names) == (shards > 1)
    assert "auto_map" not in json.loads((tmp_path / "new" / "config.json").read_text("utf-8"))
    model = load_checkpoint(tmp_path / "new")
    processor = load_processor(tmp_path / "new", model)
    assert torch.equal(logits(model, processor, series), logits(*loaded(kind), series))


def test_tied_and_transposed_tensors_convert(copy: Callable[..., Path], tmp_path: Path) -> None:
    directory = copy("llama", "bin")
    (file,) = weight_files(directory)
    tensors = torch.load(file, weights_only=True)
    name = "model.layers.0.mlp.up_proj.weight"
    tensors[name] = tensors[name].T.contiguous().T
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    torch.save(tensors, file)
    (new,) = convert_to_safetensors(directory, tmp_path / "new")
    assert all(torch.equal(t, tensors[key]) for key, t in load_file(new).items())
    assert set(load_file(new)) == set(tensors)
    load_checkpoint(tmp_path / "new")


def test_the_converter_on_the_command_line(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(checkpoint("8b", "bin", 3))
    assert main([source, str(tmp_path / "new")]) == 0
    assert "Wrote 3 weight files" in capsys.readouterr().out
    assert main([source, str(tmp_path / "new")]) == 1
    assert "there already and not empty" in capsys.readouterr().err
    assert main([str(tmp_path / "new"), str(tmp_path / "newer")]) == 1
    assert "nothing to convert" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new"]


def write_backbone(directory: Path, kind: str, vocab: int) -> Path:
    """A text-only model: no encoder, no series tokens."""
    from transformers import LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

    info = tiny_config(kind)
    for key in ("ts", "ts_token_start_index", "ts_token_end_index", "auto_map"):
        info.pop(key, None)
    plain = {"paper": Qwen2ForCausalLM, "8b": Qwen3ForCausalLM, "llama": LlamaForCausalLM}[kind]
    info["model_type"] = plain.config_class.model_type
    torch.manual_seed(0)
    model = plain(plain.config_class.from_dict(info | {"vocab_size": vocab}))
    model.save_pretrained(str(directory))
    tiny_tokenizer(series_tokens=False, pad_is_eos=True).save_pretrained(str(directory))
    return directory


@pytest.mark.parametrize("kind", ["paper", "8b", "llama"])
@pytest.mark.parametrize(("vocab", "rows"), [(272, 272), (259, 261)])
def test_an_encoder_on_a_plain_language_model(
    kind: str, vocab: int, rows: int, tmp_path: Path, series: list[Any]
) -> None:
    from transformers import AutoModelForCausalLM

    backbone = write_backbone(tmp_path / "backbone", kind, vocab)
    model, processor = build_on_backbone(backbone, {"max_sequence_length": 128}, seed=3)
    assert model.get_input_embeddings().num_embeddings == rows
    assert (processor.ts_start_id, processor.ts_end_id) == (259, 260)
    assert (processor.config.prefix, processor.config.max_samples) == ("general", 128)
    tied = model.lm_head.weight is model.model.embed_tokens.weight
    assert tied == (kind == "llama")
    weight = model.ts_encoder.mlp[0].weight
    assert weight.std().item() == pytest.approx((2 / sum(weight.shape)) ** 0.5, rel=0.1)
    plain = AutoModelForCausalLM.from_pretrained(str(backbone)).eval()
    ids = processor("only text")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits[..., :259], plain(ids).logits[..., :259])
    save_checkpoint(model, processor, tmp_path / "built")
    again = load_checkpoint(tmp_path / "built")
    reader = load_processor(tmp_path / "built", again)
    assert reader.config == processor.config
    assert torch.equal(logits(model, processor, series), logits(again, reader, series))


def test_a_seeded_encoder_is_repeatable_and_leaves_the_global_seed(tmp_path: Path) -> None:
    backbone = write_backbone(tmp_path / "backbone", "8b", 272)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second, third = (build_on_backbone(backbone, seed=s)[0].ts_encoder for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.mlp[0].weight, second.mlp[0].weight)
    assert not torch.equal(first.mlp[0].weight, third.mlp[0].weight)


def test_backbones_that_are_none_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelFileError, match="is a 'qwen3ts'; encoders go on"):
        build_on_backbone(checkpoint("8b"))
    backbone = write_backbone(tmp_path / "backbone", "8b", 272)
    with pytest.raises(ModelFileError, match="supported are"):
        load_checkpoint(backbone)


def test_unknown_tiny_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'9b' is unknown"):
        write_tiny(tmp_path, "9b")
    with pytest.raises(ConfigError, match="'gguf' is unknown"):
        write_tiny(tmp_path, "8b", file_format="gguf")
