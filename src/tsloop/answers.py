"""Read what a language model answered, however it wrote it down.

The order of attempts: strict JSON; the same without fence, name and surrounding text; almost-JSON
(`tsloop.lenient`); pairs of row numbers in running text. Each step leaves a flag, the raw text is
kept, and an answer that says nothing usable is ``failed``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tsloop.intervals import Detection, Interval, Status
from tsloop.labels import LabelSet
from tsloop.lenient import KINDS, CutDict, CutList, Fragment, read_fragments

__all__ = ["FLAGS", "ParsedAnswer", "parse_answer"]

FLAGS = (
    "prose_stripped",
    "repaired",
    "truncated",
    "items_skipped",
    "duplicates_removed",
    "clamped",
    "reversed",
    "contradiction",
    "prose_recovered",
)
"""What can be said of an answer besides its status, in the order in which it is reported."""

_UNTRUSTED = frozenset({"truncated", "clamped", "reversed", "contradiction", "prose_recovered"})


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """What an answer says, and how it had to be read.

    ``status`` is ``failed`` where nothing usable was said. ``flags`` are from `FLAGS`; ``raw`` is
    the text as it came; ``overall`` are statements on the whole series; ``unknown_labels`` are
    texts that the label set does not know (their intervals carry the general label). ``repairs``
    names what was mended: kinds of `tsloop.lenient.KINDS`, and ``joined`` for several values in a
    row where one was due.
    """

    status: Status
    intervals: tuple[Interval, ...]
    flags: tuple[str, ...]
    raw: str
    overall: Mapping[str, str] = field(default_factory=dict)
    unknown_labels: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()

    @property
    def form(self) -> str:
        """``failed``, ``truncated`` (cut off, the whole part used), ``repaired`` or ``ok``."""
        if self.status is Status.FAILED:
            return "failed"
        if "truncated" in self.flags:
            return "truncated"
        return "repaired" if self.flags else "ok"

    @property
    def trusted(self) -> bool:
        """Whether the answer may be accepted or exported without a person looking at it."""
        return self.status is not Status.FAILED and not _UNTRUSTED.intersection(self.flags)

    def to_detection(self) -> Detection:
        """The three-valued result, with the begin of the raw text as the reason of a failure."""
        if self.status is Status.FAILED:
            why = ", ".join(self.flags) or "no usable answer"
            return Detection.failed(
                f"The model's answer could not be read ({why}): {self.raw!r:.200}"
            )
        return Detection.of(self.intervals)


def parse_answer(text: str, n_rows: int, label_set: LabelSet | None) -> ParsedAnswer:
    """Read an answer about rows ``0..n_rows-1``; never raises, never leaves these rows.

    Without a label set the intervals carry the texts of their labels as they were written.
    """
    collected = _Collector(n_rows, label_set)
    body, outside = text.strip(), ""
    if (strict := _strict(body)) is None:  # a fence or a tag inside a reason is part of the reason
        body, outside = _strip_wrapping(text)
        collected.flag("truncated", "<think>" in text and "</think>" not in text)
        strict = _strict(body)
    if strict is not None:
        fragments = [Fragment(strict, 0, len(body))]
    else:
        fragments = read_fragments(body)
        between = _outside(body, fragments)
        outside += between
        joined = len(fragments) > 1 and not _words(between)
        collected.flag("repaired", joined or any(fragment.repaired for fragment in fragments))
        kinds = {kind for fragment in fragments for kind in fragment.kinds}
        collected.repairs = [*(["joined"] if joined else []), *(k for k in KINDS if k in kinds)]
        if not fragments and _is_none_text(body):
            collected.nothing += 1
            collected.flag("repaired")
    collected.flag("prose_stripped", bool(fragments) and bool(_words(outside)))
    collected.prose = bool(_words(outside))
    collected.refused = bool(_REFUSAL.search(outside))
    for fragment in fragments:
        collected.walk(fragment.value, outermost=True)
    return collected.answer(text)


_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_NAME = re.compile(r"\s*[A-Za-z_]\w{0,40}\s*[=:：]\s*(?=[\[［【{｛])")
_REFUSAL = re.compile(
    r"sorry|cannot|can't|can not|unable|apolog|抱歉|对不起|无法|不能|不支持", re.IGNORECASE
)
_LIST_KEYS = ("anomalies", "detected_anomalies", "results", "intervals")
_INTERVAL_KEYS = ("interval", "range", "segment")
_LABEL_KEYS = ("label", "type", "category")
_REASON_KEYS = ("reason", "detail", "description", "desc")
_NONE_TEXTS = frozenset(
    {"无异常", "没有异常", "未发现异常", "正常", "none", "normal", "no anomaly", "no anomalies"}
)
_OVERALL_TEXTS = frozenset({"全局属性", "overall", "overall_attribute"})
_GOOD_STATUS = frozenset({"success", "ok", "none", "done"})


def _strip_wrapping(text: str) -> tuple[str, str]:
    """The part that should be data, and the text around it."""
    begin, end = text.find("<think>"), text.rfind("</think>")
    body = text
    if begin >= 0:
        body = text[:begin] + (text[end + 8 :] if end > begin else "")
    outside = ""
    if (fence := _FENCE.search(body)) and _has_bracket(fence.group(1)):
        outside = body[: fence.start()] + body[fence.end() :]
        body = fence.group(1)
    return _NAME.sub("", body, count=1).strip() if _NAME.match(body) else body.strip(), outside


def _has_bracket(text: str) -> bool:
    return any(bracket in text for bracket in "[{［【｛")


def _strict(body: str) -> Any:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list | dict) else None


def _outside(body: str, fragments: list[Fragment]) -> str:
    edges = [0, *(edge for f in fragments for edge in (f.start, f.stop)), len(body)]
    return " ".join(body[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))


def _words(outside: str) -> bool:
    """Whether text around the data says something; names before the data and separators do not."""
    text = re.sub(r"\b(?:anomalies|detected_anomalies|results)\s*[=:：]", " ", outside)
    return any(char.isalnum() for char in text)


def _is_none_text(body: str) -> bool:
    return body.strip(" \t\r\n.。!！\"'`").lower() in _NONE_TEXTS


@lru_cache(maxsize=16)
def _label_index(label_set: LabelSet) -> dict[str, str]:
    """Label id by every text that names it: id, Chinese and English."""
    index: dict[str, str] = {}
    for label in label_set.labels:
        for text in (label.id, label.zh, label.en, label.id.replace("_", " ")):
            index.setdefault(text.strip().lower(), label.id)
    return index


class _Collector:
    """Gathers items from parsed values and decides on the status."""

    def __init__(self, n_rows: int, label_set: LabelSet | None) -> None:
        self.n_rows = n_rows
        self.label_set = label_set
        self.flags: set[str] = set()
        self.found: dict[tuple[int, int, str], Interval] = {}
        self.pairs: list[list[Any]] = []
        self.overall: dict[str, str] = {}
        self.unknown: list[str] = []
        self.repairs: list[str] = []
        self.nothing = 0
        self.prose = False
        self.refused = False
        self.errors = False

    def flag(self, name: str, condition: bool = True) -> None:
        """Remember a flag when the condition holds."""
        if condition:
            self.flags.add(name)

    def walk(self, value: Any, outermost: bool = False) -> None:
        """Take everything that a value says."""
        self.flag("truncated", isinstance(value, CutDict | CutList))
        if isinstance(value, dict):
            self.walk_object(value)
        elif isinstance(value, list):
            if not value and not isinstance(value, CutList):
                self.nothing += 1
            elif len(value) == 2 and all(_is_number(item) for item in value):
                self.pairs.append(value)
            else:
                for item in value:
                    self.walk(item)
        else:
            self.flag("items_skipped", not outermost)

    def walk_object(self, value: dict[str, Any]) -> None:
        """An item, a wrapper around items, or a statement on the whole series."""
        lists = [key for key in _LIST_KEYS if isinstance(value.get(key), list | dict)]
        if lists:
            status = value.get("status")
            self.errors |= isinstance(status, str) and status.lower() not in _GOOD_STATUS
            for key in lists:
                self.walk(value[key])
        elif isinstance(whole := value.get("overall_attribute"), dict):
            self.overall.update({str(k): str(v) for k, v in whole.items()})
        elif not isinstance(value, CutDict):
            self.take_item(value)

    def take_item(self, item: dict[str, Any]) -> None:
        """One item: an interval, a marker for "nothing", or an attribute."""
        label = _first_text(item, _LABEL_KEYS)
        reason = _first_text(item, _REASON_KEYS)
        if label.strip().lower() in _NONE_TEXTS:
            self.nothing += 1
            return
        if label.strip().lower() in _OVERALL_TEXTS:
            self.overall["text"] = reason
            return
        span = next((item[key] for key in _INTERVAL_KEYS if key in item), None)
        if span is None and "start" in item and "end" in item:
            span = [item["start"], item["end"]]
        self.add(span, label, reason)

    def add(self, span: Any, label: str, reason: str) -> None:
        """Take one interval, mended where that is safe."""
        rows = [self.row(edge) for edge in span] if isinstance(span, list) else []
        if len(rows) != 2 or rows[0] is None or rows[1] is None or isinstance(span, CutList):
            self.flag("items_skipped")
            return
        start, end = min(rows[0], rows[1]), max(rows[0], rows[1])
        if end < 0 or start >= self.n_rows:  # to clamp it would invent an anomaly at the border
            self.flag("items_skipped")
            return
        self.flag("reversed", rows[0] > rows[1])
        self.flag("clamped", start < 0 or end >= self.n_rows)
        start, end = max(start, 0), min(end, self.n_rows - 1)
        interval = Interval(start, end, self.label(label), reason=reason)
        key = (start, end, interval.label)
        self.flag("duplicates_removed", key in self.found)
        self.found.setdefault(key, interval)

    def row(self, value: Any) -> int | None:
        """A row number; whole floats and strings of digits count as repaired."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            self.flag("repaired")
            return int(value)
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,15}\s*", value):
            self.flag("repaired")
            return int(value)
        return None

    def label(self, text: str) -> str:
        """The label id that a text names, else the general one; without a set the text."""
        if self.label_set is None:
            return text.strip()
        general = "anomaly" if "anomaly" in self.label_set else (*self.label_set.ids, "anomaly")[0]
        if not text.strip():
            return general
        known = _label_index(self.label_set).get(text.strip().lower())
        if known is None and text not in self.unknown:
            self.unknown.append(text)
        return known or general

    def take_pairs(self) -> None:
        """Bare pairs of numbers, used only where nothing better was said, and not in a refusal."""
        if self.found or self.refused:
            return
        whole = [pair for pair in self.pairs if all(isinstance(edge, int) for edge in pair)]
        for pair in whole:
            self.add(pair, "", "")
        self.flag("prose_recovered" if self.prose else "repaired", bool(whole))
        if self.prose and self.found:
            self.flags.discard("prose_stripped")

    def answer(self, raw: str) -> ParsedAnswer:
        """Decide on the status."""
        self.take_pairs()
        doubtful = self.refused or self.errors or bool(self.flags & {"truncated", "items_skipped"})
        if self.found:
            status = Status.OK
            self.flag("contradiction", self.errors or bool(self.nothing))
        elif self.nothing and not doubtful:
            status = Status.NONE
        else:
            status = Status.FAILED
        intervals = sorted(self.found.values(), key=lambda i: (i.start, i.end, i.label))
        flags = tuple(flag for flag in FLAGS if flag in self.flags)
        return ParsedAnswer(
            status,
            tuple(intervals),
            flags,
            raw,
            dict(self.overall),
            tuple(self.unknown),
            tuple(self.repairs),
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first_text(item: Mapping[str, Any], keys: Iterable[str]) -> str:
    """The first text under one of the keys; halves of surrogate pairs are replaced."""
    text: str = next((item[key] for key in keys if isinstance(item.get(key), str)), "")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
