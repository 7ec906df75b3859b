"""The command line: verbs that import what they need when they are called."""

from tsloop.cli.app import main

__all__ = ["main"]
