"""From a configuration to a detector: an allowlist, and errors that name the key."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from tsloop.errors import ConfigError

if TYPE_CHECKING:
    from tsloop.detectors.base import Detector

__all__ = [
    "ALLOWED_PREFIX",
    "BUILTIN",
    "as_plain",
    "build",
    "check_at_least",
    "check_choice",
    "check_settings",
    "config_of",
    "dataclass_from",
    "resolve_target",
    "target_of",
]

ALLOWED_PREFIX = "tsloop.detectors."
"""A configuration or a model directory can name classes below this package, and nothing else."""

BUILTIN = {
    "adtk": "tsloop.detectors.adtk.AdtkDetector",
    "adtk_hbos": "tsloop.detectors.adtk_hbos.AdtkHbosDetector",
    "boosting": "tsloop.detectors.boosting.BoostingDetector",
    "chatts": "tsloop.detectors.chatts.ChattsDetector",
    "chatts_llm": "tsloop.detectors.chatts_llm.ChattsLlmDetector",
    "ensemble": "tsloop.detectors.ensemble.EnsembleDetector",
    "forest": "tsloop.detectors.forest.ForestDetector",
    "knn": "tsloop.detectors.knn.KnnDetector",
    "residual": "tsloop.detectors.residual.ResidualDetector",
    "wavelet": "tsloop.detectors.wavelet.WaveletDetector",
}
"""Short names of the detectors that come with tsloop."""


HEAVY_CONFIGS = {
    BUILTIN["chatts"]: "tsloop.chatts.config.ChattsConfig",
    BUILTIN["chatts_llm"]: "tsloop.chatts.native.settings.ChattsLlmConfig",
}
"""Detectors whose module takes seconds to import, and where their settings class lies."""


def check_settings(config: Mapping[str, Any]) -> None:
    """Check a detector configuration as `build` would, without importing torch for it."""
    path = HEAVY_CONFIGS.get(str(config.get("_target_")))
    if path is None:
        build(config)
        return
    module, _, name = path.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    fields = {key: value for key, value in config.items() if key != "_target_"}
    dataclass_from(cls, fields, f"detector {name.removesuffix('Config').lower()}")


def build(config: Mapping[str, Any]) -> Detector:
    """An unfitted detector from ``{"_target_": "tsloop.detectors.knn.KnnDetector", **fields}``.

    Fields that are left out keep their defaults. An unknown key, a value of another type or a
    target outside tsloop is a `ConfigError` that names it.
    """
    if "_target_" not in config:
        raise ConfigError(
            f"A detector configuration needs the key '_target_'; it has {sorted(config)}.",
            hint=f"Use one of {sorted(BUILTIN.values())}.",
        )
    cls = resolve_target(config["_target_"])
    fields = {key: value for key, value in config.items() if key != "_target_"}
    return cls(dataclass_from(cls.config_class, fields, f"detector {cls.name}"))  # type: ignore[call-arg]


def config_of(text: str) -> dict[str, Any]:
    """The configuration that a short text stands for: ``knn``, ``adtk:method=iqr,factor=2``.

    Values are read as YAML scalars; a full import path may stand for the name.
    """
    name, _, settings = text.partition(":")
    if name not in BUILTIN and "." not in name:
        near = difflib.get_close_matches(name, BUILTIN, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known are {sorted(BUILTIN)}."
        raise ConfigError(f"There is no detector {name!r}.", hint=hint)
    config: dict[str, Any] = {"_target_": BUILTIN.get(name, name)}
    for setting in filter(None, settings.split(",")):
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"In {text!r}, {setting!r} is not of the form key=value.")
        config[key.strip()] = yaml.safe_load(value)
    return config


def resolve_target(target: object) -> type[Detector]:
    """The detector class of an import path below `ALLOWED_PREFIX`; anything else is refused."""
    from tsloop.detectors.base import Detector

    path = str(target)
    module, _, name = path.rpartition(".")
    parts = path.split(".")
    if not path.startswith(ALLOWED_PREFIX) or not all(p.isidentifier() for p in parts):
        raise ConfigError(
            f"Target {path!r} is refused: only classes below {ALLOWED_PREFIX!r} can be built.",
            hint=f"Use one of {sorted(BUILTIN.values())}.",
        )
    if name.startswith("_"):
        raise ConfigError(f"Target {path!r} is refused: {name!r} is private.")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise _unknown_target(path) from None
    except AttributeError:
        raise _unknown_target(path) from None
    if not (isinstance(found, type) and issubclass(found, Detector)) or found is Detector:
        raise ConfigError(f"Target {path!r} is refused: it is not a detector class.")
    return found


def target_of(detector: Detector) -> str:
    """The import path under which `resolve_target` finds the detector's class."""
    cls = type(detector)
    return f"{cls.__module__}.{cls.__qualname__}"


def _unknown_target(path: str) -> ConfigError:
    near = difflib.get_close_matches(path, BUILTIN.values(), n=1, cutoff=0.4)
    return ConfigError(
        f"There is no detector {path!r}.",
        hint=f"Did you mean {near[0]!r}?" if near else f"Known are {sorted(BUILTIN.values())}.",
    )


def dataclass_from(cls: type[Any], fields: Mapping[str, Any], where: str) -> Any:
    """An instance of a (nested) configuration dataclass from plain values, strictly.

    ``where`` names the place in error messages. Whole numbers are taken for floats; nothing else
    is converted.
    """
    known = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for key in fields:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            raise ConfigError(
                f"Unknown key {key!r} in the configuration of {where}.",
                hint=f"Did you mean {near[0]!r}?" if near else f"Known keys: {sorted(names)}.",
            )
    values = {key: _typed(known[key], value, f"{where}.{key}") for key, value in fields.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"The configuration of {where} is not complete: {error}.") from error


def _typed(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = [a for a in arguments if a is not type(None)]
        return _typed(inner[0], value, where) if len(inner) == 1 else value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, kind):
            return value
        if isinstance(value, Mapping):
            return dataclass_from(kind, value, where)
    elif origin is list and isinstance(value, list | tuple):
        return [_typed(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    elif origin is dict and isinstance(value, Mapping):
        return {str(k): _typed(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif kind is Any or (isinstance(kind, type) and type(value) is kind):
        return value
    name = getattr(kind, "__name__", str(kind)) if origin is None else str(kind)
    raise ConfigError(
        f"{where} is {value!r} ({type(value).__name__}), but a value of type {name} is needed."
    )


def as_plain(config: Any) -> dict[str, Any]:
    """A configuration dataclass as plain JSON-able values."""
    plain: dict[str, Any] = dataclasses.asdict(config)
    return plain


def check_choice(where: str, value: str, choices: typing.Collection[str]) -> None:
    """Raise `ConfigError` unless the value is one of the choices."""
    if value not in choices:
        near = difflib.get_close_matches(value, choices, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{where} is {value!r}, but must be one of {sorted(choices)}.", hint=hint)


def check_at_least(where: str, value: float, least: float) -> None:
    """Raise `ConfigError` unless the value is at least ``least``."""
    if not value >= least:
        raise ConfigError(f"{where} is {value!r}, but must be at least {least}.")
