"""Readers of public benchmarks, as they are downloaded: their series, with their labels as truth.

- ``nab``: the Numenta benchmark (``data/``, ``labels/combined_windows.json``).
- ``ucr``: the UCR anomaly archive (``NNN_UCR_Anomaly_<name>_<train>_<begin>_<end>.txt``).
- ``tsb_ad``: TSB-AD-U and TSB-AD-M (``…_tr_<train>_1st_<row>.csv`` with a column ``Label``).
- ``kpi``: the AIOps challenge (CSV with ``timestamp,value,label,KPI ID``).
- ``yahoo``: Yahoo S5, and any folder of CSV files with a time, a value and a 0/1 column.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tsloop.errors import ConfigError

if TYPE_CHECKING:
    from tsloop.sources.benchmarks.base import Benchmark, BenchmarkConfig

__all__ = ["BENCHMARKS", "open_benchmark"]

BENCHMARKS: dict[str, tuple[str, str]] = {
    "nab": ("tsloop.sources.benchmarks.nab", "Nab"),
    "ucr": ("tsloop.sources.benchmarks.ucr", "Ucr"),
    "tsb_ad": ("tsloop.sources.benchmarks.tsb_ad", "TsbAd"),
    "kpi": ("tsloop.sources.benchmarks.kpi", "Kpi"),
    "yahoo": ("tsloop.sources.benchmarks.yahoo", "Yahoo"),
}
"""Module and class of each benchmark."""


def open_benchmark(kind: str, config: BenchmarkConfig) -> Benchmark:
    """The reader of one of `BENCHMARKS`."""
    kind = kind.replace("-", "_").lower()
    if kind not in BENCHMARKS:
        raise ConfigError(
            f"The benchmark {kind!r} is not known.", hint=f"Choose one of {list(BENCHMARKS)}."
        )
    module, name = BENCHMARKS[kind]
    opened: Benchmark = getattr(importlib.import_module(module), name)(config)
    return opened
