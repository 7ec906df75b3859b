"""Compose ``conf/`` into plain values, exactly as DVC does it, but keeping the environment out.

``\\${oc.env:…}`` stays text, so that the result has the same bytes on every machine and holds no
secret; every other interpolation is resolved.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tsloop.errors import ConfigError

__all__ = ["ENV_MARK", "Composed", "compose", "escape", "resolve_below"]

ENV_MARK = "${oc.env:"

Composed = Any
"""An OmegaConf ``DictConfig``; typed loosely so that importing this module stays cheap."""


def compose(
    conf: Path, overrides: Sequence[str] = (), name: str = "config", *, with_hydra: bool = False
) -> Composed:
    """Compose ``conf/<name>.yaml`` with Hydra overrides, without resolving interpolations.

    ``with_hydra`` keeps the key ``hydra``, in which Hydra says what it chose.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    logging.getLogger("hydra").setLevel(logging.ERROR)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3", job_name="tsloop"):
            return hydra_compose(name, list(overrides), return_hydra_config=with_hydra)
    except MissingConfigException as error:
        if not error.options:
            raise _not_composed(conf, error) from error
        raise ConfigError(
            f"{conf.name}/ does not compose: there is no {error.missing_cfg_file}.",
            hint=f"Choose one of: {', '.join(sorted(error.options))}.",
        ) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise _not_composed(conf, error) from error
    except YAMLError as error:
        raise ConfigError(
            f"A file of {conf.name}/ is not valid YAML: {' '.join(str(error).split())}.",
            hint="After a merge, first settle its conflicts.",
        ) from error


def _not_composed(conf: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{conf.name}/ does not compose: {_first_lines(error)}",
        hint="`tsloop configure --show` lists the groups and their choices.",
    )


def resolve_below(config: Composed, key: str | None = None) -> Any:
    """Plain values of the whole configuration or of one top-level key, interpolations resolved.

    The environment is not read: ``\\${oc.env:TSLOOP_…}``, escaped as `escape` does it, stays text
    and is put in where the value is used. Read while composing it would end up in ``params.yaml``.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with _no_environment():
            return OmegaConf.to_container(config if key is None else config[key], resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"The configuration does not resolve: {_first_lines(error)}") from error


@contextlib.contextmanager
def _no_environment() -> Iterator[None]:
    """Make every form of ``${oc.env:…}`` an error that tells how to write it."""
    from omegaconf import OmegaConf
    from omegaconf.resolvers import oc

    def refuse(name: str, *default: Any) -> Any:
        raise ConfigError(
            f"conf/ reads the environment variable {name} while it is composed.",
            hint="Write \\${oc.env:TSLOOP_NAME}, with the backslash: it is read when it is used.",
        )

    OmegaConf.register_new_resolver("oc.env", refuse, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def escape(text: str) -> str:
    """Mark ``${oc.env:…}`` so that OmegaConf (ours and DVC's) resolves it to itself."""
    return text.replace("\\" + ENV_MARK, ENV_MARK).replace(ENV_MARK, "\\" + ENV_MARK)


def _first_lines(error: Exception, limit: int = 3) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:limit])
