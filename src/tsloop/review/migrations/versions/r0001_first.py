"""The store as it first was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__: list[str] = []

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    _items()
    _history()
    _people()


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("iteration", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("series_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("series_key", sa.String(16), nullable=False),
        sa.Column("series_sha256", sa.String(64), nullable=False),
        sa.Column("n_rows", sa.Integer, nullable=False),
        sa.Column("series_group", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("rank", sa.Float, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("probability", sa.Float, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("proposals", sa.JSON, nullable=False),
        sa.Column("planted", sa.JSON),
        sa.Column("question", sa.JSON),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("result", sa.String(8)),
        sa.Column("n_intervals", sa.Integer, nullable=False),
        sa.Column("unsure", sa.Boolean, nullable=False),
        sa.Column("author", sa.Text),
        sa.Column("updated_ms", sa.BigInteger),
        sa.Column("assignee", sa.Text),
        sa.Column("lock_user", sa.Text),
        sa.Column("lock_until_ms", sa.BigInteger),
        sa.Column("approval", sa.JSON),
        sa.UniqueConstraint("iteration", "kind", "series_id", "number", name="one_item"),
    )
    op.create_index("items_in_order", "items", ["iteration", "rank"])
    op.create_index("items_of_series", "items", ["iteration", "series_id"])
    op.create_index("items_of_key", "items", ["series_key"])


def _history() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("undoes", sa.Integer, sa.ForeignKey("batches.id")),
    )
    op.create_table(
        "revisions",
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
    op.create_table(
        "replies",
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("reply", sa.JSON, nullable=False),
    )


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("token_sha256", sa.String(64)),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("item_id", sa.Integer),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    op.create_index("audit_of_item", "audit", ["item_id"])
    op.create_table(
        "meta",
        sa.Column("key", sa.String(100), primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    """Decisions are never thrown away: there is no way back behind the first revision."""
    raise NotImplementedError("Restore a backup instead: tsloop review backup makes them.")
