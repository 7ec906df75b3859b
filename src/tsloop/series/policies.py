"""What `prepare` may repair: every setting is a declaration, and the default is to refuse."""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass, field

from tsloop.errors import ConfigError

__all__ = ["EPOCH_UNITS", "PrepareConfig", "check_choice", "check_zone", "near_zone"]

EPOCH_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Nanoseconds in one unit of an epoch number."""


def check_choice(key: str, value: str, choices: Sequence[str]) -> None:
    """Raise `ConfigError` unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ConfigError(f"{key}={value!r} is not known.", hint=f"Choose one of {list(choices)}.")


_CITIES = {
    **dict.fromkeys(("beijing", "peking", "shenzhen", "guangzhou", "tianjin"), "Asia/Shanghai"),
    **dict.fromkeys(("china", "cn", "cst", "prc"), "Asia/Shanghai"),
    **dict.fromkeys(("mumbai", "delhi", "bangalore", "india"), "Asia/Kolkata"),
    **dict.fromkeys(("munich", "hamburg", "frankfurt", "germany", "mez", "cet"), "Europe/Berlin"),
    **dict.fromkeys(("osaka", "japan", "jst"), "Asia/Tokyo"),
    **dict.fromkeys(("san_francisco", "seattle", "pst"), "America/Los_Angeles"),
    **dict.fromkeys(("boston", "washington", "est", "edt"), "America/New_York"),
}
"""Places and abbreviations that people write and the IANA database names otherwise."""


def check_zone(key: str, zone: str) -> None:
    """Raise `ConfigError`, with the zone that was probably meant, unless IANA knows ``zone``.

    The empty zone says that none was declared.
    """
    if not zone or "${" in zone:
        return
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = near_zone(zone)
        raise ConfigError(
            f"{key}={zone!r} is not a time zone of the IANA database.",
            hint=f"Did you mean {near}?" if near else "Write it like Asia/Shanghai or UTC.",
        ) from None


def near_zone(zone: str) -> str:
    """The zone that was probably meant; empty where nothing comes near."""
    city = zone.strip().rpartition("/")[2].lower().replace(" ", "_")
    if city in _CITIES:
        return _CITIES[city]
    known = {name.lower(): name for name in sorted(zoneinfo.available_timezones())}
    by_city = {name.rpartition("/")[2]: full for name, full in known.items()}
    for names, wanted in ((known, zone.lower().replace(" ", "_")), (by_city, city)):
        if close := difflib.get_close_matches(wanted, names, n=1, cutoff=0.75):
            return names[close[0]]
    return ""


@dataclass(frozen=True)
class PrepareConfig:
    """Repairs and views of the prepare stage.

    A repair that is not declared here is an error that names series, row and column. A declared
    one is applied, counted and written to ``repairs.jsonl``.
    """

    # Rows with a timestamp that was there before: error | first | last | mean (NaN-aware).
    duplicates: str = "error"
    # Rows that are not in the order of time: error | sort (stable).
    unsorted: str = "error"
    # Empty cells, NaN and the missing tokens: gap | error.
    missing: str = "gap"
    # Infinities and numbers beyond float64 such as 1e400: error | gap.
    infinite: str = "error"
    # Text where a number should be, such as "Bad": error | gap.
    text: str = "error"
    # Texts that mean "no sample", compared without regard to case; the empty cell always does.
    missing_tokens: list[str] = field(default_factory=lambda: ["nan", "null", "none", "na", "n/a"])
    # Series that never change (or have no value at all): keep (flagged in the manifest) | error.
    constant: str = "keep"
    # Series with fewer rows are refused.
    min_rows: int = 16
    # What a refused series does: error (stops, listing the first offenders) | exclude (recorded).
    invalid: str = "error"
    # Decimal sign of numbers in text: "" (a comma is refused as ambiguous) | "." | ",".
    decimal: str = ""
    # Thousands separator of numbers in text: "" (none) | "," | "." | " " | "'".
    thousands: str = ""
    # IANA zone of timestamps without one; "" means that such timestamps are refused.
    zone: str = ""
    # Unit of numeric timestamps: "" (inferred where only one unit gives plausible years) | s | ms …
    epoch_unit: str = ""
    # strptime format of textual timestamps; "" means ISO 8601.
    timestamp_format: str = ""
    # Texts with different UTC offsets in one series: error | utc (they are instants all the same).
    mixed_offsets: str = "error"
    # Local times that a clock change repeats: error | first | second | order (by going backwards).
    dst_repeated: str = "error"
    # Local times that a clock change skips: error | shift (read with the offset before the change).
    dst_missing: str = "error"
    # Seconds between samples where the timestamps are mere sample numbers 0, 1, 2 …; a step stated
    # by the source for the series goes first. null: such timestamps are refused.
    sample_step_s: float | None = None
    # Years outside are taken for a wrong unit or a broken clock (first included, last excluded).
    min_year: int = 1990
    max_year: int = 2100
    # Groups whose pool series become gold, beside what the source says.
    gold_groups: list[str] = field(default_factory=list)
    # Share of groups, drawn by the hash of their name, whose pool series become gold.
    gold_share: float = 0.0
    # Points of the reduced view (a multiple of 4); shorter series are shown whole.
    view_points: int = 4000
    # Small pictures for lists: width and height in pixels; width 0 draws none.
    thumbnail_width: int = 240
    thumbnail_height: int = 60

    def __post_init__(self) -> None:
        for key, choices in _CHOICES.items():
            check_choice(f"prepare.{key}", getattr(self, key), choices)
        check_zone("prepare.zone", self.zone)
        if self.decimal and self.decimal == self.thousands:
            raise ConfigError(
                f"prepare.decimal and prepare.thousands are both {self.decimal!r}.",
                hint="Set one of them to another sign.",
            )
        if self.view_points < 4 or self.view_points % 4:
            raise ConfigError(
                f"prepare.view_points={self.view_points} is not a positive multiple of 4.",
                hint="M4 takes four points from each bucket; set 4000, for example.",
            )
        if self.sample_step_s is not None and not self.sample_step_s > 0:
            raise ConfigError(
                f"prepare.sample_step_s={self.sample_step_s} is not positive.",
                hint="Give the seconds between two samples, or null.",
            )
        if self.min_rows < 1 or not 1678 <= self.min_year < self.max_year <= 2262:
            raise ConfigError(
                f"prepare.min_rows={self.min_rows}, min_year={self.min_year} and "
                f"max_year={self.max_year} do not fit.",
                hint="min_rows >= 1 and 1678 <= min_year < max_year <= 2262 must hold.",
            )
        if not 0 <= self.gold_share < 1:
            raise ConfigError(
                f"prepare.gold_share={self.gold_share} is not in [0, 1).",
                hint="Leave some groups for training.",
            )


_CHOICES: dict[str, tuple[str, ...]] = {
    "duplicates": ("error", "first", "last", "mean"),
    "unsorted": ("error", "sort"),
    "missing": ("gap", "error"),
    "infinite": ("error", "gap"),
    "text": ("error", "gap"),
    "constant": ("keep", "error"),
    "invalid": ("error", "exclude"),
    "decimal": ("", ".", ","),
    "thousands": ("", ",", ".", " ", "'"),
    "epoch_unit": ("", *EPOCH_UNITS),
    "mixed_offsets": ("error", "utc"),
    "dst_repeated": ("error", "first", "second", "order"),
    "dst_missing": ("error", "shift"),
}
