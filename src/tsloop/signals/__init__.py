"""Signal features that detectors share: pure numpy and scipy, no state, no configuration."""

from __future__ import annotations

__all__: list[str] = []
