"""`tsloop review` and its verbs as a user calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tsloop.cli.app import app
from tsloop.loop.manager import IterationManager
from tsloop.project import Project


def call(root: Path, *arguments: str) -> Any:
    before = Path.cwd()
    os.chdir(root)
    try:
        return CliRunner().invoke(app, ["review", *arguments])
    finally:
        os.chdir(before)


@pytest.fixture
def waiting(finished: Project) -> Project:
    """Its third iteration waits for labels."""
    IterationManager(finished).create_iteration()
    return finished


def test_from_import_to_journal_without_a_browser(waiting: Project, tmp_path: Path) -> None:
    done = call(waiting.root, "import")
    assert "it003: " in done.output
    assert " 0 kept." in done.output
    refused = call(waiting.root, "finish", "it003")
    assert refused.exit_code == 1
    assert "--allow-open" in str(refused.exception)
    done = call(waiting.root, "finish", "it003", "--allow-open")
    assert "data/labels/it003.jsonl: 0 series, 0 new." in done.output
    assert "Next: dvc repro" in done.output
    assert waiting.labels("it003").read_text("utf-8") == ""
    done = call(waiting.root, "backup", str(tmp_path / "copies"))
    assert "sha256" in done.output
    done = call(waiting.root, "export")
    assert done.output == ""


def test_users_and_tokens(waiting: Project) -> None:
    token = call(waiting.root, "user", "李", "--role", "reviewer", "--token").output.strip()
    assert len(token) > 30
    listed = call(waiting.root, "user").output
    assert "李  reviewer  has a token" in listed
    assert token not in listed
    assert "李  reviewer  has a token  off" in call(waiting.root, "user", "李", "--off").output


def test_off_this_machine_it_does_not_start_without_a_token(waiting: Project) -> None:
    for option in (("--host", "0.0.0.0"), ("--require-tokens",)):
        done = call(waiting.root, *option, "--no-browser")
        assert done.exit_code == 1
        assert "tsloop review user" in str(done.exception)


@pytest.mark.slow
def test_the_page_answers_and_ends(waiting: Project) -> None:
    command = [sys.executable, "-m", "tsloop.cli", "review", "--no-browser"]
    with subprocess.Popen(command, cwd=waiting.root, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("it003: 0 of ")
        url = running.stdout.readline().split()[2]
        session = _get(f"{url}api/session")
        running.send_signal(signal.SIGINT)
    assert session["iteration"] == "it003"
    assert running.returncode == 0


def _get(url: str) -> Any:
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
