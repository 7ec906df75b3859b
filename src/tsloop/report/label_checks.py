"""What the checks of labels found, as two blocks of the report in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsloop.annotations.checks.config import CHECKS
from tsloop.report.figures import Block
from tsloop.report.svg import Text
from tsloop.report.vocabulary import plain

__all__ = ["check_blocks", "without_checks"]

MAX_FINDINGS = 24
ACTIONS = {"warn": Text("warns", "提示"), "stop": Text("stops training", "阻止训练")}
_KEYS = ("checks", "findings")


def check_blocks(quality: Mapping[str, Any]) -> list[Block]:
    """A table of the checks that found something, and the first findings; empty without any.

    ``quality`` is ``quality.json``; one without ``checks`` (of an older tsloop) gives no block.
    """
    checks = quality.get("checks")
    if not isinstance(checks, Mapping):
        return []
    rows = [(name, row) for name, row in checks.items() if isinstance(row, Mapping)]
    found = [(name, row) for name, row in rows if row.get("findings")]
    if not found:
        done = Text("checks that found nothing", "未发现问题的检查")
        return [Block(Text("Checks of the labels", "标注检查"), ((done, str(len(rows))),))]
    return [_counts(found), *_findings(quality.get("findings"))]


def without_checks(quality: Mapping[str, Any]) -> dict[str, Any]:
    """The other figures of ``quality.json``."""
    return {key: value for key, value in quality.items() if key not in _KEYS}


def _counts(found: list[tuple[Any, Mapping[str, Any]]]) -> Block:
    head = (Text("findings", "数量"), Text("action", "处理"))
    body = tuple(
        (_name(str(name)), (plain(row.get("findings", "")), _action(row))) for name, row in found
    )
    return Block(Text("Checks that found something", "发现问题的检查"), (), head, body)


def _findings(rows: Any) -> list[Block]:
    listed = [row for row in rows or () if isinstance(row, Mapping)]
    if not listed:
        return []
    head = (Text("series", "序列"), Text("rows", "行"), Text("what", "内容"))
    body = tuple(
        (
            _name(str(row.get("check", ""))),
            (plain(row.get("series_id", "")), _rows(row), plain(row.get("what", ""))),
        )
        for row in listed[:MAX_FINDINGS]
    )
    left = max(0, len(listed) - MAX_FINDINGS)
    return [Block(Text("Please look again", "请再次查看"), (), head, body, left)]


def _name(check: str) -> Text:
    text = CHECKS.get(check)
    return Text.same(check) if text is None else Text(text.en, text.zh)


def _action(row: Mapping[str, Any]) -> str:
    action = ACTIONS.get(str(row.get("action")))
    return plain(row.get("action", "")) if action is None else action.en


def _rows(row: Mapping[str, Any]) -> str:
    if row.get("start") is None:
        return ""
    return plain(row["start"]) if row["start"] == row["end"] else f"{row['start']}–{row['end']}"
