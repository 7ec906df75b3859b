"""The PNG of ``tsloop detect``: drawn without a warning for any series, the same every time."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from tsloop.errors import ConfigError
from tsloop.intervals import Detection, Interval
from tsloop.report import picture
from tsloop.report.picture import detection_png
from tsloop.series.types import Series

HOUR = 3_600_000_000_000
OK = Detection.of([Interval(10, 10, "upward_spike", 0.9), Interval(12, 20, "未知 $x$")])


def make(n: int = 60, name: str = "TI_1.PV", step: int = HOUR) -> Series:
    values = np.sin(np.arange(n) / 5)
    values[n // 2 : n // 2 + 3] = np.nan
    return Series(name, np.arange(n) * step, values, unit="°C", zone="Asia/Shanghai")


def pixels(path: Path) -> np.ndarray:
    import matplotlib.image

    return matplotlib.image.imread(io.BytesIO(path.read_bytes()))


def test_same_input_same_bytes_and_detections_show(tmp_path) -> None:
    series, scores = make(), np.linspace(0, 1, 60)
    detection_png(series, OK, scores, tmp_path / "a.png")
    detection_png(series, OK, scores, tmp_path / "b.png")
    detection_png(series, Detection.of([]), scores, tmp_path / "c.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()
    shape = pixels(tmp_path / "a.png").shape
    assert shape[:2] == (528, 1320)
    assert not list(tmp_path.glob(".*"))


def test_the_level_that_a_score_must_reach_is_drawn(tmp_path) -> None:
    series, scores = make(), np.full(60, 0.3)
    detection_png(series, Detection.of([]), scores, tmp_path / "without.png")
    detection_png(series, Detection.of([]), scores, tmp_path / "with.png", level=0.7)
    plain, drawn = pixels(tmp_path / "without.png"), pixels(tmp_path / "with.png")
    different = np.flatnonzero((plain != drawn).any(axis=(1, 2)))
    assert 0 < len(different) < 6, "one thin line"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("series", "detection", "scores"),
    [
        (make(), Detection.failed("no $memory$ \x00\n泵"), None),
        (make(1, step=1), Detection.of([Interval(0, 0)]), np.ones(1)),
        (make(40, step=1000), OK, np.full(40, np.nan)),
        (make(60, name='泵A <b>$\\frac{1}{"🙂\u202e' * 9), OK, np.zeros(60)),
        (Series("gone", np.arange(5) * HOUR, np.full(5, np.nan)), Detection.of([]), None),
        (Series("empty", np.empty(0), np.empty(0)), Detection.of([]), None),
        (Series("far", np.array([-(2**61), 2**61]), np.array([1e300, -1e300])), OK.of([]), None),
        (Series("odd", np.arange(5) * HOUR, np.arange(5.0), zone="No/Where"), OK.of([]), None),
    ],
)
def test_strange_series_are_drawn_without_a_warning(
    tmp_path, language, series, detection, scores, recwarn
) -> None:
    detection_png(series, detection, scores, tmp_path / "p.png", language)
    assert pixels(tmp_path / "p.png").std() > 0.005
    assert not recwarn.list


def test_thousands_of_detections(tmp_path) -> None:
    n = 20_000
    found = Detection.of([Interval(i, i + 1, score=0.5) for i in range(0, n, 8)])
    detection_png(make(n), found, np.zeros(n), tmp_path / "many.png")
    assert (tmp_path / "many.png").stat().st_size > 10_000


def test_without_a_chinese_font_the_words_are_english(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(picture, "_cjk_font", lambda: None)
    detection_png(make(), OK, np.zeros(60), tmp_path / "zh.png", "zh")
    detection_png(make(), OK, np.zeros(60), tmp_path / "en.png", "en")
    assert (tmp_path / "zh.png").read_bytes() == (tmp_path / "en.png").read_bytes()
    assert picture._drawable("泵 A", 10) == "□ A"


def test_unknown_language_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="language 'fr' is not known"):
        detection_png(make(), OK, None, tmp_path / "p.png", "fr")
