"""Scales that a few wild values cannot move, and the score scale that is built on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MAD_TO_SIGMA", "SIGMAS_AT_HALF", "robust_scale", "robust_z", "squash"]

MAD_TO_SIGMA = 1.4826
"""The median absolute deviation times this is the standard deviation of a normal distribution."""

SIGMAS_AT_HALF = 6.0
"""So many robust sigmas give a score of one half, the label-free threshold."""

_RELATIVE_FLOOR = 1e-9

Values = npt.NDArray[np.floating[Any]]


def robust_scale(x: Values) -> tuple[float, float]:
    """Centre and scale of finite values: median and 1.4826 times the median absolute deviation.

    Where more than half of the values are equal, the scale is the standard deviation; where all of
    them are (or none is given), it is 1. The scale is always greater than zero.
    """
    flat = np.asarray(x, dtype=np.float64)
    if flat.size == 0:
        return 0.0, 1.0
    center = float(np.median(flat))
    deviation = np.abs(flat - center)
    floor = _RELATIVE_FLOOR * max(abs(center), float(deviation.max()))
    scale = MAD_TO_SIGMA * float(np.median(deviation))
    if scale <= floor:
        scale = float(flat.std())
    if scale <= floor or not np.isfinite(scale):
        scale = 1.0
    return center, scale


def robust_z(x: Values) -> npt.NDArray[np.float64]:
    """Distance from the median in robust sigmas, signed, of the same shape as ``x``."""
    center, scale = robust_scale(x)
    return (np.asarray(x, dtype=np.float64) - center) / scale


def squash(raw: Values) -> npt.NDArray[np.float64]:
    """Map raw "larger is stranger" values to scores in [0, 1).

    ``z / (z + 6)`` with ``z`` the robust z clipped at zero: the median and everything below it
    score 0, six robust sigmas score 0.5. The order of the values above the median is kept.
    """
    z = np.maximum(robust_z(raw), 0.0)
    return z / (z + SIGMAS_AT_HALF)
