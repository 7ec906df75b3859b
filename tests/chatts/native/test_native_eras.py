"""Eras are told by the shapes of the tensors; the config must not contradict them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tsloop.chatts.native.configuration import official_config
from tsloop.chatts.native.eras import ERAS, EncoderLayout, layout_from_config, read_layout
from tsloop.chatts.native.modeling import MODEL_CLASSES
from tsloop.errors import ConfigError, ModelFileError


def shapes(width: int, inputs: int, table: tuple[int, int] | None) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"lm_head.weight": (9, width)}
    for k in (0, 2, 4, 6, 8):
        found[f"ts_encoder.mlp.{k}.weight"] = (width, width if k else inputs)
        found[f"ts_encoder.mlp.{k}.bias"] = (width,)
    if table:
        found["ts_encoder.position_embedding.weight"] = table
    return found


OFFICIAL_SHAPES = {
    "paper": shapes(5120, 16, None),
    "0801": shapes(5120, 136, (32769, 16)),
    "8b": shapes(4096, 136, (8193, 16)),
}


@pytest.mark.parametrize("name", ERAS)
def test_official_shapes_and_configs_agree(name: str) -> None:
    section = official_config(name)["ts"]
    layout = read_layout(OFFICIAL_SHAPES[name], section)
    era = ERAS[name]
    assert layout == layout_from_config(section) == layout_from_config(layout.to_config())
    assert (layout.era, layout.num_layers, layout.layer_norm) == (name, 5, False)
    assert (layout.patch_size, layout.position_dim, layout.max_samples) == (
        era.patch_size,
        era.position_dim,
        era.max_samples,
    )


def test_a_trailing_norm_is_seen() -> None:
    found = OFFICIAL_SHAPES["8b"] | {"ts_encoder.mlp.9.weight": (4096,)}
    layout = read_layout(found)
    assert layout.layer_norm
    assert layout.to_config()["use_layer_norm"] is True


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("patch_size", 16),
        ("hidden_size", 5120),
        ("num_layers", 4),
        ("embedding_dim", 8),
        ("max_sequence_length", 32768),
        ("use_layer_norm", True),
    ],
)
def test_a_config_that_contradicts_the_tensors_is_refused(key: str, value: Any) -> None:
    section = official_config("8b")["ts"] | {key: value}
    with pytest.raises(ModelFileError, match=rf"tensors say {key} = .* says {value}"):
        read_layout(OFFICIAL_SHAPES["8b"], section)


def test_a_config_of_the_wrong_era_is_refused() -> None:
    with pytest.raises(ModelFileError, match="tensors say patch_size = 16"):
        read_layout(OFFICIAL_SHAPES["paper"], official_config("0801")["ts"])


def test_a_missing_max_sequence_length_is_max_length() -> None:
    section = official_config("0801")["ts"]
    del section["max_sequence_length"]
    assert read_layout(OFFICIAL_SHAPES["0801"], section).max_samples == 32768


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"use_position_idx": True}, "position index"),
        ({"num_features": 1}, "num_features is 1"),
    ],
)
def test_variants_without_a_released_checkpoint_are_refused(
    change: dict[str, Any], match: str
) -> None:
    with pytest.raises(ModelFileError, match=match):
        layout_from_config(official_config("8b")["ts"] | change)


def test_an_incomplete_or_absent_section_is_refused() -> None:
    section = official_config("8b")["ts"]
    del section["patch_size"]
    with pytest.raises(ModelFileError, match="lacks 'patch_size'"):
        layout_from_config(section)
    with pytest.raises(ModelFileError, match="no section 'ts'"):
        layout_from_config(None)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"ts_encoder.mlp.0.weight": None}, "no tensor ts_encoder.mlp.0.weight"),
        ({"ts_encoder.mlp.4.weight": None}, r"linear layers are mlp.\[0, 2, 6, 8\]"),
        ({"ts_encoder.mlp.5.weight": (4,)}, r"vectors as weights of mlp.\[5\]"),
        ({"ts_encoder.position_embedding.weight": (8193,)}, "not a table"),
        ({"ts_encoder.position_embedding.weight": (8193, 15)}, "136 inputs"),
    ],
)
def test_shapes_of_no_encoder_are_refused(change: dict[str, Any], match: str) -> None:
    found = OFFICIAL_SHAPES["8b"] | change
    with pytest.raises(ModelFileError, match=match):
        read_layout({name: shape for name, shape in found.items() if shape is not None})


def test_patches_are_counted_up() -> None:
    layout = EncoderLayout("8b", 8, 32, 5, 16, 8192)
    assert [layout.patch_count(n) for n in (0, 1, 8, 9, 8192)] == [0, 1, 1, 2, 1024]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("8b", 8_258_552_848), ("0801", 14_876_137_488), ("paper", 14_874_998_784)],
)
def test_the_real_models_have_the_published_number_of_parameters(
    name: str, parameters: int
) -> None:
    info = official_config(name)
    model_class = MODEL_CLASSES[info["model_type"]]
    with torch.device("meta"):
        model = model_class(model_class.config_class.from_dict(info))
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert type(model).__name__ == info["architectures"][0]
    expected = {n: s for n, s in OFFICIAL_SHAPES[name].items() if n.startswith("ts_encoder")}
    found = {n: tuple(t.shape) for n, t in model.state_dict().items() if n in expected}
    assert found == expected


def test_an_unknown_era_is_refused() -> None:
    with pytest.raises(ConfigError, match="Era '9b' is unknown"):
        official_config("9b")
