"""Plain mappings into frozen dataclasses, strictly: unknown keys and wrong types are errors."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from tsloop.errors import ConfigError

__all__ = ["from_mapping"]

T = TypeVar("T")


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build ``cls`` from plain values; ``where`` is the key path that error messages start with.

    An int is taken for a float; nothing else is converted.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be a mapping of keys, but is {values!r}.")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            close = difflib.get_close_matches(str(key), names, n=1)
            guess = f"Did you mean {where}.{close[0]}?" if close else f"Known keys: {names}."
            raise ConfigError(f"Unknown key {where}.{key}.", hint=guess)
    built = {key: _convert(value, hints[key], f"{where}.{key}") for key, value in values.items()}
    try:
        return cls(**built)
    except TypeError as error:
        raise ConfigError(f"{where} is incomplete: {error}.") from error


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if value is None:
            if len(options) == len(typing.get_args(hint)):
                raise ConfigError(f"{where} must not be null.")
            return None
        return _convert(value, options[0], where)
    if dataclasses.is_dataclass(hint):
        if dataclasses.is_dataclass(value) and isinstance(value, hint):  # type: ignore[arg-type]
            return value
        return from_mapping(hint, value, where)  # type: ignore[arg-type]
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, but is {value!r}.")
        (item_hint, *_) = typing.get_args(hint)
        items = [_convert(item, item_hint, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if origin is list else tuple(items)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a mapping, but is {value!r}.")
        value_hint = typing.get_args(hint)[1]
        return {str(k): _convert(v, value_hint, f"{where}.{k}") for k, v in value.items()}
    return _scalar(value, hint, where)


def _scalar(value: Any, hint: type, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool)):
        return value
    raise ConfigError(f"{where} must be {hint.__name__}, but is {value!r}.")
