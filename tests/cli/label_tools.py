"""`tsloop labels` called within the test's own process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from tsloop.cli.labels import app
from tsloop.errors import TsloopError

__all__ = ["call"]


def call(*arguments: object) -> Result:
    """The command in this process; errors that end in a message are raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, TsloopError):
        raise result.exception
    return result
