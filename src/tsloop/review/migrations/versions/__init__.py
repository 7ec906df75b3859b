"""Alembic revisions of the review store."""

from __future__ import annotations

__all__: list[str] = []
