"""Load a ChatTS checkpoint from a local directory, or put an encoder on a plain language model.

Everything is checked before the weights are used: the files hold plain tensors, every tensor that
the model has is there in its shape and no other, the encoder's shapes agree with the config.
``auto_map`` is ignored and code in the directory is never run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from tsloop.chatts.native.convert import convert_to_safetensors
from tsloop.chatts.native.eras import ENCODER_PREFIX, read_layout
from tsloop.chatts.native.modeling import MODEL_CLASSES
from tsloop.chatts.native.processor import (
    TS_END,
    TS_START,
    ProcessorConfig,
    TimeSeriesProcessor,
    load_tokenizer,
)
from tsloop.chatts.native.shards import read_shapes, weight_files
from tsloop.errors import ConfigError, ModelFileError
from tsloop.files import fresh_dir, read_json

__all__ = [
    "QUANTIZATIONS",
    "UNQUANTISED",
    "build_on_backbone",
    "convert_to_safetensors",
    "load_checkpoint",
    "load_processor",
    "save_checkpoint",
]

QUANTIZATIONS = ("int8", "nf4")
UNQUANTISED = ("ts_encoder", "lm_head", "score_head")
"""Modules that quantisation leaves alone. Naming some replaces the automatic list, so the output
layer is among them."""

_WITH_SERIES = {"qwen2": "chatts", "qwen3": "qwen3ts", "llama": "llamats"}
"""Model type of the backbone → model type with an encoder."""

Shapes = dict[str, tuple[int, ...]]


def load_checkpoint(
    directory: Path | str,
    *,
    dtype: torch.dtype | None = None,
    device: str = "cpu",
    quantization: str | None = None,
    attn_implementation: str = "sdpa",
) -> Any:
    """The model in ``directory``, in evaluation mode; a `TimeSeriesMixin` causal language model.

    ``dtype`` None keeps the stored one; encoder and score head are float32 always. ``quantization``
    is None, ``int8`` or ``nf4`` (bitsandbytes), never of `UNQUANTISED`. Generation uses its cache
    whatever the config says. `ModelFileError` says what does not fit, first five names.
    """
    directory = Path(directory)
    info = _read_config(directory)
    model_class = _class_of(info, directory)
    files, shapes = _all_shapes(directory)
    layout = read_layout(shapes, info.get("ts"))
    config = model_class.config_class.from_dict(
        {**info, "model_type": model_class.config_class.model_type, "use_cache": True}
    )
    _check_ids(config, directory)
    _compare(shapes, _expected(model_class, config), directory)
    model = _read_weights(
        model_class,
        config,
        files,
        dtype,
        device,
        _quantization(quantization, dtype),
        attn_implementation,
    )
    if model.ts_layout != layout:
        raise ModelFileError(f"The encoder was built as {model.ts_layout}, stored is {layout}.")
    return model


def load_processor(directory: Path | str, model: Any) -> TimeSeriesProcessor:
    """The processor of a checkpoint: its own settings, or the official ones of its era."""
    processor = TimeSeriesProcessor.load(
        Path(directory), ProcessorConfig.for_layout(model.ts_layout)
    )
    said = (model.config.ts_token_start_index, model.config.ts_token_end_index)
    found = (processor.ts_start_id, processor.ts_end_id)
    if found != said:
        raise ModelFileError(
            f"{TS_START} and {TS_END} are {found} for the tokenizer, {said} for the config.",
            hint="Tokenizer and config are not of one release.",
        )
    if processor.config.patch_size != model.ts_layout.patch_size:
        raise ModelFileError(
            f"The processor's patch size is {processor.config.patch_size}, the model's "
            f"{model.ts_layout.patch_size}."
        )
    return processor


def save_checkpoint(model: Any, processor: TimeSeriesProcessor, directory: Path | str) -> None:
    """Write model (safetensors) and processor; the directory appears when it is complete."""
    with fresh_dir(Path(directory)) as temporary:
        model.save_pretrained(str(temporary))
        processor.save(temporary)


def build_on_backbone(
    backbone_dir: Path | str,
    ts_config: Mapping[str, Any] | None = None,
    *,
    prefix: str = "general",
    dtype: torch.dtype | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> tuple[Any, TimeSeriesProcessor]:
    """A text-only causal language model with a fresh (Xavier) encoder, and its processor.

    ``backbone_dir`` holds a Qwen2, Qwen3 or Llama. ``ts_config`` overrides keys of the section
    ``ts``: by default patches of 8 and positions up to 8192. ``<ts>`` and ``<ts/>`` are added to
    the tokenizer where it lacks them; they use rows that the embedding has beyond the vocabulary,
    and where it has none it grows by as many as are needed. Tied embeddings stay tied.
    """
    directory = Path(backbone_dir)
    info = _read_config(directory)
    model_class = _class_of(info, directory, plain=True)
    tokenizer = load_tokenizer(directory)
    start, end = _series_tokens(tokenizer)
    section = _default_section(int(info["hidden_size"])) | dict(ts_config or {})
    config = model_class.config_class.from_dict(
        {
            **info,
            "model_type": model_class.config_class.model_type,
            "architectures": [model_class.__name__],
            "use_cache": True,
            "ts": section,
            "ts_token_start_index": start,
            "ts_token_end_index": end,
        }
    )
    files, shapes = _all_shapes(directory)
    own = {n: s for n, s in _expected(model_class, config).items() if not _is_encoder(n)}
    _compare(shapes, own, directory)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _read_weights(model_class, config, files, dtype, device, None, "sdpa")
        if (rows := max(start, end) + 1) > model.get_input_embeddings().num_embeddings:
            model.resize_token_embeddings(rows, mean_resizing=False)
    if model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    settings = ProcessorConfig.for_layout(model.ts_layout, prefix=prefix)
    return model, TimeSeriesProcessor(tokenizer, settings)


def _read_config(directory: Path) -> dict[str, Any]:
    if not (directory / "config.json").is_file():
        raise ModelFileError(f"{directory} has no config.json: it is no checkpoint directory.")
    info = read_json(directory / "config.json")
    if not isinstance(info, dict):
        raise ModelFileError(f"{directory}/config.json is not a mapping.")
    if "quantization_config" in info:
        method = info["quantization_config"].get("quant_method")
        raise ModelFileError(
            f"{directory} is quantised already ({method}); that is not supported.",
            hint="Load the full weights with quantization='nf4' or 'int8'.",
        )
    return {key: value for key, value in info.items() if key != "auto_map"}


def _class_of(info: Mapping[str, Any], directory: Path, *, plain: bool = False) -> Any:
    """The model class for a config; ``plain``: of a backbone without an encoder."""
    model_type = str(info.get("model_type"))
    if plain and model_type not in _WITH_SERIES:
        raise ModelFileError(
            f"{directory} is a {model_type!r}; encoders go on one of {sorted(_WITH_SERIES)}."
        )
    if plain or "ts" in info:
        model_type = _WITH_SERIES.get(model_type, model_type)
    if model_type not in MODEL_CLASSES:
        raise ModelFileError(
            f"{directory} is of model type {model_type!r}; supported are {sorted(MODEL_CLASSES)}.",
            hint="A plain language model gets its encoder by build_on_backbone.",
        )
    return MODEL_CLASSES[model_type]


def _all_shapes(directory: Path) -> tuple[list[Path], Shapes]:
    files = weight_files(directory)
    shapes: Shapes = {}
    for file in files:
        shapes |= read_shapes(file)
    return files, shapes


def _expected(model_class: Any, config: Any) -> Shapes:
    """Shapes of everything a checkpoint must hold; what is tied to another tensor may be absent."""
    with torch.device("meta"):
        empty = model_class(config)
    tied = set(empty.all_tied_weights_keys)
    return {n: tuple(t.shape) for n, t in empty.state_dict().items() if n not in tied}


def _compare(found: Shapes, expected: Shapes, directory: Path) -> None:
    """`ModelFileError` for missing, unexpected and differently shaped tensors."""
    problems = []
    optional = {"lm_head.weight"} if "lm_head.weight" not in expected else set()
    for what, names in (
        ("missing", expected.keys() - found.keys()),
        ("unexpected", found.keys() - expected.keys() - optional),
        (
            "of another shape",
            {n for n in expected.keys() & found.keys() if expected[n] != found[n]},
        ),
    ):
        if names:
            problems.append(f"{len(names)} {what} ({_first_five(names)})")
    if problems:
        raise ModelFileError(
            f"The tensors in {directory} do not fit the model: {'; '.join(problems)}.",
            hint="Config and weights must be of one release; nothing is filled in at random.",
        )


def _first_five(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:5]) + (", …" if len(ordered) > 5 else "")


def _check_ids(config: Any, directory: Path) -> None:
    for name in ("ts_token_start_index", "ts_token_end_index"):
        if not isinstance(getattr(config, name), int):
            raise ModelFileError(f"{directory}/config.json lacks {name}, the id of a series token.")


def _read_weights(
    model_class: Any,
    config: Any,
    files: list[Path],
    dtype: torch.dtype | None,
    device: str,
    quantization: Any,
    attn_implementation: str,
) -> Any:
    options: dict[str, Any] = {"quantization_config": quantization} if quantization else {}
    if device != "cpu":
        options["device_map"] = {"": device}
    model, info = model_class.from_pretrained(
        str(files[0].parent),
        config=config,
        dtype="auto" if dtype is None else dtype,
        use_safetensors=files[0].suffix == ".safetensors",
        weights_only=True,
        local_files_only=True,
        attn_implementation=attn_implementation,
        output_loading_info=True,
        **options,
    )
    left = {n for n in info["missing_keys"] if not _is_encoder(n)} | set(info["mismatched_keys"])
    if left:
        raise ModelFileError(
            f"{files[0].parent} left tensors unset: {_first_five(map(str, left))}."
        )
    model.generation_config.use_cache = True
    if quantization:
        _keep_gradients(model)
    return model.eval()


def _keep_gradients(model: Any) -> None:
    """Keep 4-bit layers in the layout that gradients flow through.

    bitsandbytes 0.50 repacks them in place at the first forward without gradients, on CPUs with
    avx512_bf16, for a kernel that has no backward: later gradients would be wrong, without error.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _is_encoder(name: str) -> bool:
    return name.startswith(ENCODER_PREFIX)


def _quantization(name: str | None, dtype: torch.dtype | None) -> Any:
    if name is None:
        return None
    if name not in QUANTIZATIONS:
        raise ConfigError(f"Quantization {name!r} is unknown; choose one of {QUANTIZATIONS}.")
    from transformers import BitsAndBytesConfig

    skip = list(UNQUANTISED)
    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype or torch.bfloat16,
        llm_int8_skip_modules=skip,
    )


def _default_section(hidden: int) -> dict[str, Any]:
    return {
        "patch_size": 8,
        "num_features": 2,
        "hidden_size": hidden,
        "num_layers": 5,
        "max_length": 8192,
        "max_sequence_length": 8192,
        "use_position_embedding": True,
        "use_position_idx": False,
        "embedding_dim": 16,
        "use_layer_norm": False,
    }


def _series_tokens(tokenizer: Any) -> tuple[int, int]:
    """Ids of ``<ts>`` and ``<ts/>``; added as special tokens where they are not known."""
    from tokenizers import AddedToken

    for token in (TS_START, TS_END):
        if len(tokenizer.encode(token, add_special_tokens=False)) != 1:
            tokenizer.add_tokens([AddedToken(token, special=True, normalized=False)])
    start, end = (tokenizer.convert_tokens_to_ids(token) for token in (TS_START, TS_END))
    return int(start), int(end)
