"""Which checkpoint an adapter belongs to."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tsloop.chatts.native.shards import weight_files
from tsloop.errors import ModelFileError

__all__ = ["BaseIdentity", "base_identity"]

_WHOLE = 32 * 2**20
"""Files up to this size in bytes are hashed whole."""
_BLOCK = 64 * 2**10
_BLOCKS = 256


@dataclass(frozen=True)
class BaseIdentity:
    """``id`` names it for people, ``revision`` is the hub's commit or empty, ``sha256`` decides."""

    id: str
    revision: str
    sha256: str


def base_identity(checkpoint_dir: Path) -> BaseIdentity:
    """The identity of a checkpoint directory, in a second also where it holds tens of gigabytes.

    The hash is over ``config.json`` and, of every weight file, name, size, and content: whole up to
    32 MiB, else its first MiB (the header of safetensors) and 256 blocks of 64 KiB that are spread
    evenly, the last one at the end. So another release, another training and a broken download have
    another hash, for training changes every tensor; a single changed number may go unseen. The same
    weights as ``.bin`` and as safetensors are two identities.
    """
    directory = Path(checkpoint_dir)
    config = directory / "config.json"
    if not config.is_file():
        raise ModelFileError(f"{directory} has no config.json: it is no checkpoint directory.")
    digest = hashlib.sha256(config.read_bytes())
    for file in weight_files(directory):
        digest.update(f"\0{file.name}\0{file.stat().st_size}\0".encode())
        _sample(file, digest)
    name, revision = _name_of(directory)
    return BaseIdentity(name, revision, digest.hexdigest())


def _sample(file: Path, digest: hashlib._Hash) -> None:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= _WHOLE:
            digest.update(stream.read())
            return
        digest.update(stream.read(2**20))
        for number in range(1, _BLOCKS + 1):
            stream.seek((size - _BLOCK) * number // _BLOCKS)
            digest.update(stream.read(_BLOCK))


def _name_of(directory: Path) -> tuple[str, str]:
    """Name and commit, from the layout of the hub's cache or its notes beside a download."""
    place = directory.resolve()
    if place.parent.name == "snapshots" and _is_commit(place.name):
        return place.parent.parent.name.removeprefix("models--").replace("--", "/"), place.name
    note = place / ".cache" / "huggingface" / "download" / "config.json.metadata"
    first = note.read_text(encoding="utf-8").splitlines()[:1] if note.is_file() else []
    return place.name, first[0] if first and _is_commit(first[0]) else ""


def _is_commit(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", text) is not None
