"""The files of a registered version: an MLflow model made from code, without a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tsloop.tracking.environment import import_mlflow
from tsloop.tracking.serving import OUTPUT_COLUMNS, input_example

__all__ = ["save_served_model"]

_CODE = Path(__file__).with_name("served_model.py")


def save_served_model(target: Path, directory: Path, metadata: Mapping[str, str]) -> None:
    """Write an MLflow model: our code file, a copy of the model directory, the signature.

    The served code compares the copy with ``model.sha256`` of the metadata when it loads.
    """
    mlflow = import_mlflow()
    mlflow.pyfunc.save_model(
        str(target),
        python_model=str(_CODE),
        artifacts={"model": str(directory)},
        signature=_signature(),
        input_example=input_example(),
        pip_requirements=[f"tsloop=={version('tsloop')}"],
        metadata=dict(metadata),
        model_config={"model_sha256": metadata.get("model.sha256", "")},
    )


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    # Any: integers and time zones are welcome; tsloop.tracking.serving does the checking.
    inputs = [
        ColSpec(AnyType(), "timestamp"),
        ColSpec(AnyType(), "value"),
        ColSpec(AnyType(), "series_id", required=False),
    ]
    kinds = {"start": "long", "end": "long", "score": "double"}
    outputs = [
        ColSpec(kinds.get(name, "string"), name, required=name in ("series_id", "status"))
        for name in OUTPUT_COLUMNS
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))
