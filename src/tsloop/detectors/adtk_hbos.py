"""Rare values, jumps, shifted levels and dead values: the predecessor's statistical detector.

It joins a histogram-based outlier score (Goldstein and Dengel 2012) with ADTK's double rolling
means, and looks for levels away from the main one. Rebuilt from its description with graded scores:
each part gives ``d / (d + 1)`` with ``d`` its distance in units of its own limit, so that 0.5 is
the limit; the largest part counts. Other than the original it says where it has no answer (a
stepped series is ``failed``, not "nothing found"), measures levels in units of the range (a centre
may be 0), and dead values by true timestamps.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from tsloop.detectors.adtk import restore_iteritems
from tsloop.detectors.common import SignalDetector, usable_values
from tsloop.detectors.factory import check_at_least, check_choice
from tsloop.errors import ConfigError, DetectorError
from tsloop.evaluation.thresholds import OBJECTIVES
from tsloop.series.types import Series
from tsloop.signals.runs import constant_runs, is_stepped, mask_runs

__all__ = ["AdtkHbosConfig", "AdtkHbosDetector"]

Values = npt.NDArray[np.float64]

_NEAR = 10  # rows on each side of a single row whose range stands for it
_CHUNKS = 200
_DISTINCT = 10
_MOSTLY_DEAD = 0.7
_SIDE_COUNT = 0.009  # of the main bin's: a bin with fewer rows ends a level


@dataclass(frozen=True)
class AdtkHbosConfig:
    """Settings of `AdtkHbosDetector`."""

    bins: int = 50
    """Bins of the histogram that says how rare a value is."""
    windows: list[list[int]] = field(default_factory=lambda: [[100, 3], [3000, 100]])
    """Rows before and after a row whose means are compared; pairs that do not fit are left out."""
    sigmas: float = 5.0
    """A difference of those means counts from so many standard deviations on."""
    range_share: float | None = None
    """A group of rows must span this share of the series' range; None: found in the series."""
    level_bins: int = 20
    """Bins of the histogram that finds the main level."""
    level_rows: int = 500
    """A shifted level lasts longer than this."""
    level_share: float = 0.2
    """… and lies off the main one by this share of the range."""
    dead_seconds: float = 72000.0
    """One value for longer than this is dead; 0: not looked for."""
    objective: str = "balanced"
    """What the threshold is chosen for: balanced, clicks or f1."""
    refine_edges: bool = True
    """Move the edges of found intervals to where the values themselves deviate."""

    def __post_init__(self) -> None:
        check_choice("adtk_hbos.objective", self.objective, OBJECTIVES)
        for key in ("bins", "level_bins", "level_rows"):
            check_at_least(f"adtk_hbos.{key}", getattr(self, key), 2)
        check_at_least("adtk_hbos.dead_seconds", self.dead_seconds, 0.0)
        for key in ("sigmas", "level_share"):
            if not getattr(self, key) > 0.0:
                raise ConfigError(f"adtk_hbos.{key} is {getattr(self, key)}; it must be positive.")
        for pair in self.windows:
            if len(pair) != 2 or min(pair) < 1:
                raise ConfigError(f"adtk_hbos.windows holds {pair}, not two positive row counts.")


class AdtkHbosDetector(SignalDetector):
    """The largest of four graded scores; ``config`` is an `AdtkHbosConfig`."""

    name = "adtk_hbos"
    config_class = AdtkHbosConfig
    min_rows = 32

    def score(self, series: Series) -> Values:
        """Graded score; 0.5 is where the method itself begins to say yes."""
        config: AdtkHbosConfig = self.config
        values = usable_values(series, self.min_rows)
        if np.ptp(values) == 0.0:
            raise DetectorError(f"Series {series.id!r} is constant: adtk_hbos has nothing to bin.")
        if is_stepped(values):
            raise DetectorError(
                f"Series {series.id!r} is stepped (most rows repeat the row before): adtk_hbos "
                "cannot judge it.",
            )
        jumps = np.maximum(_rarity(values, config.bins), _rolling(values, config))
        parts = (
            _only_wide(jumps, values, config.range_share),
            _levels(values, config),
            _dead(values, series, config.dead_seconds),
        )
        distance = np.maximum.reduce(parts)
        return np.asarray(distance / (distance + 1.0))


def _rarity(values: Values, bins: int) -> Values:
    """How rare a value is, in units of the limit: the rarity to which it jumps most in one row."""
    density, edges = np.histogram(values, bins, density=True)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    rarity = -np.log(np.maximum(density[place], 1e-6))
    limit = float(rarity[int(np.argmax(np.diff(rarity))) + 1])
    usual = float(np.median(rarity))
    if limit <= usual:
        return np.zeros(len(values))
    return np.asarray(np.maximum(rarity - usual, 0.0) / (limit - usual))


def _rolling(values: Values, config: AdtkHbosConfig) -> Values:
    """Differences of the means before and after each row, in units of ``sigmas`` deviations."""
    restore_iteritems()
    from adtk.transformer import DoubleRollingAggregate

    index = pd.date_range("2000-01-01", periods=len(values), freq="s")
    frame = pd.Series(values, index=index, name="value")
    found = np.zeros(len(values))
    for before, after in config.windows:
        if before + after > len(values) // 2:
            continue
        with warnings.catch_warnings():  # ADTK was written for pandas 1
            warnings.simplefilter("ignore")
            moved = DoubleRollingAggregate(agg="mean", window=(before, after), diff="l1").transform(
                frame
            )
        change = np.nan_to_num(moved.to_numpy(dtype=np.float64))
        present = change[change != 0.0]
        if len(present) > 1 and present.std() > 0.0:
            far = np.abs(change - present.mean()) / (config.sigmas * present.std())
            found = np.maximum(found, np.where(change != 0.0, far, 0.0))
    return found


def _only_wide(distance: Values, values: Values, share: float | None) -> Values:
    """The same without groups of rows over the limit that hardly span anything."""
    least = (_usual_range(values) if share is None else share) * np.ptp(values)
    out = distance.copy()
    for start, end in zip(*mask_runs(distance > 1.0), strict=True):
        near = _NEAR if start == end else 0
        rows = values[max(0, start - near) : end + near + 1]
        if np.ptp(rows) < least:
            out[start : end + 1] = 1.0 - 1e-9  # just below the limit: its order is not lost
    return out


def _usual_range(values: Values) -> float:
    """The share of the range that chunks of the series usually span: the knee of their curve."""
    chunks = np.array_split(values, min(_CHUNKS, max(2, len(values) // 8)))
    shares = np.sort([np.ptp(chunk) for chunk in chunks]) / np.ptp(values)
    line = np.linspace(shares[0], shares[-1], len(shares))
    return float(shares[int(np.argmax(line - shares))])


def _levels(values: Values, config: AdtkHbosConfig) -> Values:
    """Long runs beyond the main level, in units of ``level_share`` of the range."""
    counts, edges = np.histogram(values, config.level_bins)
    main = int(np.argmax(counts))
    ends = counts <= _SIDE_COUNT * counts[main]
    low, high = main, main
    while low > 0 and not ends[low - 1]:
        low -= 1
    while high < len(counts) - 1 and not ends[high + 1]:
        high += 1
    outside = (values < edges[low]) | (values > edges[high + 1])
    centre = 0.5 * (edges[main] + edges[main + 1])
    found = np.zeros(len(values))
    for start, end in zip(*mask_runs(outside), strict=True):
        if end - start + 1 > config.level_rows:
            off = abs(float(values[start : end + 1].mean()) - centre)
            found[start : end + 1] = off / (config.level_share * np.ptp(values))
    return found


def _dead(values: Values, series: Series, seconds: float) -> Values:
    """Runs of one value, in units of ``seconds``; none where the series is mostly like that."""
    found = np.zeros(len(values))
    if not seconds or len(np.unique(values)) < _DISTINCT:
        return found
    starts, ends = constant_runs(values)
    lasted = (series.timestamps[ends] - series.timestamps[starts]) / 1e9
    long = lasted > seconds
    if (ends - starts + 1)[long].sum() >= _MOSTLY_DEAD * len(values):
        return found
    for start, end, time in zip(starts[long], ends[long], lasted[long], strict=True):
        found[start : end + 1] = time / seconds
    return found
