"""How fast prepare works, and how much memory it takes.

Run as: python benchmarks/prepare_throughput.py [--rows 10000000] [--series 100] [--text]

Writes a raw store of random walks with gaps, prepares it in a process of its own (one core) and
prints one JSON line: rows per second, seconds, peak memory, sizes on disk. ``--text`` stores the
columns as text, the way CSV files come; the timestamps are then ISO 8601.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from own_process import in_own_process, size_mb

from tsloop.series.prepare import PrepareConfig, prepare_store
from tsloop.series.raw import RawSeries, RawWriter

START_S = 1_700_000_000


def main(argv: list[str] | None = None) -> None:
    """Parse the arguments, run, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows in all")
    parser.add_argument("--series", type=int, default=100, help="number of series they are in")
    parser.add_argument("--text", action="store_true", help="columns as text, as in CSV files")
    parser.add_argument("--no-thumbnails", action="store_true", help="leave out the pictures")
    args = parser.parse_args(argv)
    config = PrepareConfig(thumbnail_width=0 if args.no_thumbnails else 240)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        began = time.perf_counter()
        write_raw(root / "raw", args.series, args.rows // args.series, args.text)
        figures: dict[str, object] = {
            "series": args.series,
            "text": args.text,
            "raw_seconds": round(time.perf_counter() - began, 2),
            **in_own_process(prepared, root, config),
            "raw_mb": size_mb(root / "raw"),
            "series_mb": size_mb(root / "series"),
        }
    print(json.dumps(figures))


def write_raw(directory: Path, n_series: int, n_rows: int, text: bool) -> None:
    """Random walks at one second with 0.1 % missing samples."""
    with RawWriter(directory) as writer:
        for number in range(n_series):
            rng = np.random.default_rng(number)
            values = np.round(np.cumsum(rng.standard_normal(n_rows)), 3)
            values[rng.random(n_rows) < 0.001] = np.nan
            stamps = pa.array(START_S + np.arange(n_rows))
            column = pa.array(values, from_pandas=True)
            if text:
                stamps = stamps.cast(pa.timestamp("s", "UTC")).cast(pa.string())
                column = column.cast(pa.string())
            writer.add(RawSeries(f"unit/TI_{number:05}.PV", stamps, column))


def prepared(root: Path, config: PrepareConfig) -> dict[str, int]:
    """Run prepare in this process."""
    return prepare_store(root / "raw", root / "series", root / "truth", config)


if __name__ == "__main__":
    main()
