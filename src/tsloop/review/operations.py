"""What a batch can do to an item: accept or reject by score, add, say "none", put, undo."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from tsloop.errors import ReviewInvalidError, ReviewNotFoundError
from tsloop.review import tables
from tsloop.review.content import STATES, Content
from tsloop.review.database import Database
from tsloop.review.decisions import Restored
from tsloop.review.items import content_at

__all__ = [
    "OPERATIONS",
    "Change",
    "Operation",
    "judged_by_score",
    "parse_operation",
    "pick_controls",
    "undecided",
    "undo_operations",
]

Change = Callable[[Any, Content], Any]
"""From the row of an item and its content to the new content; ``None`` where nothing changes."""

Operation = tuple[int, int, Change]
"""An item, the revision that it must be at, and the change."""

OPERATIONS = ("accept", "reject", "add", "none", "put")


def parse_operation(raw: Mapping[str, Any]) -> Operation:
    """Item, the revision that it must be at, and the change."""
    kind = raw.get("op")
    if kind not in OPERATIONS:
        raise ReviewInvalidError(
            f"op: {kind!r} must be one of {', '.join(OPERATIONS)}.", field="op"
        )
    item, revision = raw.get("item"), raw.get("revision")
    if not isinstance(item, int) or not isinstance(revision, int):
        raise ReviewInvalidError("item and revision: must be whole numbers.", field="item")
    state = raw.get("state")
    if state is not None and state not in STATES:
        raise ReviewInvalidError(f"state: {state!r} must be one of {STATES}.", field="state")
    makers: dict[str, Callable[[Mapping[str, Any]], Change]] = {
        "accept": _accept,
        "reject": _reject,
        "add": _add,
        "none": lambda _: _say_none,
        "put": lambda given: lambda _row, _before: given.get("content"),
    }
    return item, revision, _with_state(makers[kind](raw), state)


def _with_state(change: Change, state: str | None) -> Change:
    def changed(row: Any, before: Content) -> Any:
        content = change(row, before)
        if content is None or state is None:
            return content
        content = {**content, "state": state}
        if state == "done" and content.get("result") is None:
            content["result"] = "ok" if content.get("intervals") else "none"
        return content

    return changed


def _score(raw: Mapping[str, Any], key: str, default: float) -> float:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ReviewInvalidError(f"{key}: {value!r} must be a score in [0, 1].", field=key)
    return float(value)


def undecided(row: Any, before: Content) -> list[Mapping[str, Any]]:
    """Proposals of the item's own model that nobody has judged; none where it is blind."""
    if row.blind:
        return []
    judged = {item["proposal"] for item in before["intervals"]} | set(before["rejected"])
    own = row.model or "labels"
    return [p for p in row.proposals if p["model"] == own and p["id"] not in judged]


def _accept(raw: Mapping[str, Any]) -> Change:
    least = _score(raw, "min_score", 0.0)

    def change(row: Any, before: Content) -> Content | None:
        found = [p for p in undecided(row, before) if (p["score"] or 0.0) >= least]
        free = [p for p in found if not _overlaps(p, before["intervals"])]
        if not free:
            return None
        new = [
            {k: p[k] for k in ("id", "start", "end", "label")} | {"proposal": p["id"]} for p in free
        ]
        return _begun({**before, "intervals": [*before["intervals"], *new], "result": "ok"})

    return change


def judged_by_score(verdict: str, score: float, state: str | None) -> Change:
    """Accept what scores at least ``score``, or reject what scores less."""
    if verdict not in ("accept", "reject"):
        raise ReviewInvalidError(f"op: {verdict!r} must be accept or reject.", field="op")
    if state not in (None, "done"):
        raise ReviewInvalidError(f"state: {state!r} must be done or nothing.", field="state")
    given = {"min_score": score} if verdict == "accept" else {"below": score}
    return _with_state((_accept if verdict == "accept" else _reject)(given), state)


def _overlaps(proposal: Mapping[str, Any], held: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        item["label"] == proposal["label"]
        and item["start"] <= proposal["end"]
        and proposal["start"] <= item["end"]
        for item in held
    )


def _reject(raw: Mapping[str, Any]) -> Change:
    most = _score(raw, "max_score", 1.0)
    below = _score(raw, "below", 1.0) if "below" in raw else None

    def is_low(score: float) -> bool:
        return score <= most if below is None else score < below

    def change(row: Any, before: Content) -> Content | None:
        found = [p["id"] for p in undecided(row, before) if is_low(p["score"] or 0.0)]
        return _begun({**before, "rejected": [*before["rejected"], *found]}) if found else None

    return change


def _add(raw: Mapping[str, Any]) -> Change:
    given = raw.get("intervals")
    if not isinstance(given, list) or not all(isinstance(item, Mapping) for item in given):
        raise ReviewInvalidError("intervals: must be a list of objects.", field="intervals")

    def change(row: Any, before: Content) -> Content:
        new = [{"id": f"r{row.revision + 1}-{number}", **item} for number, item in enumerate(given)]
        return _begun({**before, "intervals": [*before["intervals"], *new], "result": "ok"})

    return change


def _say_none(row: Any, before: Content) -> Content:
    rejected = [p["id"] for p in row.proposals if not row.blind]
    return {**before, "state": "done", "result": "none", "intervals": [], "rejected": rejected}


def _begun(content: Content) -> Content:
    return {**content, "state": "in_review" if content["state"] == "pending" else content["state"]}


def undo_operations(database: Database, batch_id: int) -> list[Operation]:
    """What takes a batch back: each item gets the content from before it, as a new revision."""
    revisions = tables.revisions.c
    with database.read() as connection:
        rows = connection.execute(
            sa.select(revisions.item_id, revisions.revision, revisions.basis_revision).where(
                revisions.batch_id == batch_id
            )
        ).all()
        if not rows:
            raise ReviewNotFoundError(f"There is no batch {batch_id}.")
        return [
            (r.item_id, r.revision, _restore(content_at(connection, r.item_id, r.basis_revision)))
            for r in rows
        ]


def _restore(content: Content) -> Change:
    return lambda _row, _now: Restored(content)


def pick_controls(batch_id: int, item_ids: Sequence[int], share: float) -> list[int]:
    """Which items of a batch are looked at once more, blind: a random share of them."""
    count = round(len(item_ids) * share)
    return sorted(random.Random(batch_id).sample(sorted(item_ids), count))
