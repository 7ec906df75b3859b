"""Arrays that take long to compute from one series, kept on disk from process to process.

Every stage of the loop asks for the nearest-neighbour distance of the same series. With a directory
named by `keep_in`, an array is read back where the same values, settings and code were seen before;
without one, everything is computed. What is kept is a copy and never the truth: a file that is
missing, damaged or of another length is computed again, and the directory may be removed any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

__all__ = ["MOST_BYTES", "keep_in", "kept"]

Floats = npt.NDArray[np.float64]

MOST_BYTES = 512 * 2**20
"""Files that were not asked for the longest go first when a directory holds more."""

_directory: Path | None = None


def keep_in(directory: Path | None, most_bytes: int = MOST_BYTES) -> None:
    """Keep arrays in this directory from now on (in this process); ``None``: nowhere."""
    global _directory
    _directory = directory
    if directory is not None:
        _make_room(directory, most_bytes)


def kept(
    name: str,
    values: npt.NDArray[np.floating[Any]],
    settings: tuple[Any, ...],
    compute: Callable[[], Floats],
) -> Floats:
    """What ``compute`` gives: one finite float64 per value; read back where it is known."""
    if _directory is None:
        return compute()
    path = _directory / name / f"{_key(values, settings)}.npy"
    found = _read(path, len(values))
    if found is None:
        found = compute()
        with contextlib.suppress(OSError):  # a full disk costs time, not the result
            _write(path, found)
    return found


def _key(values: npt.NDArray[np.floating[Any]], settings: tuple[Any, ...]) -> str:
    digest = hashlib.sha256(f"{_code()} {values.dtype} {settings!r} ".encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _code() -> str:
    """Changes with numpy, scipy and any module of this room."""
    digest = hashlib.sha256(f"{np.__version__} {scipy.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: Path, length: int) -> Floats | None:
    try:
        with path.open("rb") as stream:
            found: Floats = np.load(stream, allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    sound = (
        found.shape == (length,) and found.dtype == np.float64 and bool(np.isfinite(found).all())
    )
    return found if sound else None


def _write(path: Path, found: Floats) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            np.save(stream, found, allow_pickle=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _make_room(directory: Path, most_bytes: int) -> None:
    """Down to four fifths of the limit where it is passed."""
    files: list[tuple[float, int, Path]] = []
    for path in directory.glob("*/*"):
        with contextlib.suppress(OSError):  # another process may be making room too
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    held = sum(size for _, size, _ in files)
    if held <= most_bytes:
        return
    for _, size, path in sorted(files):
        with contextlib.suppress(OSError):
            path.unlink()
        held -= size
        if held <= 0.8 * most_bytes:
            return
