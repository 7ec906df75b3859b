"""Settings of the MLflow store."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tsloop.errors import ConfigError

__all__ = ["TrackingConfig", "store_uri"]

_SERVERS = ("http", "https", "postgresql", "mysql", "mssql")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class TrackingConfig:
    """``conf/tracking``: where MLflow keeps what it shows."""

    enabled: bool = True
    """Whether anything is written to MLflow; the loop runs without it just as well."""
    uri: str = ""
    """MLflow tracking URI. Empty: a SQLite file in the project's ``.tsloop``. A relative SQLite
    path counts from the project; a server is ``http://…`` or ``postgresql://…``."""
    artifact_root: str = ""
    """Where artifacts and registered models go (a directory or a URI). Empty: ``.tsloop`` of the
    project for SQLite, the server's own choice for a server."""
    experiment: str = ""
    """MLflow experiment. Empty: ``tsloop/<project name>``."""
    registered_model: str = "tsloop"
    """Name of the registered model, as in ``models:/tsloop@champion``."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.registered_model):
            raise ConfigError(
                f"tracking.registered_model is {self.registered_model!r}, which MLflow cannot "
                "address: use letters, digits, '_', '-' and '.', and begin with a letter or digit."
            )
        if self.uri and not self.uri.startswith("${"):
            _check_uri(self.uri)


def store_uri(project_dir: Path, config: TrackingConfig) -> str:
    """The absolute tracking URI: the same from whatever directory a process is started."""
    found = re.match(r"(sqlite(?:\+\w+)?):///(.+)", config.uri or "sqlite:///.tsloop/mlflow.db")
    if not found:
        return config.uri
    path = os.path.normpath(project_dir.resolve() / found.group(2))
    if "?" in path:
        raise ConfigError(
            f"The MLflow database cannot lie at {path!r}: a '?' in the path ends the URI.",
            hint="Rename the directory, or set tracking.uri to another place.",
        )
    return f"{found.group(1)}:///{path}"


def _check_uri(uri: str) -> None:
    scheme = uri.split(":", 1)[0].split("+", 1)[0].lower() if ":" in uri else ""
    if scheme == "sqlite":
        path = re.sub(r"^sqlite(\+\w+)?:/{0,3}", "", uri)
        if path in ("", ":memory:") or "?" in path:
            raise ConfigError(
                f"tracking.uri is {uri!r}, which is not a SQLite file.",
                hint="Leave tracking.uri empty, or name a file: sqlite:////data/mlflow.db",
            )
    elif scheme not in _SERVERS:
        raise ConfigError(
            f"tracking.uri is {uri!r}: MLflow no longer keeps runs in a directory of files.",
            hint="Leave tracking.uri empty (SQLite in the project), or set sqlite:///mlflow.db, "
            "or a server such as http://127.0.0.1:5000.",
        )
