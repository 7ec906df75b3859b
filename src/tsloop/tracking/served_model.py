"""The code of every registered model version: MLflow copies this file into the version and runs it.

The version's artifact ``model`` is a model directory as ``tsloop.detectors.files`` writes it, with
no pickle in it. An adapter whose base is not at hand fails when the version is loaded, with the
base's name. The contract of `predict` is the one of `tsloop.tracking.serving`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from tsloop.offline import work_offline

__all__ = ["ServedModel"]

work_offline()


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A tsloop detector behind MLflow's pyfunc interface."""

    def load_context(self, context: Any) -> None:
        """Load the detector from the version's model directory, if it is what was registered."""
        from tsloop.detectors.files import load_detector
        from tsloop.errors import ModelFileError
        from tsloop.files import sha256_tree

        directory = Path(context.artifacts["model"])
        registered = (context.model_config or {}).get("model_sha256")
        if registered and (found := sha256_tree(directory)) != registered:
            raise ModelFileError(
                f"{directory} is not the model that was registered: its hash is {found[:12]}…, "
                f"registered was {registered[:12]}….",
                hint="Registering the champion again restores it: tsloop tracking sync",
            )
        self.detector = load_detector(directory)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Detections of every series of the table; there are no parameters."""
        from tsloop.tracking.serving import detect_frame

        return detect_frame(self.detector, model_input)


mlflow.models.set_model(ServedModel())
