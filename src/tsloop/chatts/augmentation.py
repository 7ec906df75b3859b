"""Changes of a window that leave its labels true, or change them along. Pure numpy.

A label whose meaning has a direction gets its mirror image where the values are mirrored; where it
has none in the label set, or where nobody knows what a label means, the change is not made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Changed", "augment", "can_flip", "can_reverse", "can_shift", "flip", "jitter"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_MIRRORED = {
    "upward_spike": "downward_spike",
    "downward_spike": "upward_spike",
    "step_up": "step_down",
    "step_down": "step_up",
}
"""Label → what it is called upside down."""
_SYMMETRIC = frozenset(
    {
        "anomaly",
        "double_spike",
        "gradual_drift",
        "sudden_drift",
        "oscillation",
        "variance_change",
        "frequency_change",
        "contextual",
        "flatline",
        "clipping",
    }
)
"""Labels that mean the same upside down."""
_TIMELESS = frozenset(
    {
        "upward_spike",
        "downward_spike",
        "double_spike",
        "oscillation",
        "variance_change",
        "frequency_change",
        "flatline",
        "clipping",
        "dropout",
    }
)
"""Labels that mean the same backwards. Steps and drifts are not among them: whether an interval
marks the change or all that follows it, backwards it would be another one."""
_ANCHORED = frozenset({"dropout"})
"""Labels that mean a certain value (zero): shifted, they are not true any more."""


@dataclass(frozen=True, eq=False)
class Changed:
    """Values and labels, shape ``(n,)``; where ``reversed``, other arrays must be turned too."""

    values: Floats
    label: Labels
    reversed: bool = False


def augment(
    values: Floats, label: Labels, labels: Sequence[str], rng: np.random.Generator
) -> Changed:
    """One random change of every kind that the labels allow; the arrays given are left alone.

    ``label`` (n,) holds indices into ``labels`` or -1 (no label, or one that is not taught).
    Amplitudes are scaled by 0.5 to 2 around the window's median, which is always allowed.
    """
    present = [labels[index] for index in np.unique(label[label >= 0])]
    mirrored, backwards, shifted = rng.random(3) < 0.5
    factor, amount = float(2.0 ** rng.uniform(-1, 1)), float(rng.normal())
    middle, spread = float(np.median(values)), float(np.ptp(values))
    if not set(present) & _ANCHORED:
        values = middle + factor * (values - middle)
    else:
        values = factor * values
    if mirrored and can_flip(present, labels):
        values, label = flip(values, label, labels)
    if shifted and can_shift(present):
        values = values + amount * spread
    turned = bool(backwards and can_reverse(present))
    if turned:
        values, label = values[::-1], label[::-1]
    return Changed(np.ascontiguousarray(values), np.ascontiguousarray(label), turned)


def can_flip(present: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether every label that is present has a name upside down among ``labels``."""
    return all(name in _SYMMETRIC or _MIRRORED.get(name) in labels for name in present)


def can_reverse(present: Sequence[str]) -> bool:
    """Whether every label that is present means the same backwards."""
    return set(present) <= _TIMELESS


def can_shift(present: Sequence[str]) -> bool:
    """Whether no label that is present means a certain value; unknown ones might."""
    return set(present) <= (_SYMMETRIC | _TIMELESS | set(_MIRRORED)) - _ANCHORED


def flip(values: Floats, label: Labels, labels: Sequence[str]) -> tuple[Floats, Labels]:
    """Upside down around the median; upward labels become downward ones and back.

    Only for what `can_flip` allows.
    """
    index = {name: place for place, name in enumerate(labels)}
    swapped = label.copy()
    for name, mirror in _MIRRORED.items():
        if name in index and mirror in index:
            swapped[label == index[name]] = index[mirror]
    return 2 * float(np.median(values)) - values, swapped


def jitter(values: Floats, amount: float, rng: np.random.Generator) -> Floats:
    """Normal noise of ``amount`` times the window's robust spread, but not where it stands still:
    a stuck value must stay stuck."""
    low, high = np.quantile(values, [0.1, 0.9])
    noise = rng.normal(scale=amount * float(high - low) / 2.56, size=len(values))
    same = np.diff(values) == 0
    still = np.r_[same, False] | np.r_[False, same]
    return np.where(still, values, values + noise)
