"""The settings of the IoTDB source (``conf/source/iotdb.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tsloop.errors import ConfigError
from tsloop.series.policies import check_choice, check_zone
from tsloop.sources._iotdb_paths import parse_path
from tsloop.sources._iotdb_times import parse_instant

__all__ = ["PASSWORD", "IotdbConfig"]

PASSWORD = "TSLOOP_IOTDB_PASSWORD"
"""Environment variable with the password: it has no key, so no file can hold it."""


@dataclass(frozen=True)
class IotdbConfig:
    """Which server, which points, which time; the password is in ``TSLOOP_IOTDB_PASSWORD``."""

    # The server.
    host: str = "127.0.0.1"
    port: int = 6667
    # The account; its password is read from the environment variable TSLOOP_IOTDB_PASSWORD.
    user: str = "root"
    # Encrypted connection, and the file with the certificates to trust ("": those of the system).
    ssl: bool = False
    ca_certs: str = ""
    # Device paths; * stands for one node, ** for any number: root.plant.unit1, root.plant.**
    devices: list[str] = field(default_factory=list)
    # Measurements of these devices, * allowed (FI_*); empty: all that hold numbers.
    columns: list[str] = field(default_factory=list)
    # A point list instead: JSON {device: {columns, st, et}}, or text with one measurement a line.
    points_file: str = ""
    # First and last instant, both included; empty: what the point list says, else all.
    start: str = ""
    end: str = ""
    # IANA zone of start, end and the point list where they have no offset; also for readers.
    zone: str = ""
    # What ties series together: point (nothing) | device.
    group_by: str = "point"
    # A point without a row in that time: error | skip.
    empty: str = "error"
    # At most this many points, in the order of their ids; 0: all.
    limit: int = 0
    # At most the first so many rows of each point; 0: all.
    max_rows: int = 0
    # Points read at once, each over a connection of its own.
    jobs: int = 4
    # Rows in one answer of the server, and in one query; a broken query goes on where it broke.
    fetch_rows: int = 100_000
    page_rows: int = 1_000_000
    # Seconds that one answer may take.
    timeout_s: float = 60.0
    # How often a broken connection is made again before reading fails, and the first wait.
    retries: int = 5
    retry_wait_s: float = 1.0

    def __post_init__(self) -> None:
        check_zone("source.zone", self.zone)
        check_choice("source.group_by", self.group_by, ("point", "device"))
        check_choice("source.empty", self.empty, ("error", "skip"))
        if not self.host or not self.user:
            raise ConfigError("source.host and source.user must not be empty.")
        if not 0 < self.port < 65536:
            raise ConfigError(f"source.port={self.port} is not in 1 … 65535.")
        for key in ("jobs", "fetch_rows", "page_rows", "timeout_s"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"source.{key}={getattr(self, key)} is not positive.")
        for key in ("limit", "max_rows", "retries", "retry_wait_s"):
            if getattr(self, key) < 0:
                raise ConfigError(f"source.{key}={getattr(self, key)} is negative.")
        for device in self.devices:
            if "${" not in device:
                parse_path(device, "source.devices:")
        if any("${" in text for text in (self.start, self.end, self.zone)):
            return
        first, last = self.bounds()
        if first is not None and last is not None and first > last:
            raise ConfigError(
                f"source.start={self.start!r} is after source.end={self.end!r}.",
                hint="Exchange them.",
            )

    def bounds(self) -> tuple[int | None, int | None]:
        """First and last instant in nanoseconds since the epoch; ``None``: open."""
        return (
            parse_instant(self.start, self.zone, "source.start"),
            parse_instant(self.end, self.zone, "source.end"),
        )
