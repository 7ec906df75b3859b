"""Where series come from: `build` a source by name, `acquire` it into ``data/raw``."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsloop.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from tsloop.sources.base import Source

__all__ = ["SOURCES", "acquire", "build"]

SOURCES: dict[str, tuple[str, str]] = {
    "folder": ("tsloop.sources.folder", "FolderSource"),
    "iotdb": ("tsloop.sources.iotdb", "IotdbSource"),
    "plant": ("tsloop.sources.plant", "PlantSource"),
}
"""Module and class of every kind; modules are imported when they are asked for."""


def build(kind: str, config: Any = None) -> Source:
    """A source of one of the kinds in `SOURCES`.

    ``config`` is the source's own dataclass, a mapping of its fields, or ``None`` for the defaults.
    """
    if kind not in SOURCES:
        raise ConfigError(f"source {kind!r} is not known.", hint=f"Choose one of {list(SOURCES)}.")
    module, name = SOURCES[kind]
    source: Any = getattr(importlib.import_module(module), name)
    if not isinstance(config, source.config_class):
        config = _from_mapping(kind, source.config_class, config or {})
    built: Source = source(config)
    return built


def _from_mapping(kind: str, config_class: type[Any], values: Mapping[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(config_class)]
    if unknown := sorted(set(values) - set(known)):
        raise ConfigError(f"source {kind!r} has no keys {unknown}.", hint=f"It knows {known}.")
    return config_class(**values)


def acquire(
    source: Source, out_dir: Path, progress: Callable[[int, int, str], None] | None = None
) -> dict[str, int]:
    """Write every series of a source into ``out_dir`` (``data/raw``); returns counts.

    Series are read by ``source.jobs`` threads, each a piece at a time. The directory appears
    complete or not at all, and the same source gives the same bytes.
    """
    from tsloop.series.raw import RawWriter
    from tsloop.sources._acquire import Copier

    try:
        names = source.list()
        if not names:
            raise SourceError(
                f"The {source.kind} source has no series.",
                hint="Widen its filters, or check its path.",
            )
        with RawWriter(out_dir, inputs=source.inputs()) as writer:
            figures = Copier(source, writer, names, progress).run()
            if not figures["n_series"]:
                raise SourceError(
                    f"None of the {len(names)} series of the {source.kind} source has a row.",
                    hint="Widen the range of time.",
                )
    finally:
        source.close()
    return figures
