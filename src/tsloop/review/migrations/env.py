"""Alembic's environment: it works on the connection that `Database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from tsloop.review.tables import metadata

__all__: list[str] = []

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller's transaction holds everything
)
context.run_migrations()
