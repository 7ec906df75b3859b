"""A ``.bin`` checkpoint into safetensors, once: faster to load, nothing that could execute.

::

    python -m tsloop.chatts.native.convert SRC DST

One shard is in memory at a time.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tsloop.chatts.native.shards import index_of, read_shard, weight_files
from tsloop.errors import ModelFileError, TsloopError
from tsloop.files import fresh_dir, read_json, write_json

__all__ = ["convert_to_safetensors", "main"]

_LEFT_OUT = {".bin", ".py", ".pt", ".pth", ".pkl", ".safetensors"}


def convert_to_safetensors(src: Path, dst: Path) -> list[Path]:
    """Write ``src``'s weights as safetensors into a new directory; returns the files written.

    Tokenizer and settings are copied, code (``*.py``, ``auto_map``) is not. ``dst`` appears only
    when it is complete; where it already holds something, `ModelFileError`.
    """
    src, dst = Path(src), Path(dst)
    files = weight_files(src)
    if files[0].suffix != ".bin":
        raise ModelFileError(f"{src} already holds safetensors: there is nothing to convert.")
    if dst.exists() and (not dst.is_dir() or any(dst.iterdir())):
        raise ModelFileError(f"{dst} is there already and not empty.", hint="Name a new directory.")
    written: dict[str, str] = {}
    size = 0
    with fresh_dir(dst) as temporary:
        for number, file in enumerate(files, start=1):
            tensors = _own_storage(read_shard(file))
            if twice := sorted(set(tensors) & set(written)):
                raise ModelFileError(f"{file} holds {twice[0]}, which another shard holds too.")
            name = _name(number, len(files))
            save_file(tensors, temporary / name, metadata={"format": "pt"})
            size += sum(t.numel() * t.element_size() for t in tensors.values())
            written |= dict.fromkeys(tensors, name)
            del tensors
        if len(files) > 1:
            index = {"metadata": {"total_size": size}, "weight_map": written}
            write_json(index_of(temporary, ".safetensors"), index)
        _copy_settings(src, temporary)
    return [dst / name for name in sorted(set(written.values()))]


def _name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def _own_storage(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Safetensors takes contiguous tensors that share nothing: tied ones are written twice."""
    seen: set[int] = set()
    own: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().contiguous()
        where = plain.untyped_storage().data_ptr()
        own[name] = plain.clone() if where in seen else plain
        seen.add(where)
    return own


def _copy_settings(src: Path, dst: Path) -> None:
    for file in sorted(src.iterdir()):
        if file.is_file() and file.suffix not in _LEFT_OUT and not _is_index(file):
            shutil.copyfile(file, dst / file.name)
    for name in ("config.json", "tokenizer_config.json", "processor_config.json"):
        if (dst / name).is_file():
            content = read_json(dst / name)
            if isinstance(content, dict) and content.pop("auto_map", None) is not None:
                write_json(dst / name, content)


def _is_index(file: Path) -> bool:
    return file.name.endswith((".bin.index.json", ".safetensors.index.json"))


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 with a message on standard error where the input is refused."""
    parser = argparse.ArgumentParser(
        prog="python -m tsloop.chatts.native.convert",
        description="Convert a .bin checkpoint directory to safetensors, one shard at a time.",
    )
    parser.add_argument("src", type=Path, metavar="SRC", help="directory with pytorch_model*.bin")
    parser.add_argument("dst", type=Path, metavar="DST", help="directory to make")
    options = parser.parse_args(arguments)
    try:
        files = convert_to_safetensors(options.src, options.dst)
    except TsloopError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    sys.stdout.write(f"Wrote {len(files)} weight files to {options.dst}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
