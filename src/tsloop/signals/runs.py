"""Runs of rows: where a mask holds, and where a value repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["constant_runs", "is_stepped", "mask_runs"]

Values = npt.NDArray[np.floating[Any]]
Rows = npt.NDArray[np.int64]

STEP_ROWS = 5
STEP_SHARE = 0.8


def mask_runs(mask: npt.NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """First and last rows (inclusive) of the runs of true rows."""
    padded = np.concatenate(([False], mask, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[::2], edges[1::2] - 1


def constant_runs(values: Values) -> tuple[Rows, Rows]:
    """First and last rows of all maximal runs of one value; single rows are runs too."""
    changes = np.flatnonzero(np.diff(values) != 0)
    starts = np.concatenate(([0], changes + 1))
    return starts, np.concatenate((changes, [len(values) - 1]))


def is_stepped(values: Values) -> bool:
    """Whether a series mostly holds values, as valves and set points do.

    More than four fifths of its rows lie in runs of one value longer than five rows.
    """
    starts, ends = constant_runs(values)
    lengths = ends - starts + 1
    return bool(lengths[lengths > STEP_ROWS].sum() > STEP_SHARE * len(values))
