"""The figures of a scorecard, each a function of counts that add up over series.

`COLUMNS` names the counts of one series, `MEASURES` the figures. A figure without a meaning for
some counts is NaN there, and `Measure.undefined` says why in words; NaN never leaves this room.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["COLUMNS", "MEASURES", "NO_POSITIVES", "Columns", "Measure", "columns"]

Floats = npt.NDArray[np.float64]

COLUMNS = (
    "n_series",
    "n_failed",
    "n_events",
    "n_predicted",
    "found",
    "found_iou30",
    "found_iou50",
    "label_right",
    "clicks",
    "n_clean",  # series without an event that did not fail
    "clean_alarms",
    "n_ranked",  # series with an event and with scores, or failed
    "n_unscored",  # series with an event that were judged without scores
    "vus_pr",
    "auc_pr",
    "point_best_f1",
    "point_hits",
    "point_false",
    "point_missed",
    "n_recall",  # series with an event
    "affiliation_recall",
    "n_precision",  # series with an event and a prediction
    "affiliation_precision",
)

Columns = dict[str, Floats]
"""Each column summed over series: one value per bootstrap draw."""

NO_POSITIVES = "undefined: no positives"


def columns(sums: Floats) -> Columns:
    """The last axis of ``sums``, shape ``(draws, len(COLUMNS))``, by name."""
    return {name: sums[:, i] for i, name in enumerate(COLUMNS)}


def _share(part: Floats, whole: Floats) -> Floats:
    """``part / whole``, NaN where ``whole`` is zero."""
    out: Floats = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _where(condition: npt.NDArray[np.bool_], value: Floats) -> Floats:
    out: Floats = np.where(condition, value, np.nan)
    return out


@dataclass(frozen=True)
class Measure:
    """One figure; ``higher_is_better`` is ``None`` for plain counts."""

    compute: Callable[[Columns], Floats]
    undefined: str = NO_POSITIVES
    higher_is_better: bool | None = True
    interval: bool = False

    def __call__(self, sums: Floats) -> Floats:
        """From summed counts, shape ``(draws, len(COLUMNS))``, to shape ``(draws,)``."""
        return self.compute(columns(sums))


def _event_f1(found: str) -> Callable[[Columns], Floats]:
    def compute(c: Columns) -> Floats:
        f1 = _share(2.0 * c[found], c["n_events"] + c["n_predicted"])
        return _where(c["n_events"] > 0, f1)

    return compute


def _ranked(column: str) -> Callable[[Columns], Floats]:
    def compute(c: Columns) -> Floats:
        return _where(c["n_unscored"] == 0, _share(c[column], c["n_ranked"]))

    return compute


def _point_f1(c: Columns) -> Floats:
    hits = 2.0 * c["point_hits"]
    f1 = _share(hits, hits + c["point_false"] + c["point_missed"])
    return _where(c["point_hits"] + c["point_missed"] > 0, f1)


def _affiliation_f1(c: Columns) -> Floats:
    precision = np.nan_to_num(_share(c["affiliation_precision"], c["n_precision"]))
    recall = _share(c["affiliation_recall"], c["n_recall"])
    f1 = np.nan_to_num(_share(2.0 * precision * recall, precision + recall))
    return _where(c["n_recall"] > 0, f1)


def _count(column: str) -> Measure:
    return Measure(lambda c: c[column], higher_is_better=None)


MEASURES: dict[str, Measure] = {
    "event_precision": Measure(
        lambda c: _share(c["found"], c["n_predicted"]), "undefined: no predictions", interval=True
    ),
    "event_recall": Measure(lambda c: _share(c["found"], c["n_events"]), interval=True),
    "event_f1": Measure(_event_f1("found"), interval=True),
    "event_f1_iou30": Measure(_event_f1("found_iou30"), interval=True),
    "event_f1_iou50": Measure(_event_f1("found_iou50"), interval=True),
    "label_accuracy": Measure(
        lambda c: _share(c["label_right"], c["found"]), "undefined: no event was found"
    ),
    "auc_pr": Measure(_ranked("auc_pr")),
    "vus_pr": Measure(_ranked("vus_pr"), interval=True),
    "point_best_f1": Measure(_ranked("point_best_f1")),
    "point_f1": Measure(_point_f1),
    "affiliation_precision": Measure(
        lambda c: _share(c["affiliation_precision"], c["n_precision"]), "undefined: no predictions"
    ),
    "affiliation_recall": Measure(lambda c: _share(c["affiliation_recall"], c["n_recall"])),
    "affiliation_f1": Measure(_affiliation_f1),
    "clicks_saved": Measure(
        lambda c: 1.0 - _share(c["clicks"], 2.0 * c["n_events"]), interval=True
    ),
    "false_alarms_per_clean_series": Measure(
        lambda c: _share(c["clean_alarms"], c["n_clean"]),
        "undefined: no clean series was judged",
        higher_is_better=False,
    ),
    "clicks": Measure(lambda c: c["clicks"], higher_is_better=False),
    "n_series": _count("n_series"),
    "n_events": _count("n_events"),
    "n_predicted": _count("n_predicted"),
    "n_failed": Measure(lambda c: c["n_failed"], higher_is_better=False),
}
"""Figures by name, in the order of a table."""
