"""What the parsers of both columns share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["mask"]


def mask(booleans: Any) -> npt.NDArray[np.bool_]:
    """An arrow array of booleans as a numpy array, shape ``(n,)``."""
    return np.asarray(booleans.to_numpy(zero_copy_only=False), dtype=bool)
