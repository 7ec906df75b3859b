"""The import of MLflow: offline, quiet, and only when it is needed.

The values are defaults: what a user has set stays. Child processes (the MLflow server, a sweep's
workers) inherit them.
"""

from __future__ import annotations

import importlib
import os
import re
import warnings
from typing import Any

from tsloop.errors import TrackingError
from tsloop.offline import work_offline

__all__ = ["FLOOR", "check_floor", "import_mlflow", "set_offline_defaults"]

FLOOR = "3.17.2"
"""The oldest MLflow that is taken: older servers have known holes (paths, webhooks, no Host check).
``pyproject.toml`` says the same."""

_MLFLOW_DEFAULTS: dict[str, str] = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server that is down should be reported in seconds, not after seven growing pauses.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # The server would start seven more worker processes that nothing here uses.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
}


def set_offline_defaults() -> None:
    """No telemetry, no look-ups, no chatter, wherever the user has not decided otherwise."""
    work_offline()
    for name, value in _MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)


def import_mlflow() -> Any:
    """The ``mlflow`` module, imported offline and without the warnings of its own imports."""
    set_offline_defaults()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow = importlib.import_module("mlflow")
        check_floor(mlflow.__version__)
        importlib.import_module("mlflow.pyfunc")
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
        importlib.import_module("mlflow.store.model_registry.sqlalchemy_store")
    return mlflow


def check_floor(version: str) -> None:
    """Refuse an MLflow older than `FLOOR`, which only an install past its metadata can bring."""

    def numbers(text: str) -> list[int]:
        return [int(n) for n in re.findall(r"\d+", text)[:3]]

    if numbers(version) < numbers(FLOOR):
        raise TrackingError(
            f"MLflow {version} is installed, and its server has known holes.",
            hint=f"Install at least {FLOOR}: pip install 'mlflow>={FLOOR}'",
        )
