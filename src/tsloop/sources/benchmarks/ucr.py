"""The UCR anomaly archive: one anomaly a series, told by the file name.

The name counts rows from one: ``…_35000_52000_52620.txt`` has an anomaly in rows 51999 to 52619 as
we count, and says that the first 35000 rows are normal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from tsloop.errors import SourceError
from tsloop.intervals import Basis, Interval
from tsloop.series.raw import RawSeries
from tsloop.sources.benchmarks.base import Benchmark, numbered_times

__all__ = ["Ucr"]

_NAME = re.compile(r"(\d+)_UCR_Anomaly_(.+)_(\d+)_(\d+)_(\d+)\.txt", re.IGNORECASE)


class Ucr(Benchmark):
    """A folder with the archive's text files, at any depth."""

    kind: ClassVar[str] = "ucr"

    def find(self) -> dict[str, Callable[[], RawSeries]]:
        found: dict[str, Callable[[], RawSeries]] = {}
        for path in self.files(".txt"):
            if match := _NAME.fullmatch(path.name):
                found[f"ucr/{match[1]}_{match[2]}"] = partial(self._read, path, match)
            else:
                self.skipped[path.name] = "its name is not that of a series of the archive"
        return found

    def _read(self, path: Path, match: re.Match[str]) -> RawSeries:
        train, begin, end = (int(match[group]) for group in (3, 4, 5))
        try:
            values = np.array(path.read_text("ascii").split(), np.float64)
        except (OSError, ValueError) as error:
            raise SourceError(f"{path.name} is not a list of numbers: {error}.") from error
        if not 1 <= begin <= end <= len(values):
            raise SourceError(
                f"{path.name} has {len(values)} rows, but its name speaks of {begin} to {end}."
            )
        return RawSeries(
            f"ucr/{match[1]}_{match[2]}",
            numbered_times(len(values), self.config.step_s),
            values,
            group=f"ucr/{_base(match[2])}",
            intervals=(Interval(begin - 1, end - 1, basis=Basis.IMPORTED),),
            meta={"file": path.name, "train_rows": train, "times": "numbered"},
        )


def _base(name: str) -> str:
    """The signal that several series were made of: they must not be split."""
    return re.sub(r"\d+$", "", re.sub(r"^(DISTORTED|NOISE)", "", name)) or name
