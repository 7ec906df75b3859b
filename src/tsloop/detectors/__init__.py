"""One contract, many detectors.

`build` makes a detector from a plain mapping, as a Hydra file or ``params.yaml`` holds it.
"""

from __future__ import annotations

from tsloop.detectors.factory import BUILTIN, build, config_of, resolve_target

__all__ = ["BUILTIN", "build", "config_of", "resolve_target"]
