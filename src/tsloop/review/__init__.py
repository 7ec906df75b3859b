"""The review page's backend: what people decide on pre-annotations, kept and handed to the loop."""

from __future__ import annotations

__all__: list[str] = []
