"""Running DVC itself, with stages that find this interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tsloop.errors import IterationError

__all__ = ["dvc_environment", "run_dvc"]


def dvc_environment() -> dict[str, str]:
    """The environment for a DVC process: its stages must find this interpreter as ``python``."""
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", "")]
    )
    environment.setdefault("PYTHONHASHSEED", "0")
    return environment


def run_dvc(project_dir: Path, *arguments: str) -> None:
    """`dvc ARGUMENTS` in the foreground; raises `IterationError` where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project_dir,
        env=dvc_environment(),
        check=False,
    )
    if done.returncode:
        raise IterationError(
            f"{' '.join(['dvc', *arguments])} ended with exit code {done.returncode}.",
            hint="Its own message is above; after mending what it names, run it again.",
        )
