"""How well people review: effort, readiness to accept, planted proposals, agreement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

import numpy as np
import sqlalchemy as sa

from tsloop.intervals import Interval, to_mask
from tsloop.review import tables
from tsloop.review.content import Content
from tsloop.review.database import Database

__all__ = ["quality"]

_I = tables.items.c
_R = tables.revisions.c


def quality(database: Database, iteration: str) -> dict[str, Any]:
    """Figures per reviewer, and the agreement of first with second readings and controls."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(tables.items).where(_I.iteration == iteration, _I.active)
        ).all()
        steps = connection.execute(
            sa.select(_R.item_id, _R.author, _R.seconds, _R.n_keys, _R.n_clicks)
            .join(tables.items, _I.id == _R.item_id)
            .where(_I.iteration == iteration)
        ).all()
        answers = connection.execute(
            sa.select(_R.item_id, _R.content)
            .join(tables.items, sa.and_(_I.id == _R.item_id, _I.revision == _R.revision))
            .where(_I.iteration == iteration, _I.state == "done")
        ).all()
    contents: dict[int, Content] = {row.item_id: row.content for row in answers}
    return {
        "iteration": iteration,
        "reviewers": _reviewers(rows, steps, contents),
        "agreement": _agreement(rows, contents),
    }


def _reviewers(
    rows: Iterable[Any], steps: Iterable[Any], contents: Mapping[int, Content]
) -> list[dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = defaultdict(_empty)
    per_item: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for step in steps:
        mine = figures[step.author]
        mine["decisions"] += 1
        mine["seconds"] += step.seconds
        mine["keys"] += step.n_keys
        mine["clicks"] += step.n_clicks
        per_item[step.author][step.item_id] += step.seconds
    for row in rows:
        if row.id in contents and row.author:
            _count(figures[row.author], row, contents[row.id])
    for name, mine in figures.items():
        times = list(per_item[name].values())
        mine["median_seconds"] = median(times) if times else None
        judged = mine["accepted"] + mine["edited"] + mine["rejected"]
        mine["accept_rate"] = mine["accepted"] / judged if judged else None
        shown = mine["planted_shown"]
        mine["bias"] = mine["planted_accepted"] / shown if shown else None
    return [{"user": name, **figures[name]} for name in sorted(figures)]


def _empty() -> dict[str, Any]:
    names = (
        "items", "decisions", "keys", "clicks", "accepted", "edited", "rejected", "drawn",
        "planted_shown", "planted_accepted",
    )  # fmt: skip
    return {**dict.fromkeys(names, 0), "seconds": 0.0}


def _count(mine: dict[str, Any], row: Any, content: Content) -> None:
    mine["items"] += 1
    taken = {item["proposal"]: item["basis"] for item in content["intervals"]}
    for item in content["intervals"]:
        key = "drawn" if item["proposal"] is None else item["basis"]
        mine[key if key in ("drawn", "edited") else "accepted"] += 1
    own = [p["id"] for p in row.proposals if p["model"] == row.model and not row.blind]
    mine["rejected"] += sum(1 for proposal in own if proposal not in taken)
    if row.planted is not None:
        mine["planted_shown"] += 1
        mine["planted_accepted"] += taken.get(row.planted) == "accepted"


def _agreement(rows: Iterable[Any], contents: Mapping[int, Content]) -> dict[str, Any]:
    """First readings against blind ones of the same series, by rows."""
    first = {r.series_id: r for r in rows if r.kind in ("queue", "correction") and r.id in contents}
    pairs = []
    sums = np.zeros(4)
    for row in rows:
        if row.kind not in ("second", "control") or row.id not in contents:
            continue
        other = first.get(row.series_id)
        if other is None or other.n_rows != row.n_rows:
            continue
        one, two = _mask(other, contents[other.id]), _mask(row, contents[row.id])
        both, either = int((one & two).sum()), int((one | two).sum())
        sums += [both, int(one.sum()) - both, int(two.sum()) - both, len(one) - either]
        pairs.append(
            {
                "item": other.id,
                "other": row.id,
                "series_id": row.series_id,
                "a": other.author,
                "b": row.author,
                "iou": both / either if either else 1.0,
            }
        )
    return {
        "pairs": len(pairs),
        "kappa": _kappa(sums),
        "mean_iou": sum(p["iou"] for p in pairs) / len(pairs) if pairs else None,
        "items": sorted(pairs, key=lambda pair: pair["iou"]),
    }


def _mask(row: Any, content: Content) -> Any:
    spans = [Interval(item["start"], item["end"]) for item in content["intervals"]]
    return to_mask(spans, row.n_rows)


def _kappa(sums: Any) -> float | None:
    """Cohen's kappa over rows; ``None`` where chance alone would agree everywhere."""
    both, one, two, neither = (float(v) for v in sums)
    total = both + one + two + neither
    if not total:
        return None
    observed = (both + neither) / total
    chance = ((both + one) * (both + two) + (two + neither) * (one + neither)) / total**2
    return (observed - chance) / (1.0 - chance) if chance < 1.0 else None
