"""Paths of IoTDB: nodes between dots, back-ticks around what is not a plain word, wildcards.

``root.plant.`FI_10401C.PV``` has three nodes; the dot inside the back-ticks belongs to the last.
A back-tick inside back-ticks is doubled. ``*`` stands for one node or a part of one, ``**`` for any
number of them; inside back-ticks both are plain text.
"""

from __future__ import annotations

import re

from tsloop.errors import ConfigError

__all__ = ["has_wildcard", "join_path", "name_matcher", "parse_path", "quote", "unquote"]

_NODE = re.compile(r"`(?:[^`]|``)+`|[^`.\s]+")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({"root", "time", "timestamp"})
_HINT = "Write it like root.plant.unit1; put nodes with dots into back-ticks: root.plant.`a.b`."


def parse_path(text: str, key: str = "The path") -> tuple[str, ...]:
    """The nodes of a path as they are written, back-ticks included; ``key`` is for the message."""
    text = text.strip()
    nodes: list[str] = []
    place = 0
    while True:
        match = _NODE.match(text, place)
        if match is None:
            raise ConfigError(f"{key} {text!r} is not a path of IoTDB.", hint=_HINT)
        nodes.append(match.group())
        place = match.end()
        if place == len(text):
            break
        if text[place] != ".":
            raise ConfigError(f"{key} {text!r} is not a path of IoTDB.", hint=_HINT)
        place += 1
    if nodes[0] != "root":
        raise ConfigError(f"{key} {text!r} does not begin with root.", hint=_HINT)
    return tuple(nodes)


def unquote(node: str) -> str:
    """The name that a node stands for."""
    quoted = len(node) > 1 and node[0] == node[-1] == "`"
    return node[1:-1].replace("``", "`") if quoted else node


def quote(name: str) -> str:
    """A name as a node, whatever it holds."""
    return "`" + name.replace("`", "``") + "`"


def has_wildcard(node: str) -> bool:
    """Whether a node, as it is written, stands for several."""
    return "*" in node and not node.startswith("`")


def join_path(nodes: tuple[str, ...]) -> str:
    """The path in one spelling: back-ticks where they are needed, and only there."""
    return ".".join((nodes[0], *map(_spelled, nodes[1:])))


def _spelled(node: str) -> str:
    if has_wildcard(node):
        return node
    name = unquote(node)
    return name if _PLAIN.fullmatch(name) and name.lower() not in _RESERVED else quote(name)


def name_matcher(pattern: str) -> re.Pattern[str]:
    """What a wanted measurement matches: ``*`` is any text, unless the pattern is back-ticked."""
    if not has_wildcard(pattern):
        return re.compile(re.escape(unquote(pattern)))
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
