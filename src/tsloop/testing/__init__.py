"""Conformance suite for detectors: what `tsloop.detectors.base` promises, as plain functions.

Each check takes ``make``, which returns a new, unfitted detector, and an empty directory; it raises
`AssertionError` with what is wrong. With pytest::

    @pytest.mark.parametrize("check", DETECTOR_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check, tmp_path):
        check(MyDetector, tmp_path)

The series are small, so that a whole suite takes seconds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.annotations.examples import Example
from tsloop.detectors.base import Detector
from tsloop.detectors.files import MANIFEST, load_detector, save_detector
from tsloop.errors import ModelFileError, TsloopError
from tsloop.files import sha256_tree
from tsloop.intervals import Interval, Status
from tsloop.series.types import Series

__all__ = [
    "DETECTOR_CHECKS",
    "Check",
    "Make",
    "labelled_examples",
    "sample_series",
    "strange_series",
]

Make = Callable[[], Detector]
"""Returns a new, unfitted detector; all of them have the same configuration."""
Check = Callable[[Make, Path], None]

MINUTE_NS = 60 * 10**9


def sample_series(
    values: npt.ArrayLike, series_id: str = "sample", group: str = "sample"
) -> Series:
    """A series of one value a minute."""
    array = np.asarray(values, dtype=np.float64)
    stamps = 1_700_000_000 * 10**9 + np.arange(len(array), dtype=np.int64) * MINUTE_NS
    return Series(series_id, stamps, array, group=group)


def labelled_examples(n_series: int = 4, n_rows: int = 480, seed: int = 0) -> list[Example]:
    """Noisy waves with two labelled events each, but for the last one, which is clean.

    Every series is a group of its own; labels are ``upward_spike`` and ``downward_spike``.
    """
    rng = np.random.default_rng(seed)
    examples = []
    for number in range(n_series):
        wave = np.sin(np.arange(n_rows) * 2.0 * np.pi / 60.0 + number)
        values = wave + 0.1 * rng.normal(size=n_rows)
        events: list[Interval] = []
        if number < n_series - 1:
            for place, label in ((0.3, "upward_spike"), (0.7, "downward_spike")):
                start = int(place * n_rows) + 7 * number
                event = Interval(start, start + 5 + number, label)
                values[event.start : event.end + 1] += 4.0 if label == "upward_spike" else -4.0
                events.append(event)
        name = f"wave-{number}"
        examples.append(Example(sample_series(values, name, name), tuple(events)))
    return examples


def strange_series() -> dict[str, Series]:
    """Series that no detector may stumble over; ``empty`` and ``all_missing`` cannot be scored."""
    rng = np.random.default_rng(1)
    gaps = rng.normal(size=300)
    gaps[:20] = gaps[100:160] = gaps[-5:] = np.nan
    mostly_missing = np.full(300, np.nan)
    mostly_missing[[10, 200]] = 1.0
    huge = rng.normal(size=300) * 1e12 + 1e15
    spike = np.zeros(300)
    spike[150] = 1e9
    values = {
        "empty": np.empty(0),
        "one_row": np.array([1.0]),
        "two_rows": np.array([1.0, 2.0]),
        "ten_rows": np.arange(10.0),
        "constant": np.full(300, 7.0),
        "two_levels": np.repeat([0.0, 1.0], 150),
        "gaps": gaps,
        "mostly_missing": mostly_missing,
        "all_missing": np.full(300, np.nan),
        "huge": huge,
        "one_spike": spike,
    }
    return {name: sample_series(array, name, name) for name, array in values.items()}


def check_declaration(make: Make, directory: Path) -> None:
    """A name, a frozen dataclass of settings, an instance of it, and a usable decision."""
    detector = make()
    _require(bool(detector.name) and detector.name.isidentifier(), "name must be an identifier")
    frozen = dataclasses.is_dataclass(detector.config_class)
    _require(frozen and detector.config_class.__dataclass_params__.frozen, "config_class: frozen")
    _require(isinstance(detector.config, detector.config_class), "config is not a config_class")
    _require(detector.decision.hi > 0.0, "the unfitted decision must leave quiet series alone")


def check_scores(make: Make, directory: Path) -> None:
    """One finite float64 in [0, 1] per row, the same each time."""
    series = labelled_examples()[0].series
    detector = _fitted(make)
    scores = detector.score(series)
    _check_rows(scores, series)
    detector.score(labelled_examples(seed=5)[1].series)
    _require(np.array_equal(scores, detector.score(series)), "scores depend on what came before")


def check_strange_series(make: Make, directory: Path) -> None:
    """Too short, constant, gappy, missing: an answer with scores, or ``failed`` with a reason."""
    for detector in (make(), _fitted(make)):
        for name, series in strange_series().items():
            detection, scores = detector.analyse(series)
            failed = detection.status is Status.FAILED
            _require(failed == (scores is None), f"{name}: failed and scores must exclude another")
            _require(not failed or bool(detection.reason), f"{name}: failed without a reason")
            if scores is not None:
                _check_rows(scores, series)
                _check_intervals(detection.intervals, len(series))
            _require(detector.detect(series) == detection, f"{name}: detect and analyse differ")


def check_failed_is_not_none(make: Make, directory: Path) -> None:
    """Nothing to look at is ``failed``, never "nothing found"; a constant series has no events."""
    detector, series = _fitted(make), strange_series()
    for name in ("empty", "all_missing"):
        status = detector.detect(series[name]).status
        _require(status is Status.FAILED, f"{name}: the status is {status!s}, not failed")
    constant = detector.detect(series["constant"]).status
    _require(constant is not Status.OK, "found an event in a constant series")


def check_fit_without_examples(make: Make, directory: Path) -> None:
    """No labels: the label-free rule, and answers all the same."""
    detector = make()
    _check_figures(detector.fit([]))
    _require(detector.decision.rule == "label-free", f"the rule is {detector.decision.rule!r}")
    example = labelled_examples()[0]
    _check_rows(detector.score(example.series), example.series)
    _check_intervals(detector.detect(example.series).intervals, len(example.series))


def check_fit(make: Make, directory: Path) -> None:
    """Figures are flat and finite, progress is reported, intervals are in order and described."""
    examples = labelled_examples()
    before = [example.series.sha256 for example in examples]
    seen: list[Mapping[str, float]] = []
    detector = make()
    figures = detector.fit(examples, seed=3, progress=seen.append)
    _check_figures(figures)
    for progress in seen:
        _check_figures(progress)
        _require("step" in progress, "a progress report has no 'step'")
    _require([e.series.sha256 for e in examples] == before, "fit changed its examples")
    for example in labelled_examples(seed=8):
        _check_intervals(detector.detect(example.series).intervals, len(example.series))


def check_fit_is_deterministic(make: Make, directory: Path) -> None:
    """Same examples, same seed: same decision, same scores, same detections."""
    first, second = _fitted(make), make()
    second.fit(labelled_examples(), seed=0)
    _require(first.decision == second.decision, "two fits with one seed chose other thresholds")
    for example in labelled_examples(seed=9):
        answer, scores = first.analyse(example.series)
        again, rescored = second.analyse(example.series)
        same = scores is not None and rescored is not None and np.array_equal(scores, rescored)
        _require(same, "two fits with one seed score differently")
        _require(answer == again, "two fits with one seed detect other events")


def check_strange_examples(make: Make, directory: Path) -> None:
    """Examples that cannot be scored, clean ones and a single one do not stop a fit."""
    strange = [Example(series, ()) for series in strange_series().values() if len(series)]
    _check_figures(make().fit([*labelled_examples(), *strange]))
    _check_figures(make().fit(strange))
    _check_figures(make().fit(labelled_examples()[:1]))
    _check_figures(make().fit(labelled_examples()[-1:]))


def check_parent(make: Make, directory: Path) -> None:
    """An incremental fit starts from a fitted parent, which stays as it was."""
    parent = _fitted(make)
    series = labelled_examples(seed=6)[0].series
    before = parent.score(series)
    child = make()
    _check_figures(child.fit(labelled_examples(seed=7), parent=parent, seed=1))
    _check_rows(child.score(series), series)
    _require(np.array_equal(before, parent.score(series)), "the fit changed its parent")
    _check_figures(make().fit([], parent=parent))


def check_saving(make: Make, directory: Path) -> None:
    """Two saves have the same bytes, and what is loaded answers like what was saved."""
    for state, detector in (("unfitted", make()), ("fitted", _fitted(make))):
        first, second, third = (directory / f"{state}-{name}" for name in "abc")
        save_detector(detector, first, extra={"seed": 0})
        save_detector(detector, second, extra={"seed": 0})
        _require(sha256_tree(first) == sha256_tree(second), f"{state}: two saves differ")
        loaded = load_detector(first)
        _require(type(loaded) is type(detector), f"{state}: loaded another class")
        _require(loaded.config == detector.config, f"{state}: the configuration changed")
        _require(loaded.decision == detector.decision, f"{state}: the decision changed")
        for example in labelled_examples(seed=4):
            answer, scores = detector.analyse(example.series)
            again, rescored = loaded.analyse(example.series)
            _require(answer == again, f"{state}: the loaded detector detects other events")
            same = scores is not None and rescored is not None and np.array_equal(scores, rescored)
            _require(same, f"{state}: the loaded detector scores differently")
        save_detector(loaded, third, extra={"seed": 0})
        _require(sha256_tree(first) == sha256_tree(third), f"{state}: saving what was loaded")


def check_refusals(make: Make, directory: Path) -> None:
    """A directory that is empty, damaged, or holds a pickle is refused before it is loaded."""
    empty = directory / "empty"
    empty.mkdir()
    _require_refused(make, empty, "an empty directory")
    for case in ("changed", "missing", "pickle"):
        place = directory / case
        save_detector(_fitted(make), place)
        files = sorted(p for p in place.rglob("*") if p.is_file() and p.name != MANIFEST)
        if case == "pickle":
            (place / "extra.pkl").write_bytes(b"\x80\x04N.")
        elif not files:
            continue
        elif case == "changed":
            files[0].write_bytes(files[0].read_bytes() + b" ")
        else:
            files[0].unlink()
        _require_refused(make, place, f"a directory with a {case} file")


DETECTOR_CHECKS: tuple[Check, ...] = (
    check_declaration,
    check_scores,
    check_strange_series,
    check_failed_is_not_none,
    check_fit_without_examples,
    check_fit,
    check_fit_is_deterministic,
    check_strange_examples,
    check_parent,
    check_saving,
    check_refusals,
)
"""All checks, in the order in which their messages are most useful."""


_FITTED: dict[tuple[type[Detector], str, int], Detector] = {}


def _fitted(make: Make, seed: int = 0) -> Detector:
    """A fitted detector that several checks look at, and none of them changes."""
    new = make()
    key = (type(new), repr(new.config), seed)
    if key not in _FITTED:
        _FITTED.clear()
        new.fit(labelled_examples(), seed=seed)
        _FITTED[key] = new
    return _FITTED[key]


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _require_refused(make: Make, place: Path, what: str) -> None:
    for load in (load_detector, type(make()).load):
        try:
            load(place)
        except ModelFileError:
            continue
        except TsloopError as error:
            raise AssertionError(f"{what}: {type(error).__name__}, not ModelFileError") from error
        raise AssertionError(f"{what} was loaded")


def _check_rows(scores: npt.NDArray[Any], series: Series) -> None:
    _require(scores.shape == (len(series),), f"{series.id}: scores have shape {scores.shape}")
    _require(scores.dtype == np.float64, f"{series.id}: scores are {scores.dtype}")
    _require(bool(np.isfinite(scores).all()), f"{series.id}: a score is not finite")
    inside = bool(((scores >= 0.0) & (scores <= 1.0)).all())
    _require(inside, f"{series.id}: a score lies outside [0, 1]")


def _check_intervals(intervals: tuple[Interval, ...], n_rows: int) -> None:
    end = -1
    for interval in intervals:
        _require(interval.start > end, "intervals overlap or are out of order")
        _require(interval.end < n_rows, "an interval ends after the series")
        scored = interval.score is not None and 0.0 <= interval.score <= 1.0
        _require(scored, f"an interval has the score {interval.score}")
        _require(bool(interval.label), "an interval has no label")
        end = interval.end


def _check_figures(figures: Mapping[str, Any]) -> None:
    for key, value in figures.items():
        _require(isinstance(value, float | int), f"figure {key!r} is a {type(value).__name__}")
        _require(math.isfinite(value), f"figure {key!r} is {value}")
