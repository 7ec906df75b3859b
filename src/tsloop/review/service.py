"""Everything behind the page, put together for one project."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from tsloop.annotations.journal import latest, read_journal
from tsloop.errors import ReviewConflictError, TsloopError
from tsloop.project import Project
from tsloop.review import items, listing
from tsloop.review.batches import Batches
from tsloop.review.database import Database, default_database
from tsloop.review.decisions import Decisions
from tsloop.review.finish import finish_iteration
from tsloop.review.holding import Holding
from tsloop.review.importing import Importer
from tsloop.review.material import Material
from tsloop.review.people import People, User, account_name, require
from tsloop.review.replies import forget_replies
from tsloop.review.series_data import summary, view_of

__all__ = ["ReviewService"]

WARM_PX = 900


class ReviewService:
    """One project's review: open it, use it from any thread, close it."""

    def __init__(self, project: Project, database: Database | None = None) -> None:
        self.project = project
        self.material = Material(project)
        config = self.material.config
        self.database = database or _database(project, config.database, config.busy_timeout_s)
        self.database.migrate()
        self.people = People(self.database)
        self.decisions = Decisions(self.database, self.material)
        self.holding = Holding(self.database, self.decisions)
        self.importer = Importer(self.database, self.material)
        self.batches = Batches(self.database, self.material, self.decisions, self.importer)
        self._finishing = threading.Lock()
        self._stamps: dict[str, Any] = {}
        forget_replies(self.database)

    def warm(self) -> None:
        """Pay for imports and first reads before somebody waits for them."""
        name = self.material.open_iteration()
        if name is None:
            return
        anybody = User("", "admin")
        first = listing.next_item(self.database, name, anybody)
        if first is None:
            return
        series_id = first["series"]["series_id"]
        series = self.material.series(series_id)
        view_of(series, px=WARM_PX, max_points=self.material.config.max_points)
        for model in self.item(first["id"], anybody)["models"]:
            self.material.scores(model["model"], series_id)

    def close(self) -> None:
        """Close the connections; whatever was answered is saved already."""
        self.database.dispose()

    def owner(self) -> User:
        """Who works at this machine: an admin."""
        return self.people.ensure(self.material.config.user or account_name(), "admin")

    def refresh(self, iteration: str | None = None) -> dict[str, Any]:
        """Import what is asked for an iteration (default: the open one); nothing where none is."""
        name = iteration or self.material.open_iteration()
        if name is None:
            return {"iteration": None, "items": 0, "new": 0, "refreshed": 0, "kept": 0}
        return {"iteration": name, **self.importer.refresh(name, account_name())}

    def keep_up(self, iteration: str) -> None:
        """Import again where a queue or predictions came since: looks at file times only."""
        if not iteration or self.material.is_closed(iteration):
            return
        stamp = self.material.stamp(iteration)
        if self._stamps.get(iteration) != stamp:
            self.refresh(iteration)
            self._stamps[iteration] = stamp

    def item(self, item_id: int, user: User) -> dict[str, Any]:
        """All that the page needs to show one item."""
        with self.database.read() as connection:
            row = items.get_row(connection, item_id)
            items.check_may_see(connection, row, user)
            content = items.content_at(connection, item_id, row.revision)
        material = self.material
        entry = material.store.entry(row.series_id)
        series = material.series(row.series_id)
        question = row.question or {}
        shown = items.queue_item(row, user)
        return {
            **shown,
            "n_suspects": shown["suspects"],
            "series": summary(entry, series, row.series_key),
            "changed": entry.sha256 != row.series_sha256,
            "proposals": items.public_proposals(
                row, lambda rows: material.times(row.series_id, rows)
            )
            if entry.sha256 == row.series_sha256
            else [],
            "models": [] if row.blind else self._models(row, user),
            "previous": None if row.blind else self._previous(row),
            "suspects": [_suspect(s) for s in question.get("suspects") or ()],
            "content": items.content_of(content),
            "approval_detail": row.approval,
        }

    def _models(self, row: Any, user: User) -> list[dict[str, Any]]:
        hidden = self.hides_scores(row.series_key, user)
        parent = self.material.parent(row.iteration)
        found = []
        for variant in self.material.variants(parent):
            model = f"{parent}/{variant}"
            reader = self.material.reader(model)
            detection = reader.detections.get(row.series_id) if reader else None
            if detection is not None:
                found.append(
                    {
                        "model": model,
                        "primary": model == row.model,
                        "status": str(detection.status),
                        "reason": detection.reason,
                        "threshold": self.material.threshold(model),
                        "scores": str(detection.status) != "failed" and not hidden,
                        "sha256": self.material.model_sha256(model),
                    }
                )
        return found

    def _previous(self, row: Any) -> dict[str, Any] | None:
        """What the primary variant said one iteration earlier, for the difference."""
        parent = self.material.parent(row.iteration)
        if parent not in self.material.iterations or not row.model:
            return None
        before = self.material.parent(parent)
        model = f"{before}/{row.model.partition('/')[2]}"
        reader = self.material.reader(model)
        if reader is None or reader.sha256.get(row.series_id) != row.series_sha256:
            return None
        found = reader.detections[row.series_id].intervals
        stamps = self.material.times(row.series_id, [r for i in found for r in (i.start, i.end)])
        proposals = [
            {
                "id": f"{model}:{n}",
                "model": model,
                "start": i.start,
                "end": i.end,
                "label": i.label,
                "score": i.score,
                "reason": i.reason,
                "t_start_ms": stamps[2 * n] / 1e6,
                "t_end_ms": stamps[2 * n + 1] / 1e6,
            }
            for n, i in enumerate(found)
        ]
        return {"model": model, "proposals": proposals}

    def correct(self, user: User, key: str, iteration: str | None) -> dict[str, Any]:
        """An item in the open iteration for any series: how old labels are corrected."""
        name = iteration or self.material.open_iteration()
        if name is None:
            raise ReviewConflictError(
                "No iteration is open for corrections.", hint="Make one: tsloop iteration create"
            )
        if self.material.is_closed(name):
            raise ReviewConflictError(
                f"{name} is closed.", hint="Correct it in the open iteration.",
                code="iteration_closed",
            )  # fmt: skip
        entry = self.material.entry(key)
        record = self._labelled(name).get(entry.id)
        made = self.importer.add_correction(name, entry.id, record, user.name)
        return self.item(made, user)

    def _labelled(self, iteration: str) -> dict[str, Any]:
        """The latest record of each series, before an iteration or in any journal of people."""
        records = list(self.material.labelled_before(iteration).values())
        for name in self.material.iterations:
            path = self.project.labels(name)
            if path.exists():
                records += read_journal(path)
        return latest(records)

    def finish(self, user: User, iteration: str, *, allow_open: bool = False) -> dict[str, Any]:
        """Write the journal and open the stages; one at a time."""
        require(user, "reviewer")
        self.material.parent(iteration)
        with self._finishing:
            return finish_iteration(
                self.database, self.material, iteration, user, allow_open=allow_open
            )

    def hides_scores(self, series_key: str, user: User) -> bool:
        """Whether this user may still label the series blind: its scores are shown nowhere then."""
        with self.database.read() as connection:
            return listing.has_open_blind_item(connection, series_key, user)

    def labelled_ids(self, iteration: str) -> set[str]:
        """Series that are labelled already; none where a journal cannot be read."""
        try:
            return set(self._labelled(iteration)) if iteration else set()
        except TsloopError:
            return set()


def _suspect(raw: Mapping[str, Any]) -> dict[str, Any]:
    from tsloop.loop.suspects.find import KINDS

    return {**raw, "text": KINDS.get(str(raw.get("kind")), "")}


def _database(project: Project, url: str, busy_timeout_s: int) -> Database:
    if url:
        return Database(url, busy_timeout_s=busy_timeout_s)
    return Database.at(default_database(project.local), busy_timeout_s=busy_timeout_s)
