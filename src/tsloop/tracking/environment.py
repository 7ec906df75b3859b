"""Environment variables that keep the libraries offline and quiet, and the import of MLflow.

The values are defaults: what a user has set stays. They must be in place before the first import
of the library concerned, so the command line and every stage call `set_offline_defaults` first;
child processes inherit them.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import MutableMapping
from typing import Any

__all__ = ["OFFLINE_DEFAULTS", "import_mlflow", "set_offline_defaults"]

OFFLINE_DEFAULTS: dict[str, str] = {
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # The server would start seven more worker processes that nothing here uses.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TRANSFORMERS_OFFLINE": "1",
}


def set_offline_defaults(environment: MutableMapping[str, str] | None = None) -> None:
    """Set each of `OFFLINE_DEFAULTS` that the environment does not define."""
    target = os.environ if environment is None else environment
    for name, value in OFFLINE_DEFAULTS.items():
        target.setdefault(name, value)


def import_mlflow() -> Any:
    """The ``mlflow`` module, imported offline and without the warnings of its own imports."""
    set_offline_defaults()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow = importlib.import_module("mlflow")
        importlib.import_module("mlflow.pyfunc")
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
        importlib.import_module("mlflow.store.model_registry.sqlalchemy_store")
    return mlflow
