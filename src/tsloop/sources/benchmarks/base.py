"""What the readers of benchmarks share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tsloop.errors import ConfigError, SourceError
from tsloop.series.policies import check_choice, check_zone
from tsloop.series.raw import RawSeries
from tsloop.sources._csv import CsvFormat, read_csv, read_header
from tsloop.sources.base import Source

__all__ = ["CSV", "Benchmark", "BenchmarkConfig", "csv_columns", "csv_table", "numbered_times"]

CSV = (".csv", ".csv.gz")
_BEGIN = np.datetime64("2000-01-01", "ns").astype(np.int64)


@dataclass(frozen=True)
class BenchmarkConfig:
    """Where a benchmark lies, and what it does not say about itself."""

    # The folder (or the one file) as it was downloaded.
    path: str
    # IANA zone of stamps that name none.
    zone: str = "UTC"
    # Seconds between samples where a benchmark has numbers of samples and no times.
    step_s: float = 1.0
    # Of NAB: windows (wide, what its scorer uses) | points (the labels inside them).
    truth: str = "windows"
    # At most this many series, in the order of their ids; 0: all.
    limit: int = 0

    def __post_init__(self) -> None:
        check_zone("--zone", self.zone)
        check_choice("--truth", self.truth, ("windows", "points"))
        if not 0 < self.step_s < 1e9 or self.limit < 0:
            raise ConfigError(f"step_s={self.step_s} and limit={self.limit} must be positive.")


class Benchmark(Source):
    """A source of labelled series; ``skipped`` says which files are none, and why."""

    config_class: ClassVar[type[Any]] = BenchmarkConfig

    def __init__(self, config: BenchmarkConfig) -> None:
        self.config = config
        self.root = Path(config.path)
        self.skipped: dict[str, str] = {}
        if not self.root.exists():
            raise SourceError(f"{self.root} does not exist.", hint="Give the downloaded folder.")

    @abstractmethod
    def find(self) -> dict[str, Callable[[], RawSeries]]:
        """Id → what reads that series."""

    @cached_property
    def _found(self) -> dict[str, Callable[[], RawSeries]]:
        found = self.find()
        if not found:
            raise SourceError(
                f"{self.root} holds no series of {self.kind}.",
                hint="Give the folder as it was downloaded and unpacked (docs/sources.md).",
            )
        return {name: found[name] for name in sorted(found)[: self.config.limit or None]}

    def list(self) -> list[str]:
        return [*self._found]

    def read(self, name: str) -> RawSeries:
        if name not in self._found:
            raise SourceError(f"{self.kind} has no series {name!r}.")
        return self._found[name]()

    def files(self, *suffixes: str) -> tuple[Path, ...]:
        """Files below the folder with one of these endings, sorted; or the one file itself."""
        every = [self.root] if self.root.is_file() else sorted(self.root.rglob("*"))
        return tuple(
            path
            for path in every
            if path.name.lower().endswith(suffixes)
            and not any(part.startswith((".", "__MACOSX")) for part in self._parts(path))
            and path.is_file()
        )

    def label(self, path: Path) -> str:
        """A file's name within the benchmark, without its endings."""
        name = "/".join(self._parts(path)) or path.name
        for suffix in (".gz", ".csv", ".txt"):
            name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
        return name

    def _parts(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self.root).parts


def numbered_times(n_rows: int, step_s: float) -> Any:
    """A declared time base for rows that only have numbers: from the year 2000 on, UTC."""
    steps = np.arange(n_rows, dtype=np.int64) * round(step_s * 1e9)
    return pa.array(_BEGIN + steps, pa.timestamp("ns", "UTC"))


def csv_columns(path: Path) -> dict[str, str]:
    """Lower-case name → name of the columns of a CSV file."""
    return {name.strip().lower(): name for name in read_header(path, CsvFormat())}


def csv_table(path: Path) -> Any:
    """A CSV file as text columns, their names in lower case."""
    table = read_csv(path, CsvFormat())
    return table.rename_columns([name.strip().lower() for name in table.column_names])
