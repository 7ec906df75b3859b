"""The settings of the folder source (``conf/source/folder.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tsloop.errors import ConfigError
from tsloop.series.policies import EPOCH_UNITS, check_choice, check_zone
from tsloop.sources._csv import MOST_BYTES
from tsloop.sources._manifest import ROLES

__all__ = ["FolderConfig"]


@dataclass(frozen=True)
class FolderConfig:
    """Which files of a folder are series, and what they do not say about themselves."""

    # The folder.
    path: str = ""
    # Only these data sets of the manifest; empty: all.
    datasets: list[str] = field(default_factory=list)
    # Only these roles (pool, gold, spare); empty: all.
    roles: list[str] = field(default_factory=list)
    # The manifest key that holds the role.
    protocol: str = "role"
    # At most this many series of each role, in the order of their ids; 0: all.
    limit: int = 0
    # At most the first so many rows of each series, truth clipped to them; 0: all.
    max_rows: int = 0
    # Files to read where there is no manifest (glob pattern, relative to the folder).
    pattern: str = "**/*"
    # What ties series together where no manifest does: file (its columns) | folder.
    group_by: str = "file"
    # Column with the time; "" takes the one column called timestamp, time, date, …
    timestamp_column: str = ""
    # Column with the values; "" takes `value`, or every other column.
    value_column: str = ""
    # Column that says to which series a row belongs; "" takes `series` where there is a `value`.
    series_column: str = ""
    # Column with a label in each row, read as truth; "" takes `label` where there is a `series`.
    label_column: str = ""
    # Columns that hold no values, such as a quality flag.
    ignore_columns: list[str] = field(default_factory=list)
    # IANA zone of timestamps without one, such as Asia/Shanghai.
    zone: str = ""
    # Unit of numeric timestamps: s | ms | us | ns; "" leaves it to prepare.
    epoch_unit: str = ""
    # Encoding of CSV files that are neither UTF-8 nor marked, such as gb18030.
    encoding: str = ""
    # Sign between the columns; "" finds out of tab, semicolon and comma.
    delimiter: str = ""
    # Whether the first line of a CSV file names the columns.
    has_header: bool = True
    # Decimal sign and thousands separator in CSV files; "" leaves them to prepare.
    decimal: str = ""
    thousands: str = ""
    # Sheet of Excel workbooks; "" is the first.
    sheet: str = ""
    # Files read at once.
    jobs: int = 4
    # Larger CSV files (unpacked) are refused.
    max_bytes: int = 2_000_000_000
    # Whether links may lead out of the folder.
    follow_links: bool = False

    def __post_init__(self) -> None:
        check_zone("source.zone", self.zone)
        check_choice("source.group_by", self.group_by, ("file", "folder"))
        check_choice("source.epoch_unit", self.epoch_unit, ("", *EPOCH_UNITS))
        for role in self.roles:
            check_choice("source.roles", role, tuple(ROLES))
        if len(self.delimiter) > 1:
            raise ConfigError(f"source.delimiter={self.delimiter!r} is not a single sign.")
        if not 0 < self.max_bytes <= MOST_BYTES:
            raise ConfigError(
                f"source.max_bytes={self.max_bytes} is not in 1 … {MOST_BYTES}.",
                hint="Convert larger files to parquet.",
            )
        if self.jobs < 1:
            raise ConfigError(f"source.jobs={self.jobs} is not positive.")
        if self.limit < 0 or self.max_rows < 0:
            raise ConfigError("source.limit and source.max_rows must not be negative (0: all).")
