"""An iteration is finished: what people said becomes its journal, and its stages open.

The journal depends on the decisions alone, so finishing twice writes the same bytes. Records that
others wrote into it stay; what was decided differently since comes as a later revision. So does a
correction of an older label: the journal it was first said in is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tsloop.annotations.journal import latest, read_journal, write_journal
from tsloop.annotations.record import AnnotationRecord
from tsloop.config.params import configure
from tsloop.errors import ReviewConflictError, ReviewInvalidError
from tsloop.files import sha256_file
from tsloop.intervals import Basis, Interval, Status
from tsloop.loop.changes import changing
from tsloop.loop.facts import ProjectView, new_labels_wait
from tsloop.loop.gold import add_gold_records
from tsloop.loop.label_import import plan_import
from tsloop.loop.queues import LIKELY_LABEL_ERROR
from tsloop.project import Project
from tsloop.review import tables
from tsloop.review.audit import note
from tsloop.review.content import Content
from tsloop.review.database import Database
from tsloop.review.items import content_at
from tsloop.review.listing import ASKED_KINDS, count_states, to_review
from tsloop.review.material import Material
from tsloop.review.people import User

__all__ = ["finish_iteration", "record_of"]

_I = tables.items.c


def finish_iteration(
    database: Database,
    material: Material,
    iteration: str,
    by: User,
    *,
    allow_open: bool = False,
) -> dict[str, Any]:
    """Write the journal of an iteration and let its stages exist; what was written.

    Raises `ReviewConflictError` where it is closed, or where open items are not allowed.
    """
    project = material.project
    if material.is_closed(iteration):
        raise ReviewConflictError(
            f"{iteration} is closed: other iterations build on what it published.",
            hint="Correct its series in the open iteration.",
            code="iteration_closed",
        )
    counts = count_states(database, iteration)
    left = {key: counts[key] for key in ("pending", "in_review", "needs_fix") if counts[key]}
    if left and not allow_open:
        raise ReviewConflictError(
            f"{to_review(iteration, counts)}; the others would be left out of the journal.",
            hint="Review them, or finish all the same: --allow-open.",
            open=left,
        )
    with database.read() as connection:
        found = _decided(connection, iteration)
    planted = sum(1 for row, content in found if _accepted_planted(row, content))
    path = project.labels(iteration)
    before = sha256_file(path) if path.exists() else ""
    written = _write_all(project, material, iteration, found)
    opened = _open_stages(project, iteration)
    after = sha256_file(path)
    done = {
        "iteration": iteration,
        "journal": project.relative(path),
        "sha256": after,
        "changed": after != before,
        "left_out": {key: counts[key] for key in ("pending", "in_review", "needs_fix", "skipped")},
        "planted_removed": planted,
        "opened": opened,
        **written,
    }
    with database.write() as connection:
        note(connection, by.name, "finished", detail=done)
    return done


def _decided(connection: sa.Connection, iteration: str) -> list[tuple[Any, Content]]:
    """Items with an answer and what it is, in the order of the queue."""
    rows = connection.execute(
        sa.select(tables.items)
        .where(_I.iteration == iteration, _I.state == "done", _I.active)
        .order_by(_I.rank, _I.id)
    ).all()
    return [(row, content_at(connection, row.id, row.revision)) for row in rows]


def _write_all(
    project: Project, material: Material, iteration: str, found: list[tuple[Any, Content]]
) -> dict[str, Any]:
    label_set = material.label_set.ref
    names = list(material.iterations)
    by_kind: dict[str, list[AnnotationRecord]] = {"asked": [], "second": [], "gold": []}
    for row, content in found:
        kind = row.kind if row.kind in by_kind else "asked"
        if row.kind in (*ASKED_KINDS, "second"):
            by_kind[kind].append(record_of(row, content, label_set))
    again = {
        record.series_id
        for record in by_kind["asked"]
        if (record.queue or {}).get("reason") == LIKELY_LABEL_ERROR
    }
    new = _new_records(project, iteration, by_kind["asked"], material, again)
    path = project.labels(iteration)
    held = read_journal(path) if path.exists() else []
    write_journal(path, [*held, *new])
    if by_kind["second"]:
        _write_second(project, iteration, by_kind["second"])
    gold = 0
    if by_kind["gold"]:
        _, gold = add_gold_records(
            project, by_kind["gold"], names, material.store, material.label_set
        )
    return {
        "records": len({*(r.series_id for r in held), *(r.series_id for r in new)}),
        "new_records": len(new),
        "second_records": len(by_kind["second"]),
        "gold_records": gold,
    }


def _new_records(
    project: Project,
    iteration: str,
    records: list[AnnotationRecord],
    material: Material,
    again: set[str],
) -> list[AnnotationRecord]:
    """What no journal says yet, as the next revision of its series."""
    known = material.labelled_before(iteration)
    names = list(material.iterations)
    plan = plan_import(project, iteration, records, names, revise=True, known=known)
    if plan.conflicts:
        first = plan.conflicts[0]
        raise ReviewInvalidError(
            f"{len(plan.conflicts)} series cannot enter {iteration} (first: "
            f"{first.record.series_id!r}: {first.reason}).",
            hint="Skip them on the page.",
        )
    # Confirming a doubted label changes nothing, but that somebody looked must be known: nobody
    # is asked twice.
    path = project.labels(iteration)
    held = latest(read_journal(path)) if path.exists() else {}
    confirmed = [
        record.replace(revision=known[record.series_id].revision + 1)
        for record in records
        if record.series_id in again
        and record.series_id in plan.same
        and record.series_id in known
        and record.series_id not in held
    ]
    return [*plan.add, *confirmed]


def _write_second(project: Project, iteration: str, records: list[AnnotationRecord]) -> None:
    path = project.second(iteration)
    held = {record.series_id: record for record in read_journal(path)} if path.exists() else {}
    # A second reading counts as it was first said: what was discussed since is no second reading.
    fresh = [record for record in records if record.series_id not in held]
    write_journal(path, [*held.values(), *fresh])


def _open_stages(project: Project, iteration: str) -> bool:
    """Whether the stages of the iteration had to be opened for its labels."""
    if not new_labels_wait(ProjectView(project), iteration):
        return False
    with changing(project, f"open {iteration}"):
        configure(project)
    return True


def record_of(row: Any, content: Content, label_set: str) -> AnnotationRecord:
    """The record that an answered item stands for.

    Accepted planted proposals are left out: they are known to be wrong. An open proposal counts as
    rejected. ``extra["review"]`` keeps what the record has no field for.
    """
    kept = [item for item in content["intervals"] if not _is_planted(row, item)]
    comments = {item["id"]: item["comment"] for item in kept if item["comment"]}
    review: dict[str, Any] = {"revision": row.revision}
    if comments:
        review["comments"] = comments
    if content["unsure"]:
        review["unsure"] = True
    return AnnotationRecord(
        series_id=row.series_id,
        series_sha256=row.series_sha256,
        n_rows=row.n_rows,
        result=Status.OK if kept else Status.NONE,
        label_set=label_set,
        intervals=tuple(_interval(item) for item in kept),
        overall=content["overall"],
        author=row.author,
        time=_time_text(row.updated_ms),
        comment=content["comment"],
        queue=row.question,
        extra={"review": review},
    )


def _interval(item: Mapping[str, Any]) -> Interval:
    return Interval(
        item["start"],
        item["end"],
        item["label"],
        score=item["score"],
        reason=item["reason"],
        basis=Basis(item["basis"]),
        author=item["author"],
        time=item["time"],
        t_start=item["t_start"],
        t_end=item["t_end"],
    )


def _is_planted(row: Any, item: Mapping[str, Any]) -> bool:
    planted = row.planted is not None and item["proposal"] == row.planted
    return planted and item["basis"] == "accepted"


def _accepted_planted(row: Any, content: Content) -> bool:
    return any(_is_planted(row, item) for item in content["intervals"])


def _time_text(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
