"""A running review page: `tsloop review` in a project, as a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["running_page"]

PATIENCE_S = 120.0


@contextlib.contextmanager
def running_page(project: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """The page's address, once it answers; the process ends with the context.

    ``environment`` replaces that of this process. A server that ends or says nothing within two
    minutes is a `RuntimeError`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tsloop.cli", "review", "--no-browser", "--port", str(port)]
    with subprocess.Popen(command, cwd=project, env=environment) as running:
        try:
            _wait(running, url)
            yield url
        finally:
            running.terminate()


def _wait(running: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while running.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/api/health").close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"The review page at {url} does not answer (exit code {running.poll()}).")
