"""Keep every library from calling out: hub look-ups, telemetry, update checks.

Called before the libraries are imported. Values that the user set are left alone.
"""

from __future__ import annotations

import os

__all__ = ["work_offline"]

_DEFAULTS = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def work_offline() -> None:
    """Set the environment defaults; child processes inherit them."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
