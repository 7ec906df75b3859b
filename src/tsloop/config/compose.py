"""Compose ``conf/`` into plain values, exactly as DVC does it, but keeping the environment out.

``${oc.env:…}`` stays unresolved, so that the result has the same bytes on every machine and holds
no secret; every other interpolation is resolved.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsloop.errors import ConfigError

__all__ = ["ENV_MARK", "Composed", "compose", "escape", "resolve_below"]

ENV_MARK = "${oc.env:"

Composed = Any
"""An OmegaConf ``DictConfig``; typed loosely so that importing this module stays cheap."""


def compose(conf: Path, overrides: Sequence[str] = (), name: str = "config") -> Composed:
    """Compose ``conf/<name>.yaml`` with Hydra overrides, without resolving interpolations."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    logging.getLogger("hydra").setLevel(logging.ERROR)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3", job_name="tsloop"):
            return hydra_compose(name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(
            f"{conf.name}/ does not compose: {_first_lines(error)}",
            hint="`tsloop configure --show` lists the groups and their choices.",
        ) from error


def resolve_below(config: Composed, key: str | None = None) -> Any:
    """Plain values of the whole configuration or of one top-level key.

    Interpolations are resolved, but for ``${oc.env:…}``, which is kept as text.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    copy = config.copy()
    OmegaConf.set_readonly(copy, False)
    _escape_environment(copy)
    try:
        return OmegaConf.to_container(copy if key is None else copy[key], resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"The configuration does not resolve: {_first_lines(error)}") from error


def _escape_environment(node: Any) -> None:
    """Turn ``${oc.env:X}`` into an escaped text, in place, so that resolving leaves it alone."""
    from omegaconf import DictConfig, OmegaConf

    keys = list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
    for key in keys:
        raw = node._get_node(key)
        if OmegaConf.is_config(raw):
            if not raw._is_none() and not raw._is_missing() and not raw._is_interpolation():
                _escape_environment(raw)
        elif isinstance(raw._value(), str) and ENV_MARK in raw._value():
            node[key] = escape(raw._value())


def escape(text: str) -> str:
    """Mark ``${oc.env:…}`` so that OmegaConf (ours and DVC's) resolves it to itself."""
    return text.replace("\\" + ENV_MARK, ENV_MARK).replace(ENV_MARK, "\\" + ENV_MARK)


def _first_lines(error: Exception, limit: int = 3) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:limit])
