"""What the tests of `tsloop detect` and of the champion share: a series, the command, its table."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from tsloop.cli import main


def write_series(path: Path, spike: int | None, n_rows: int = 400) -> None:
    """A daily wave with a little noise and, at ``spike``, a few rows far off."""
    noise = np.random.default_rng(0).normal(0, 0.05, n_rows)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["timestamp", "value"])
        for row in range(n_rows):
            value = math.sin(2 * math.pi * row / 96) + noise[row]
            if spike is not None and 0 <= row - spike < 4:
                value += 6.0
            minutes = 15 * row
            stamp = (
                f"2024-03-{1 + minutes // 1440:02d}T{minutes // 60 % 24:02d}:{minutes % 60:02d}:00Z"
            )
            writer.writerow([stamp, f"{value:.4f}"])


def call(place: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["tsloop", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def detect(place: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return call(place, monkeypatch, "detect", *arguments)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
