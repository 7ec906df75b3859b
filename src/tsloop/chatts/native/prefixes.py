"""Value-preserving normalisation, and the text that tells the model what it took away.

The strings of ``paper`` and ``v2`` are what the official checkpoints were trained on (ChatTS, MIT).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsloop.errors import ConfigError, SeriesValidationError

__all__ = ["LIMIT", "PREFIXES", "Normalised", "normalise", "render_prefix"]

LIMIT = 3.0
"""Largest magnitude of a normalised value."""


@dataclass(frozen=True, eq=False)
class Normalised:
    """``raw == values * scale - offset`` up to rounding."""

    raw: NDArray[np.float64]
    """(L,), as given."""
    values: NDArray[np.float64]
    """(L,), centred, magnitude at most `LIMIT`."""
    offset: float
    """Minus the mean."""
    scale: float
    """1.0 where the centred values were within the limit: small series are not blown up."""


def normalise(series: ArrayLike) -> Normalised:
    """Centre a series; shrink it where it leaves ±`LIMIT` ("sp" of ChatTS), in float64.

    `SeriesValidationError` where it is empty, not one-dimensional or not finite.
    """
    raw = np.asarray(series, dtype=np.float64)
    if raw.ndim != 1 or raw.size == 0:
        raise SeriesValidationError(
            f"A series of the shape {raw.shape} was given; expected is one value per sample."
        )
    if not np.isfinite(raw).all():
        row = int(np.flatnonzero(~np.isfinite(raw))[0])
        raise SeriesValidationError(
            f"The series holds {raw[row]} at row {row}.",
            row=row,
            hint="Fill or cut out the gaps first.",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(raw.mean())
        centred = raw - mean
        largest = float(np.abs(centred).max())
    if not np.isfinite(largest):
        raise SeriesValidationError(
            f"The values of the series (up to {np.abs(raw).max():.3g}) overflow when centred."
        )
    scale = largest / LIMIT if largest >= LIMIT else 1.0
    return Normalised(raw, centred / scale, -mean, scale)


def _paper(s: Normalised) -> str:
    return f"[Value Offset: {s.offset:.4f}|Value Scaling: {s.scale:.4f}]"


def _v2(s: Normalised) -> str:
    return _long(s, ".4f")


def _general(s: Normalised) -> str:
    return _long(s, ".6g")


def _long(s: Normalised, form: str) -> str:
    numbers: dict[str, Any] = {
        "offset": s.offset,
        "scaling": s.scale,
        "length": len(s.raw),
        "max": s.raw.max(),
        "min": s.raw.min(),
        "left": s.raw[0],
        "right": s.raw[-1],
    }
    parts = [f"{k}={v if k == 'length' else format(float(v), form)}" for k, v in numbers.items()]
    return f"[{'|'.join(parts)}]"


PREFIXES: dict[str, Callable[[Normalised], str]] = {
    "paper": _paper,
    "v2": _v2,
    "general": _general,
}
"""Styles: two official ones with four decimals, and ``general``, which keeps six digits of tiny and
huge values alike, for models that were not trained on the official ones."""


def render_prefix(series: Normalised, style: str) -> str:
    """The text before a series; `ConfigError` for an unknown style."""
    if style not in PREFIXES:
        raise ConfigError(f"Prefix style {style!r} is unknown; choose one of {list(PREFIXES)}.")
    return PREFIXES[style](series)
