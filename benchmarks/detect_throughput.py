"""How many series `tsloop detect` does in a second, by one process and by several.

Run as: python benchmarks/detect_throughput.py [--series N] [--rows N] [--jobs N] [--model DIR]

Writes daily waves with noise and a spike in every third, runs the command without pictures, and
prints one JSON line: seconds of the whole command and of scoring, series per second, peak memory of
the largest process. Without ``--model`` the embedded base is used; ``--detector NAME`` takes one of
the detectors that need no labels (knn, residual, forest).
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

CLASSES = {
    "knn": "tsloop.detectors.knn.KnnDetector",
    "forest": "tsloop.detectors.forest.ForestDetector",
    "residual": "tsloop.detectors.residual.ResidualDetector",
}


def main(argv: list[str] | None = None) -> None:
    """Parse the arguments, run, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=2880, help="rows of each")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model", default="", help="model directory; default: the embedded base")
    parser.add_argument("--detector", choices=sorted(CLASSES), default=None)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_series(root / "in", args.series, args.rows)
        model = args.model or (save(args.detector, root / "model") if args.detector else "")
        command = [sys.executable, "-m", "tsloop.cli", "detect", "in", "--no-pictures"]
        command += ["--jobs", str(args.jobs), *(["--model", str(model)] if model else [])]
        began = time.perf_counter()
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
    scoring = re.search(r"\(([\d.]+) s", done.stdout)
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "detector": args.detector or args.model or "embedded base",
                "series": args.series,
                "rows": args.rows,
                "jobs": args.jobs,
                "seconds": round(seconds, 1),
                "scoring_seconds": float(scoring[1]) if scoring else None,
                "series_per_second": round(args.series / seconds, 1),
                "peak_memory_mb": round(peak_mb),
            }
        )
    )


def write_series(directory: Path, n_series: int, n_rows: int) -> None:
    """One CSV file a series, a sample every 30 s."""
    directory.mkdir()
    times = pa.array(1_700_000_000 + 30 * np.arange(n_rows))
    for number in range(n_series):
        noise = np.random.default_rng(number).normal(0, 0.05, n_rows)
        values = np.sin(2 * np.pi * np.arange(n_rows) / 960) + noise
        if number % 3 == 0:
            values[n_rows // 2 : n_rows // 2 + 4] += 5
        table = pa.table({"timestamp": times, "value": np.round(values, 4)})
        pa_csv.write_csv(table, directory / f"s{number:05}.csv")


def save(name: str, directory: Path) -> Path:
    """A detector that no label has taught, as a model directory."""
    from tsloop.detectors import build
    from tsloop.detectors.files import save_detector

    save_detector(build({"_target_": CLASSES[name]}), directory)
    return directory


if __name__ == "__main__":
    main()
