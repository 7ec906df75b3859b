"""The table in docs/formats.md says of each format what it declares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tsloop
from tsloop.annotations.formats.losses import what_is_lost
from tsloop.annotations.formats.registry import all_formats
from tsloop.cli.label_import import import_labels

PAGE = Path(tsloop.__file__).parent.parent.parent / "docs" / "formats.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the docs are not part of an install")


def test_the_table_is_what_the_formats_declare() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text("utf-8"), re.M
    )
    assert [(name, lost) for name, _, _, lost in rows] == [
        (item.name, ", ".join(what_is_lost(item.holds))) for item in all_formats()
    ]


def test_every_option_of_the_import_is_explained() -> None:
    page = PAGE.read_text("utf-8")
    options = {
        f"--{name.replace('_', '-').removesuffix('-name')}"
        for name in import_labels.__annotations__
    } - {"--paths", "--return", "--author"}
    assert [option for option in sorted(options) if option not in page] == []
