"""The tables of the review store. ``migrations/`` makes them; a test compares the two.

Times are milliseconds since the epoch, UTC. ``items`` holds what a queue asked for and, beside it,
a copy of what its latest revision says, so that lists need no join. ``revisions`` only grows.
"""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["audit", "batches", "items", "meta", "metadata", "replies", "revisions", "users"]

metadata = sa.MetaData()

items = sa.Table(
    "items",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("iteration", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),  # queue, second, gold, control, correction
    sa.Column("series_id", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),  # tells controls of one series apart
    sa.Column("series_key", sa.String(16), nullable=False),
    sa.Column("series_sha256", sa.String(64), nullable=False),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("series_group", sa.Text, nullable=False),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("zone", sa.Text, nullable=False),
    # What was asked. It may be refreshed until somebody has looked.
    sa.Column("rank", sa.Float, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),  # false: a refreshed queue no longer asks
    sa.Column("model", sa.Text),
    sa.Column("proposals", sa.JSON, nullable=False),
    sa.Column("planted", sa.JSON),  # the id of the wrong proposal among them
    sa.Column("question", sa.JSON),  # the row of the queue file
    # What was said.
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("result", sa.String(8)),
    sa.Column("n_intervals", sa.Integer, nullable=False),
    sa.Column("unsure", sa.Boolean, nullable=False),
    sa.Column("author", sa.Text),
    sa.Column("updated_ms", sa.BigInteger),
    # Who works on it.
    sa.Column("assignee", sa.Text),
    sa.Column("lock_user", sa.Text),
    sa.Column("lock_until_ms", sa.BigInteger),
    # A second look, at one revision.
    sa.Column("approval", sa.JSON),
    sa.UniqueConstraint("iteration", "kind", "series_id", "number", name="one_item"),
)
sa.Index("items_in_order", items.c.iteration, items.c.rank)
sa.Index("items_of_series", items.c.iteration, items.c.series_id)
sa.Index("items_of_key", items.c.series_key)

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id"), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("basis_revision", sa.Integer, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("n_keys", sa.Integer, nullable=False),
    sa.Column("n_clicks", sa.Integer, nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("model_sha256", sa.String(64)),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("batch_id", sa.Integer, sa.ForeignKey("batches.id")),
    sa.UniqueConstraint("item_id", "revision", name="one_revision"),
)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("undoes", sa.Integer, sa.ForeignKey("batches.id")),
)

replies = sa.Table(
    "replies",
    metadata,
    sa.Column("user", sa.Text, primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("request_sha256", sa.String(64), nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("reply", sa.JSON, nullable=False),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("token_sha256", sa.String(64)),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("item_id", sa.Integer),
    sa.Column("detail", sa.JSON, nullable=False),
)
sa.Index("audit_of_item", audit.c.item_id)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.String(100), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)
