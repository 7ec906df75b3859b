"""The HTTP side of the review page: routes, sessions, and what keeps strangers out."""

from __future__ import annotations

__all__: list[str] = []
