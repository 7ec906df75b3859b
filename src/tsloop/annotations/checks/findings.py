"""One finding of a check: where it is, and what is odd about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.annotations.checks.config import CHECKS, ChecksConfig, action_of

__all__ = ["Finding", "counted_by_check", "ordered", "stopping"]

_ORDER = {name: place for place, name in enumerate(CHECKS)}


@dataclass(frozen=True, slots=True)
class Finding:
    """``start`` and ``end`` are rows of the stored series (inclusive); ``None``: all of it.

    ``series_id`` is empty where a finding is about all labels together.
    """

    check: str
    series_id: str
    what: str
    start: int | None = None
    end: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; every key is there, so that findings make a table."""
        return {
            "check": self.check,
            "series_id": self.series_id,
            "start": self.start,
            "end": self.end,
            "what": self.what,
        }

    def __str__(self) -> str:
        rows = "" if self.start is None else f" [{self.start}, {self.end}]"
        place = f"{self.series_id}{rows}: " if self.series_id else ""
        return f"{place}{self.what}"


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """By check in the order of `CHECKS`, then by series and rows."""
    return sorted(
        findings,
        key=lambda f: (_ORDER[f.check], f.series_id, -1 if f.start is None else f.start, f.what),
    )


def counted_by_check(findings: Sequence[Finding], config: ChecksConfig) -> dict[str, Any]:
    """For each check its action and the number of its findings; those that are off have none."""
    counts = Counter(finding.check for finding in findings)
    return {
        name: {"action": action_of(config, name), "findings": counts[name]}
        for name in CHECKS
        if action_of(config, name) != "off"
    }


def stopping(findings: Iterable[Finding], config: ChecksConfig) -> list[Finding]:
    """Those whose check is set to ``stop``."""
    return [finding for finding in findings if action_of(config, finding.check) == "stop"]
