"""Answers that people's labels were turned into for fine-tuning, read back.

They come as one JSON document, as one object per interval joined with commas, as Python text, with
markers for "nothing" and statements on the whole series among the intervals. The tolerant reader of
model answers (`tsloop.answers`) reads them; here its findings get names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tsloop.annotations.formats.attributes import attribute_id, phrases
from tsloop.annotations.formats.base import ForeignLabel, Span
from tsloop.annotations.formats.mapping import names_model
from tsloop.answers import parse_answer
from tsloop.errors import AnnotationError
from tsloop.intervals import Status

__all__ = ["Target", "read_prompt", "read_target"]

_REPAIRS = {
    "joined": "joined objects",
    "quotes": "single quotes",
    "brackets": "full-width brackets",
    "commas": "commas",
    "comments": "comments",
    "literals": "words without quotes",
}
_DOUBTS = {
    "contradiction": 'contradiction ("no anomaly" beside anomalies)',
    "truncated": "cut off",
    "clamped": "rows outside the series",
    "reversed": "end before start",
    "prose_recovered": "rows taken from prose",
}
_ANY_ROW = 2**53
_PROMPT = re.compile(r"请分析图中的([^。\n]{0,80}?)的时间序列数据")


@dataclass(frozen=True, slots=True)
class Target:
    """What an answer says, with everything that had to be mended or is doubtful."""

    status: Status
    spans: tuple[Span, ...]
    overall: Mapping[str, ForeignLabel]
    repairs: tuple[str, ...]
    doubts: tuple[str, ...]


def read_target(text: str, n_rows: int | None) -> Target:
    """Read an answer about ``n_rows`` rows (``None``: not known yet, every row is accepted).

    An answer that says nothing usable, or of which an item cannot be read, is an
    `AnnotationError`: it is not "no anomaly", and no interval is left out.
    """
    answer = parse_answer(text, _ANY_ROW if n_rows is None else n_rows, None)
    if answer.status is Status.FAILED:
        why = f" ({', '.join(answer.flags)})" if answer.flags else ""
        raise AnnotationError(f"The answer cannot be read{why}: {text!r:.120}")
    if "items_skipped" in answer.flags:
        raise AnnotationError(f"An item of the answer cannot be read: {text!r:.120}")
    spans = tuple(_span(i.start, i.end, i.label, i.reason) for i in answer.intervals)
    repairs = [_REPAIRS[kind] for kind in answer.repairs]
    if "repaired" in answer.flags and not repairs:
        repairs.append("notation")
    repairs += ["text around the answer"] if "prose_stripped" in answer.flags else []
    repairs += ["the same interval twice"] if "duplicates_removed" in answer.flags else []
    doubts = [_DOUBTS[flag] for flag in answer.flags if flag in _DOUBTS]
    return Target(answer.status, spans, _overall(answer.overall), tuple(repairs), tuple(doubts))


def read_prompt(text: str) -> dict[str, ForeignLabel]:
    """Statements on the whole series that a prompt was given in its first line."""
    match = _PROMPT.search(text)
    return phrases(match.group(1)) if match else {}


def _span(start: int, end: int, label: str, reason: str) -> Span:
    named = ForeignLabel("", label)
    return Span(named, start, end, reason=reason, model=names_model(named))


def _overall(raw: Mapping[str, str]) -> dict[str, ForeignLabel]:
    """Ids from an attribute object, texts from a sentence; the ids say more."""
    found = phrases(raw["text"]) if "text" in raw else {}
    for key, value in raw.items():
        if key != "text" and value:
            found[attribute_id(key)] = ForeignLabel(value)
    return found
