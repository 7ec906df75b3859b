"""Settings of the review page (``conf/review``)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tsloop.errors import ConfigError

__all__ = ["ReviewConfig"]

_DATABASE = r"((sqlite|postgresql)(\+\w+)?://|\$\{oc\.env:)"
_SHARES = ("batch_min_score", "audit_share", "double_share", "planted_share")
_POSITIVE = (
    "lock_s", "session_days", "max_px", "max_intervals", "max_body_bytes", "max_batch", "max_page",
    "max_comment", "max_similar_series", "busy_timeout_s", "keep_backups", "max_points",
)  # fmt: skip


@dataclass(frozen=True)
class ReviewConfig:
    """How people review, where their decisions are kept, and the limits of what a client may ask.

    Nothing secret lives here: a PostgreSQL password belongs into ``PGPASSWORD`` or ``~/.pgpass``.
    """

    database: str = ""
    """Where decisions are kept: empty is ``.tsloop/review.db`` (SQLite), or a PostgreSQL URL."""
    user: str = ""
    """Who reviews on this machine without logging in; empty: the name of the account."""
    accept_moves_on: bool = True
    """Whether accepting the last open proposal goes on to the next series."""
    enforce_locks: bool = False
    """Whether a series that somebody holds cannot be saved by others; revisions protect anyway."""
    lock_s: int = 120
    """Seconds after which a series that nobody renews is free again."""
    session_days: int = 30
    """Days after which one has to log in again."""
    batch_min_score: float = 0.8
    """Score from which proposals are accepted in a batch, as the page suggests."""
    audit_share: float = 0.1
    """Share of a batch that is shown again blind, to learn how good batches are."""
    double_share: float = 0.0
    """Share of a queue that a second person labels blind (``data/labels/<it>.second.jsonl``)."""
    planted_share: float = 0.0
    """Share of a queue that gets one wrong proposal, to measure how readily proposals are accepted.
    An accepted one never reaches the journal."""
    gold_items: int = 0
    """How many unlabelled gold series join a queue, shown without proposals."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names under which the page may be reached, beside this machine's own."""
    max_px: int = 4096
    """Pixels that one view may ask for; it gets about four points for each."""
    max_points: int = 60000
    """Points that one answer may hold in all."""
    max_intervals: int = 5000
    """Intervals on one series."""
    max_comment: int = 4000
    """Characters of a comment."""
    max_body_bytes: int = 4194304
    """Bytes of one request."""
    max_batch: int = 2000
    """Operations of one batch."""
    max_page: int = 500
    """Rows of one page of a list."""
    max_similar_series: int = 400
    """Series that a search for look-alikes reads."""
    busy_timeout_s: int = 20
    """Seconds that a save waits for the ones before it."""
    keep_backups: int = 10
    """Backups that stay in ``.tsloop/backups``."""

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(
                    f"review.{name} is {getattr(self, name)}.", hint="It must be in [0, 1]."
                )
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"review.{name} is {getattr(self, name)}.", hint="It must be at least 1."
                )
        if self.gold_items < 0:
            raise ConfigError(f"review.gold_items is {self.gold_items}.", hint="It must be >= 0.")
        if self.database and not re.match(_DATABASE, self.database):
            raise ConfigError(
                f"review.database is {self.database.split('@')[-1]!r}, which is no known URL.",
                hint="Leave it empty, or use postgresql://USER@HOST/NAME.",
            )
        if re.match(r"[^/]+://[^/@]*:[^/@]*@", self.database):
            raise ConfigError(
                "review.database holds a password, and params.yaml is kept in git.",
                hint="Put it into PGPASSWORD or ~/.pgpass, and leave it out of the URL.",
            )
