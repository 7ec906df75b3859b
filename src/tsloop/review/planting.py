"""Wrong proposals on purpose: how readily are proposals accepted without a look?

A planted proposal lies where no model sees anything. An unchanged, accepted one never reaches a
journal (`tsloop.review.finish`); one that somebody moved or relabelled is a person's own finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.intervals import Interval

__all__ = ["plant"]

_TRIES = 40
_QUIET_QUANTILE = 0.5


def plant(
    scores: npt.NDArray[np.floating[Any]] | None,
    n_rows: int,
    proposals: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    rng: np.random.Generator,
) -> Interval | None:
    """An interval in a quiet stretch, as long and as labelled as the others; ``None`` without one.

    Without scores nobody knows what is quiet, and without a true proposal beside it a planted one
    would be told by standing alone: neither is planted.
    """
    if scores is None or not proposals or len(scores) != n_rows:
        return None
    like = proposals[int(rng.integers(len(proposals)))]
    width = like["end"] - like["start"] + 1
    label = like["label"] if like["label"] in labels else labels[0]
    busy = np.zeros(n_rows, dtype=bool)
    for p in proposals:
        busy[max(0, p["start"] - width) : p["end"] + width + 1] = True
    quiet = float(np.nanquantile(scores, _QUIET_QUANTILE))
    for _ in range(_TRIES):
        if width >= n_rows:
            return None
        start = int(rng.integers(0, n_rows - width))
        end = start + width - 1
        part = scores[start : end + 1]
        if not busy[start : end + 1].any() and float(np.nanmedian(part)) <= quiet:
            return Interval(start, end, str(label), like["score"], str(like["reason"]))
    return None
