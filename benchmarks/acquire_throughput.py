"""How fast acquire works, and how much memory it takes.

Run as: python benchmarks/acquire_throughput.py iotdb  [--rows 10000000] [--series 10] [--jobs 4]
        python benchmarks/acquire_throughput.py folder [--rows 100000000] [--series 100] [--jobs 4]

``iotdb`` reads random walks from a server of tsloop.testing in a process of its own; ``folder``
reads files of one format (``--format parquet|csv|csv.gz``) that are written first. Acquire runs in
a fresh process, so that its peak memory is its own; prints one JSON line with rows per second.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from own_process import in_own_process, size_mb

from tsloop.sources import acquire, build
from tsloop.sources.iotdb import PASSWORD

START_S = 1_700_000_000


def main(argv: list[str] | None = None) -> None:
    """Parse the arguments, run, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", choices=["iotdb", "folder"])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in all")
    parser.add_argument("--series", type=int, default=10, help="number of series they are in")
    parser.add_argument("--jobs", type=int, default=4, help="series read at once")
    parser.add_argument("--format", choices=["parquet", "csv", "csv.gz"], default="parquet")
    parser.add_argument("--work", type=Path, default=None, help="folder for the temporary files")
    args = parser.parse_args(argv)
    each = args.rows // args.series
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        root = Path(folder)
        if args.source == "iotdb":
            figures = from_server(root, args.series, each, args.jobs)
        else:
            # Elsewhere: what this process once took counts as the peak of its children as well.
            arguments = (root / "in", args.series, each, args.format)
            writer = multiprocessing.get_context("spawn").Process(
                target=write_files, args=arguments
            )
            writer.start()
            writer.join()
            settings = {"path": str(root / "in"), "jobs": args.jobs}
            figures = in_own_process(acquired, "folder", settings, root / "raw")
            figures["format"] = args.format
            figures["input_mb"] = size_mb(root / "in")
        figures["raw_mb"] = size_mb(root / "raw")
    print(json.dumps({"source": args.source, "series": args.series, "jobs": args.jobs, **figures}))


def from_server(root: Path, n_series: int, n_rows: int, jobs: int) -> dict[str, Any]:
    """Serve and acquire, each in a process of its own."""
    os.environ[PASSWORD] = "root"
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there, n_series, n_rows), daemon=True)
    server.start()
    port = here.recv()
    settings = {"port": port, "devices": ["root.plant.**"], "jobs": jobs}
    figures = in_own_process(acquired, "iotdb", settings, root / "raw")
    here.send("done")
    server.join(10)
    return figures


def serve(pipe: Connection, n_series: int, n_rows: int) -> None:
    """A server with random walks at one second, until told to end."""
    from tsloop.testing.iotdb_server import IotdbServer

    server = IotdbServer(block_rows=10_000)
    times = 1000 * (START_S + np.arange(n_rows))
    for number in range(n_series):
        server.add(f"root.plant.unit1.`TI_{number:05}.PV`", times, walk(number, n_rows))
    with server:
        pipe.send(server.port)
        pipe.recv()


def write_files(directory: Path, n_series: int, n_rows: int, fmt: str) -> None:
    """One file a series."""
    directory.mkdir()
    times = pa.array(START_S + np.arange(n_rows))
    for number in range(n_series):
        table = pa.table({"timestamp": times, "value": walk(number, n_rows)})
        path = directory / f"TI_{number:05}.PV.{fmt}"
        if fmt == "parquet":
            pq.write_table(table, path)
            continue
        with pa.output_stream(path, compression="gzip" if fmt == "csv.gz" else None) as stream:
            pa_csv.write_csv(table, stream)


def walk(number: int, n_rows: int) -> np.ndarray[Any, Any]:
    """A random walk with three decimals."""
    steps = np.random.default_rng(number).standard_normal(n_rows)
    return np.round(np.cumsum(steps), 3)


def acquired(kind: str, settings: dict[str, Any], out: Path) -> dict[str, int]:
    """Run acquire in this process."""
    return acquire(build(kind, settings), out)


if __name__ == "__main__":
    main()
