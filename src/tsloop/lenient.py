"""A reader for almost-JSON, as language models write it.

It takes what ``json.loads`` refuses: text around the data, single or curly quotes, trailing commas,
comments, Python literals, full-width or doubled brackets, several values in a row, and data that
was cut off. It never raises and it reads every character a bounded number of times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["KINDS", "CutDict", "CutList", "Fragment", "read_fragments"]

KINDS = ("quotes", "brackets", "commas", "comments", "literals")
"""What a repair can be named after; some have no name, see `Fragment.repaired`."""

_OPEN = {
    "[": "list",
    "［": "list",
    "【": "list",
    "{": "dict",
    "｛": "dict",
    "(": "any",
    "（": "any",
}
_CLOSE = {
    "]": "list",
    "］": "list",
    "】": "list",
    "}": "dict",
    "｝": "dict",
    ")": "any",
    "）": "any",
}
# A bracket that data may follow; "[I think so]" in running text is none.
_TOP = re.compile(
    r"[\[［【{｛](?=\s*(?:[\[［【{｛(（\"'“‘\d\-+\]］】}｝/#]|\w{1,40}\s{0,9}[:：]|$))"
)
_SKIP = re.compile(r"(?:\s+|//[^\n]*|/\*.{0,500}?\*/|#[^\n]*)+", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,3})?(?![\w.\-])")
_BARE = re.compile(r"[^\s,，:：\[\]{}()［］【】｛｝（）\"'“”]+")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}
_AFTER_STRING = frozenset(",，:：]}）)］】｝/#")
_LITERALS: dict[str, bool | None] = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "nan": None,
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_MAX_DEPTH = 64
_CUT = object()


class CutDict(dict[str, Any]):
    """An object whose end is missing; values that may be half are left out."""


class CutList(list[Any]):
    """An array whose end is missing; elements that may be half are left out."""


@dataclass(slots=True)
class Fragment:
    """One value found in a text: ``text[start:stop]``, and whether it had to be repaired.

    ``kinds`` are those of `KINDS` that were met: single or curly ``quotes``, full-width
    ``brackets``, ``commas`` too many or of another script, ``comments``, Python ``literals`` or
    other words without quotes.
    """

    value: Any
    start: int
    stop: int
    repaired: bool = False
    kinds: frozenset[str] = frozenset()


def read_fragments(text: str) -> list[Fragment]:
    """Every array and object in the text, outermost ones only, in order."""
    found: list[Fragment] = []
    position = 0
    while match := _TOP.search(text, position):
        reader = _Reader(text, match.start())
        value = reader.container(0)
        if reader.too_deep:
            return []
        kinds = frozenset(reader.kinds)
        found.append(Fragment(value, match.start(), reader.position, reader.repaired, kinds))
        position = reader.position
    return found


@dataclass(slots=True)
class _Reader:
    text: str
    position: int
    repaired: bool = False
    too_deep: bool = False
    kinds: set[str] = field(default_factory=set)

    def note(self, kind: str, condition: bool) -> None:
        """Remember a repair by its kind when the condition holds."""
        if condition:
            self.repaired = True
            self.kinds.add(kind)

    def peek(self) -> str:
        """The next character that is neither space nor comment; empty at the end of the text."""
        if skipped := _SKIP.match(self.text, self.position):
            self.note("comments", bool(skipped.group().strip()))
            self.position = skipped.end()
        return self.text[self.position : self.position + 1]

    def container(self, depth: int) -> Any:
        """Read from an opening bracket to its closing one, or to the end of the text."""
        kind = _OPEN[self.text[self.position]]
        self.note("brackets", self.text[self.position] not in "[{")
        self.position += 1
        if depth > _MAX_DEPTH:
            self.too_deep, self.position = True, len(self.text)
        items: list[Any] = []
        pairs: dict[str, Any] = {}
        comma = True
        while True:
            char = self.peek()
            if char in (",", "，"):
                self.note("commas", comma or char != ",")
                comma = True
                self.position += 1
                continue
            if not char or char in _CLOSE:
                break
            self.repaired |= not comma
            item = self.value(depth)
            if item is _CUT:
                continue
            if self.peek() in (":", "："):
                self.repaired |= not isinstance(item, str) or self.text[self.position] != ":"
                self.position += 1
                if (value := self.pair_value(depth)) is not _CUT:
                    pairs[str(item)] = value
            else:
                items.append(item)
            comma = False
        self.note("commas", bool(char) and comma and bool(items or pairs))
        return self.close(kind, char, items, pairs)

    def close(self, kind: str, char: str, items: list[Any], pairs: dict[str, Any]) -> Any:
        """Take the closing bracket and give the container its type."""
        if not char:
            return _cut(kind, items, pairs)
        if _CLOSE[char] == kind:
            self.note("brackets", char not in "]}")
            self.position += 1
        else:
            # The bracket belongs to an outer container, or to none: this one ends without it.
            self.repaired = True
            as_object = kind == "dict" or (kind == "any" and bool(pairs))
            self.position += as_object and _CLOSE[char] != "list"
        if kind == "list":
            self.repaired |= bool(pairs)
            return [*items, pairs] if pairs else items
        if pairs:
            self.repaired |= bool(items)
            nested = [item for item in items if isinstance(item, dict | list)]
            return [*nested, pairs] if nested else pairs
        if kind == "dict" and items:
            self.repaired = True
            return items[0] if len(items) == 1 else items
        return items if kind == "any" else pairs

    def pair_value(self, depth: int) -> Any:
        """The value after a colon; a missing one counts as null."""
        char = self.peek()
        if not char:
            return _CUT
        if char in _CLOSE or char in ",，":
            self.repaired = True
            return None
        return self.value(depth)

    def value(self, depth: int) -> Any:
        """One value; ``_CUT`` where the text ended within it (containers come back as cut ones)."""
        char = self.text[self.position]
        if char in _OPEN:
            return self.container(depth + 1)
        if char in _QUOTES:
            return self.string(char)
        if number := _NUMBER.match(self.text, self.position):
            self.position = number.end()
            literal = number.group()
            value = float(literal) if re.search(r"[.eE]", literal) else int(literal)
            return value if self.position < len(self.text) else _CUT
        return self.bare()

    def string(self, quote: str) -> Any:
        """A quoted string; a quote inside it that nothing JSON-like follows is part of it."""
        self.note("quotes", quote != '"')
        closing, out = _QUOTES[quote], []
        at = self.position + 1
        while at < len(self.text):
            char = self.text[at]
            if char == "\\":
                piece, at = self.escape(at)
                out.append(piece)
                continue
            if char == closing:
                if self.ends_string(at + 1):
                    self.position = at + 1
                    return "".join(out)
                self.repaired = True
            self.repaired |= char < " "
            out.append(char)
            at += 1
        self.position = len(self.text)
        return _CUT

    def ends_string(self, at: int) -> bool:
        """Whether a quote before ``at`` can close a string: a separator or the end follows."""
        while at < len(self.text) and self.text[at].isspace():
            at += 1
        return at == len(self.text) or self.text[at] in _AFTER_STRING

    def escape(self, at: int) -> tuple[str, int]:
        """The text behind a backslash, and where reading goes on; unknown ones stay as they are."""
        following = self.text[at + 1 : at + 2]
        if following == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", self.text[at + 2 : at + 6]):
            code = int(self.text[at + 2 : at + 6], 16)
            low = self.text[at + 6 : at + 12]
            if 0xD800 <= code < 0xDC00 and re.fullmatch(r"\\u[dD][c-fC-F][0-9a-fA-F]{2}", low):
                pair = 0x10000 + ((code - 0xD800) << 10) + int(low[2:], 16) - 0xDC00
                return chr(pair), at + 12
            return chr(code), at + 6
        if following in _ESCAPES:
            return _ESCAPES[following], at + 2
        if following in ('"', "\\", "/", "'"):
            self.repaired |= following == "'"
            return following, at + 2
        self.repaired = True
        return "\\", at + 1

    def bare(self) -> Any:
        """An unquoted word: a literal of JSON or Python, or a string that lacks its quotes."""
        word = _BARE.match(self.text, self.position)
        if word is None:  # a stray closing quote
            self.position += 1
            self.repaired = True
            return ""
        self.position = word.end()
        if self.position == len(self.text):
            return _CUT
        self.note("literals", word.group() not in ("true", "false", "null"))
        return _LITERALS.get(word.group().lower(), word.group())


def _cut(kind: str, items: list[Any], pairs: dict[str, Any]) -> Any:
    if kind == "dict" and not items:
        return CutDict(pairs)
    return CutList([*items, CutDict(pairs)] if pairs else items)
