"""What a reviewer says of one series, checked and completed before it is stored.

A client names rows, labels and proposals; everything that can be known (true times, scores and
reasons of proposals, whether an "accepted" interval really is the proposal) is filled in here, so
that a mistaken page cannot make a false record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.errors import ReviewInvalidError
from tsloop.labels import LabelSet

__all__ = ["EMPTY", "OPEN_STATES", "STATES", "Content", "Frame", "check_content", "is_decided"]

STATES = ("pending", "in_review", "done", "needs_fix", "skipped")
OPEN_STATES = ("pending", "in_review", "needs_fix")
BASES = ("human", "accepted", "edited", "imported", "simulated", "model")
MAX_ID = 200
MAX_STEPS_NAME = 60

Content = dict[str, Any]
"""``state, result, intervals, rejected, overall, comment, unsure``, as `check_content` returns."""

EMPTY: Content = {
    "state": "pending",
    "result": None,
    "intervals": [],
    "rejected": [],
    "overall": {},
    "comment": "",
    "unsure": False,
}
"""What is said of a series that nobody has looked at."""


@dataclass(frozen=True)
class Frame:
    """What content is checked against: the series, its proposals, the label set and the limits.

    ``times`` gives the UTC nanoseconds of rows.
    """

    n_rows: int
    proposals: Mapping[str, Mapping[str, Any]]
    labels: LabelSet
    times: Callable[[Sequence[int]], Sequence[int]]
    author: str
    time: str
    max_intervals: int = 5000
    max_comment: int = 4000


def is_decided(content: Mapping[str, Any]) -> bool:
    """Whether the content is an answer, not work in progress."""
    return content["state"] in ("done", "skipped")


def check_content(raw: Any, frame: Frame, before: Mapping[str, Any] = EMPTY) -> Content:
    """The content to store, or a `ReviewInvalidError` that names the field.

    Intervals that say what they said in ``before`` keep their author and time.
    """
    if not isinstance(raw, Mapping):
        raise _error("content", raw, "must be an object")
    if unknown := sorted(set(map(str, raw)) - set(EMPTY)):
        raise _error(unknown[0], raw[unknown[0]], f"is no key of content ({', '.join(EMPTY)})")
    content = {**EMPTY, **raw}
    _check_plain(content, frame)
    old = {item["id"]: item for item in before["intervals"]}
    content["intervals"] = _intervals(content["intervals"], frame, old)
    content["rejected"] = _rejected(content["rejected"], frame, content["intervals"])
    content["overall"] = _overall(content["overall"], frame.labels, frame.max_comment)
    _check_answer(content)
    return content


def _check_plain(content: Content, frame: Frame) -> None:
    if content["state"] not in STATES:
        raise _error("state", content["state"], f"must be one of {', '.join(STATES)}")
    if content["result"] not in ("ok", "none", None):
        raise _error("result", content["result"], "must be ok, none or null")
    if not isinstance(content["unsure"], bool):
        raise _error("unsure", content["unsure"], "must be true or false")
    content["comment"] = _text("comment", content["comment"], frame.max_comment)
    for key in ("intervals", "rejected"):
        if not isinstance(content[key], list):
            raise _error(key, content[key], "must be a list")
    if len(content["intervals"]) > frame.max_intervals:
        raise _error(
            "intervals", len(content["intervals"]), f"may be {frame.max_intervals} at most"
        )


def _check_answer(content: Content) -> None:
    result, n_intervals = content["result"], len(content["intervals"])
    if content["state"] == "done" and result is None:
        raise _error("result", None, "must be ok or none where the state is done")
    if result == "none" and n_intervals:
        raise _error("result", "none", f"does not go with {n_intervals} intervals")
    if result == "ok" and not n_intervals:
        raise _error("result", "ok", "needs an interval; 'none' says that there is no anomaly")


def _intervals(
    raw: Sequence[Any], frame: Frame, old: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    found = [_interval(item, number, frame, old) for number, item in enumerate(raw)]
    found.sort(key=lambda item: (item["start"], item["end"], item["label"], item["id"]))
    ids = [item["id"] for item in found]
    if len(set(ids)) != len(ids):
        raise _error("intervals", max(ids, key=ids.count), "is the id of two intervals")
    _check_overlaps(found)
    rows = sorted({row for item in found for row in (item["start"], item["end"])})
    stamps = dict(zip(rows, frame.times(rows), strict=True))
    for item in found:
        item["t_start"], item["t_end"] = int(stamps[item["start"]]), int(stamps[item["end"]])
    return found


def _check_overlaps(ordered: Iterable[Mapping[str, Any]]) -> None:
    ends: dict[str, int] = {}
    for item in ordered:
        if item["start"] <= ends.get(item["label"], -1):
            raise _error(
                "intervals",
                f"[{item['start']}, {item['end']}]",
                f"overlaps another interval labelled {item['label']!r}: join them",
            )
        ends[item["label"]] = item["end"]


def _interval(
    raw: Any, number: int, frame: Frame, old: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    where = f"intervals[{number}]"
    if not isinstance(raw, Mapping):
        raise _error(where, raw, "must be an object")
    start, end = (_row(raw.get(key), f"{where}.{key}", frame.n_rows) for key in ("start", "end"))
    if start > end:
        raise _error(where, f"[{start}, {end}]", "ends before it starts")
    label = raw.get("label")
    if label not in frame.labels:
        raise _error(f"{where}.label", label, f"is not in label set {frame.labels.ref}")
    basis = raw.get("basis", "human")
    if basis not in BASES:
        raise _error(f"{where}.basis", basis, f"must be one of {', '.join(BASES)}")
    proposal = raw.get("proposal")
    source = None if proposal is None else frame.proposals.get(str(proposal))
    if proposal is not None and source is None:
        raise _error(f"{where}.proposal", proposal, "is no proposal of this series")
    item = {
        "id": _text(f"{where}.id", raw.get("id") or f"i{number}", MAX_ID),
        "start": start,
        "end": end,
        "label": label,
        "basis": _basis(str(basis), source, start, end, str(label)),
        "proposal": None if proposal is None else str(proposal),
        "score": source.get("score") if source else None,
        "reason": str(source.get("reason", "")) if source else "",
        "comment": _text(f"{where}.comment", raw.get("comment", ""), frame.max_comment),
        "author": frame.author,
        "time": frame.time,
    }
    return _keep_author(item, old.get(str(item["id"])))


def _basis(claimed: str, source: Mapping[str, Any] | None, start: int, end: int, label: str) -> str:
    """Where an interval comes from, as the rows say and not as the client claims."""
    if source is None:
        return claimed if claimed in ("human", "imported") else "human"
    if (start, end, label) == (source["start"], source["end"], source["label"]):
        return str(source.get("basis") or "accepted")
    return "edited"


def _keep_author(item: dict[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
    same = ("start", "end", "label", "basis", "proposal", "comment")
    if old is not None and all(item[key] == old[key] for key in same):
        return {**item, "author": old["author"], "time": old["time"]}
    return item


def _rejected(raw: Sequence[Any], frame: Frame, kept: Iterable[Mapping[str, Any]]) -> list[str]:
    taken = {item["proposal"] for item in kept}
    for proposal in raw:
        if not isinstance(proposal, str) or proposal not in frame.proposals:
            raise _error("rejected", proposal, "is no proposal of this series")
        if proposal in taken:
            raise _error("rejected", proposal, "is the source of an interval as well")
    return sorted(set(raw))


def _overall(raw: Any, labels: LabelSet, limit: int) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise _error("overall", raw, "must be an object")
    known = {a.id: {value.id for value in a.values} for a in labels.attributes}
    for key, value in raw.items():
        if key not in known:
            raise _error(f"overall.{str(key)[:60]}", value, f"is no attribute of {labels.ref}")
        if not isinstance(value, str) or value not in known[key]:
            raise _error(f"overall.{key}", value, "is no value of this attribute")
    return dict(sorted(raw.items()))


def _row(value: Any, where: str, n_rows: int) -> int:
    whole = isinstance(value, float) and math.isfinite(value) and value == int(value)
    if isinstance(value, bool) or not (isinstance(value, int) or whole):
        raise _error(where, value, "must be a row number")
    if not 0 <= value < n_rows:
        raise _error(where, value, f"is not one of the {n_rows} rows")
    return int(value)


def _text(where: str, value: Any, limit: int) -> str:
    if not isinstance(value, str):
        raise _error(where, value, "must be text")
    if len(value) > limit:
        raise _error(where, f"{len(value)} characters", f"may have {limit} at most")
    if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise _error(where, value, "holds characters that cannot be stored")
    return value


def _error(field: str, value: Any, what: str) -> ReviewInvalidError:
    shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return ReviewInvalidError(f"{field}: {shown[:120]} {what}.", field=field)
