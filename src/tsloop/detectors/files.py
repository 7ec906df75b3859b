"""A detector's directory: ``detector.json``, and the files that it vouches for.

``detector.json`` names the class, its configuration, its decision rule and the SHA-256 of every
other file. Nothing is loaded before all of that has been checked, and nothing that could run code
(a pickle, a Torch archive, a class outside tsloop) is loaded at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tsloop.detectors.factory import as_plain, build, resolve_target, target_of
from tsloop.errors import ConfigError, EvaluationError, ModelFileError, TsloopError
from tsloop.evaluation.thresholds import Decision
from tsloop.files import fresh_dir, read_json, sha256_file, write_json

if TYPE_CHECKING:
    from tsloop.detectors.base import Detector

__all__ = [
    "MANIFEST",
    "SCHEMA",
    "DetectorFiles",
    "load_detector",
    "read_manifest",
    "save_detector",
    "unfitted",
    "write_manifest",
]

SCHEMA = "tsloop.detector/1"
MANIFEST = "detector.json"

_UNSAFE_SUFFIXES = {".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth", ".skops"}


@dataclass(frozen=True)
class DetectorFiles:
    """What ``detector.json`` says: everything checked, nothing loaded yet."""

    target: str
    name: str
    config: dict[str, Any]
    decision: Decision
    files: dict[str, str]
    extra: dict[str, Any]


def save_detector(
    detector: Detector, directory: Path, extra: Mapping[str, Any] | None = None
) -> None:
    """Write the detector in one step; an older directory of that name is replaced.

    ``extra`` are plain values to remember beside it (parent, data set, seed …).
    """
    with fresh_dir(directory) as temporary:
        detector.save(temporary)
        if extra:
            manifest = dict(read_json(temporary / MANIFEST))
            manifest["extra"] = dict(manifest["extra"]) | dict(extra)
            write_json(temporary / MANIFEST, manifest)


def load_detector(directory: Path) -> Detector:
    """The detector that `save_detector` wrote, of whatever class it is."""
    manifest = read_manifest(directory)
    return resolve_target(manifest.target).load(directory)


def write_manifest(
    detector: Detector, directory: Path, extra: Mapping[str, Any] | None = None
) -> None:
    """Write ``detector.json`` over all files that lie in the directory: the last act of a ``save``.

    A pickle among them is an error already here.
    """
    files: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and name != MANIFEST:
            _refuse_unsafe(path, name)
            files[name] = sha256_file(path)
    write_json(
        directory / MANIFEST,
        {
            "schema": SCHEMA,
            "target": target_of(detector),
            "name": detector.name,
            "config": as_plain(detector.config),
            "decision": detector.decision.to_dict(),
            "files": files,
            "extra": dict(extra or {}),
        },
    )


def read_manifest(directory: Path, expected: type[Detector] | None = None) -> DetectorFiles:
    """Check a detector's directory and return what its manifest says.

    Raises `ModelFileError` where the manifest is missing or of another schema, names a class
    outside tsloop (or another than ``expected``), names a file outside the directory, where a file
    is missing or has another SHA-256, and where anything in the directory looks like a pickle.
    """
    manifest = _parse_manifest(directory)
    try:
        cls = resolve_target(manifest.target)
    except ConfigError as error:
        raise ModelFileError(f"{directory / MANIFEST}: {error}") from error
    if expected is not None and not issubclass(cls, expected):
        raise ModelFileError(
            f"{directory} holds a {manifest.name!r} detector ({manifest.target}), "
            f"not a {expected.name!r} one."
        )
    for name, expected_hash in sorted(manifest.files.items()):
        _check_file(directory, name, expected_hash)
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            _refuse_unsafe(path, path.relative_to(directory).as_posix())
    return manifest


def unfitted(manifest: DetectorFiles) -> Detector:
    """A new detector with the configuration and the decision rule of a manifest."""
    try:
        detector = build({"_target_": manifest.target, **manifest.config})
    except ConfigError as error:
        raise ModelFileError(f"The saved configuration is not valid: {error}") from error
    detector.decision = manifest.decision
    return detector


def _parse_manifest(directory: Path) -> DetectorFiles:
    path = directory / MANIFEST
    if not path.is_file():
        raise ModelFileError(
            f"{directory} is not a saved detector: it has no {MANIFEST}.",
            hint="Give the directory that a fit stage wrote, for example models/it001/knn.",
        )
    try:
        data = read_json(path)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise ModelFileError(
                f"{path} has the schema {found!r}; this version of tsloop reads {SCHEMA!r}."
            )
        return DetectorFiles(
            target=str(data["target"]),
            name=str(data["name"]),
            config=dict(data["config"]),
            decision=Decision.from_dict(data["decision"]),
            files={str(k): str(v) for k, v in dict(data["files"]).items()},
            extra=dict(data.get("extra", {})),
        )
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, EvaluationError) as error:
        raise ModelFileError(f"{path} is damaged: {error!r}.") from error
    except TsloopError as error:
        raise ModelFileError(str(error)) from error


def _check_file(directory: Path, name: str, expected_hash: str) -> None:
    parts = PurePosixPath(name)
    path = directory / name
    inside = not parts.is_absolute() and ".." not in parts.parts and "\\" not in name
    if not inside or not path.resolve().is_relative_to(directory.resolve()):
        raise ModelFileError(f"{directory / MANIFEST} names {name!r}, outside its directory.")
    if not path.is_file():
        raise ModelFileError(f"{directory} is incomplete: the file {name!r} is missing.")
    found = sha256_file(path)
    if found != expected_hash:
        raise ModelFileError(
            f"{path} was changed after it was saved: its SHA-256 is {found[:12]}…, "
            f"{MANIFEST} says {expected_hash[:12]}….",
            hint="Run `dvc checkout` to restore it, or fit again.",
        )


def _refuse_unsafe(path: Path, name: str) -> None:
    with path.open("rb") as stream:
        head = stream.read(2)
    pickled = len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5
    if path.suffix.lower() in _UNSAFE_SUFFIXES or pickled:
        raise ModelFileError(
            f"{path.parent} holds {name!r}, which may be a pickle: it is never loaded.",
            hint="Weights belong in .safetensors files.",
        )
