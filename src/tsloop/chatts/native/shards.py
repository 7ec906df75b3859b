"""The weight files of a checkpoint directory, read without running anything in them.

``.bin`` files are pickles: they are opened with torch's ``weights_only`` reader, which knows
tensors and refuses everything else, and must hold a plain mapping of names to tensors.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from tsloop.errors import ModelFileError
from tsloop.files import read_json

__all__ = ["index_of", "read_shapes", "read_shard", "weight_files"]

_STEMS = {".safetensors": "model", ".bin": "pytorch_model"}

Shape = tuple[int, ...]


def index_of(directory: Path, suffix: str) -> Path:
    """The index file of a sharded checkpoint of one format."""
    return directory / f"{_STEMS[suffix]}{suffix}.index.json"


def weight_files(directory: Path) -> list[Path]:
    """All weight files: safetensors where there are some, else ``.bin``; none is an error."""
    for suffix, stem in _STEMS.items():
        single = directory / f"{stem}{suffix}"
        if single.is_file():
            return [single]
        if (index := index_of(directory, suffix)).is_file():
            return _indexed(directory, index, suffix)
    raise ModelFileError(
        f"{directory} has no weights: neither model.safetensors nor pytorch_model.bin, nor an "
        "index of shards.",
        hint="Download the whole repository and name its directory.",
    )


def _indexed(directory: Path, index: Path, suffix: str) -> list[Path]:
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelFileError(f"{index} has no weight_map.")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(suffix):
            raise ModelFileError(f"{index} names {name!r}, which is no {suffix} file beside it.")
        if not (directory / name).is_file():
            raise ModelFileError(
                f"{index} names {name}, which is not there ({len(names)} shards in all).",
                hint="The download is not complete.",
            )
    return [directory / name for name in names]


def read_shapes(path: Path) -> dict[str, Shape]:
    """Name → shape of every tensor, without reading the tensors' values."""
    if path.suffix == ".bin":
        return {name: tuple(t.shape) for name, t in read_shard(path).items()}
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} is not a safetensors file: {error}.") from error


def read_shard(path: Path) -> dict[str, torch.Tensor]:
    """Name → tensor of one ``.bin`` file.

    Memory-mapped where the file allows it (all but those of torch before 1.6): a tensor is read
    when it is used.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about unusual pickle protocols
            content: Any = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except Exception as error:  # whatever a foreign pickle makes the reader stumble over
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelFileError(
            f"{path} is refused: it is not a file of plain tensors ({reason}).",
            hint="Nothing in it was executed. Get the weights from their publisher.",
        ) from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{path} holds a {type(content).__name__}, not names of tensors.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelFileError(f"{path} holds {name!r}: {type(value).__name__}, not a tensor.")
    return content
