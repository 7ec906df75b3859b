"""How far the review of an iteration is, for whoever only wants to know that.

Reads the store where there is one and makes none; it is never the reason that `tsloop status`
fails.
"""

from __future__ import annotations

from tsloop.errors import TsloopError
from tsloop.project import Project

__all__ = ["review_summary"]


def review_summary(project: Project, iteration: str) -> str:
    """``it002: 37 of 40 reviewed``; empty where nobody has begun."""
    from sqlalchemy.exc import SQLAlchemyError

    from tsloop.review.database import Database, default_database
    from tsloop.review.items import count_states, to_review
    from tsloop.review.material import Material

    path = default_database(project.local)
    try:
        url = Material(project).config.database
        if not url and not path.exists():
            return ""
        database = Database(url, busy_timeout_s=2) if url else Database.at(path, busy_timeout_s=2)
        try:
            counts = count_states(database, iteration)
        finally:
            database.dispose()
    except (TsloopError, SQLAlchemyError):
        return ""
    return to_review(iteration, counts) if counts["total"] else ""
