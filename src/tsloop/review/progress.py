"""How far the review of an iteration is, for whoever only wants to know that.

Reads the store where there is one and makes none; it is never the reason that `tsloop status`
fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from tsloop.errors import TsloopError
from tsloop.project import Project

__all__ = ["Progress", "review_progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How many series of an iteration were looked at; a skipped one was."""

    iteration: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.iteration}: {self.done} of {self.total} reviewed"


def review_progress(project: Project, iteration: str) -> Progress | None:
    """The progress of an iteration; ``None`` where nobody has begun."""
    from sqlalchemy.exc import SQLAlchemyError

    from tsloop.review.database import Database, default_database
    from tsloop.review.listing import count_states
    from tsloop.review.material import Material

    path = default_database(project.local)
    try:
        url = Material(project).config.database
        if not url and not path.exists():
            return None
        database = Database(url, busy_timeout_s=2) if url else Database.at(path, busy_timeout_s=2)
        try:
            counts = count_states(database, iteration)
        finally:
            database.dispose()
    except (TsloopError, SQLAlchemyError):
        return None
    if not counts["total"]:
        return None
    return Progress(iteration, counts["done"] + counts["skipped"], counts["total"])
