"""Names that become file names: of projects, iterations, variants and sweeps."""

from __future__ import annotations

import unicodedata

from tsloop.errors import ConfigError

__all__ = ["MAX_BYTES", "MAX_LENGTH", "check_name", "counted"]

MAX_LENGTH = 64
"""Characters of a name."""
MAX_BYTES = 200
"""Bytes of a name in UTF-8: file systems take 255, and suffixes are added to a name."""


def check_name(name: str, where: str) -> str:
    """The name itself, or a `ConfigError` that begins with ``where``.

    Letters of any script, digits, ``_``, ``-`` and ``.``; it begins with a letter, a digit or
    ``_``. So it is never a path, a hidden file or an option of a command.
    """
    if not name or not (_is_word(name[0]) and all(_is_word(c) or c in "-." for c in name)):
        raise ConfigError(
            f"{where} is {_shown(name)}, which is no name.",
            hint="Use letters, digits, '_', '-' and '.', and begin with a letter or digit.",
        )
    if len(name) > MAX_LENGTH or len(name.encode()) > MAX_BYTES:
        raise ConfigError(
            f"{where} is {_shown(name)}, which has {len(name)} characters.",
            hint=f"A name has at most {MAX_LENGTH} characters and {MAX_BYTES} bytes.",
        )
    return name


def _is_word(character: str) -> bool:
    """A letter, a mark on one, a number, or ``_``."""
    return character == "_" or unicodedata.category(character)[0] in "LMN"


def _shown(name: str) -> str:
    return repr(name if len(name) <= MAX_LENGTH else name[: MAX_LENGTH - 1] + "…")


def counted(n: int, one: str, many: str = "") -> str:
    """A number with its noun: ``1 row``, ``2 rows``; ``many`` where an s does not do."""
    return f"{n} {one if n == 1 else many or one + 's'}"
