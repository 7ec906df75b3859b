"""A scripted reviewer in a real browser: ``web/tests/browser/play.mjs`` against its mock server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (WEB / "node_modules").is_dir(), reason="run `make web` first"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
]


def test_a_reviewer_works_by_keyboard_through_conflicts_and_outages() -> None:
    command = ["node", "tests/browser/play.mjs"]
    environment = {**os.environ, "CHROMIUM": str(CHROMIUM)}
    done = subprocess.run(
        command, cwd=WEB, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("ok")
