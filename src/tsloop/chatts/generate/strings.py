"""The inside of a JSON string, byte by byte, as the answer grammar allows it in a reason.

Allowed are printable characters in UTF-8 except ``"`` and ``<``, and JSON escapes. Left out, as in
`tsloop.grammar.render_answer`, are control characters, U+007F..9F, U+2028/9, and halves of
surrogate pairs, also as escapes.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["LONGEST_ESCAPE", "QUOTE", "complete", "is_clean", "next_in_string", "pending"]

QUOTE = ord('"')
BACKSLASH = ord("\\")
LONGEST_ESCAPE = 6
"""Characters in ``\\u0041``."""

_LEADS = bytes(range(0xC2, 0xF5))
_PRINTABLE = bytes(b for b in range(0x20, 0x7F) if b not in b'"<\\')
_HEX = b"0123456789ABCDEFabcdef"
_CONTINUATIONS = bytes(range(0x80, 0xC0))
_SECOND_BYTES = {
    0xC2: bytes(range(0xA0, 0xC0)),  # U+0080..9F are control characters
    0xE0: bytes(range(0xA0, 0xC0)),
    0xED: bytes(range(0x80, 0xA0)),  # no surrogates
    0xF0: bytes(range(0x90, 0xC0)),
    0xF4: bytes(range(0x80, 0x90)),
}
_UNCLEAN = re.compile('[\x00-\x1f"<\\\\\x7f-\x9f\u2028\u2029]')


@lru_cache(maxsize=4096)
def next_in_string(part: bytes) -> bytes:
    """The bytes that may follow within a character or escape of which ``part`` was read.

    With an empty part: everything that begins a character or an escape (not the closing quote).
    """
    if not part:
        return _PRINTABLE + b"\\" + _LEADS
    if part == b"\\":
        return b'"\\/bfnrtu'
    if part[0] == BACKSLASH:
        return b"01234567" if len(part) == 3 and part[2] in b"dD" else _HEX
    if part == b"\xe2\x80":
        return _CONTINUATIONS.translate(None, b"\xa8\xa9")
    return _SECOND_BYTES.get(part[0], _CONTINUATIONS) if len(part) == 1 else _CONTINUATIONS


def pending(part: bytes) -> int:
    """How many bytes the begun character or escape still needs at most; 0 for an empty part."""
    if not part:
        return 0
    if part[0] == BACKSLASH:
        return LONGEST_ESCAPE - len(part)
    lead = part[0]
    return 1 + (lead >= 0x80) + (lead >= 0xE0) + (lead >= 0xF0) - len(part)


def complete(part: bytes) -> bool:
    """Whether ``part`` is one whole character or escape."""
    return pending(part) == 0 or (len(part) == 2 and part[0] == BACKSLASH and part[1:] != b"u")


def is_clean(text: str) -> bool:
    """Whether a decoded text holds only characters that may stand in a reason as they are."""
    return _UNCLEAN.search(text) is None
