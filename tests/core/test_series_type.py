import numpy as np
import pytest

from tsloop.errors import SeriesError, SeriesValidationError
from tsloop.series.types import Series

DAY = 86_400_000_000_000


def make(values: list[float], **more: str) -> Series:
    return Series("a/b", np.arange(len(values)) * DAY, np.array(values), **more)  # type: ignore[arg-type]


def test_the_hash_covers_content_not_names() -> None:
    one, other = make([1.0, np.nan]), make([1.0, np.nan], group="g", unit="bar")
    assert one.sha256 == other.sha256
    assert one.sha256 != make([1.0, 2.0]).sha256
    odd_nan = np.frombuffer(np.uint64(0x7FF8000000000123).tobytes(), dtype=np.float64)[0]
    assert one.sha256 == make([1.0, odd_nan]).sha256


def test_values_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        make([1.0, 2.0]).values[0] = 5


def test_gaps_stay_until_somebody_asks() -> None:
    series = make([1.0, np.nan, 3.0])
    assert np.isnan(series.values[1])
    assert series.filled().tolist() == [1, 2, 3]
    assert series.window(1, 3).group == "a/b"
    assert len(series.window(1, 3)) == 2
    assert make([1.0, 2.0]).filled().tolist() == [1, 2]
    with pytest.raises(SeriesError, match="no value at all"):
        make([np.nan]).filled()
    assert series.step_ns == DAY
    assert make([1.0]).step_ns == 0


def test_bad_series_are_refused_with_the_row() -> None:
    with pytest.raises(SeriesValidationError, match="infinite value in row 1") as caught:
        make([1.0, np.inf])
    assert (caught.value.row, caught.value.column) == (1, "value")
    with pytest.raises(SeriesValidationError, match="row 1 is not after"):
        Series("x", np.array([5, 5]), np.array([1.0, 2.0]))
    with pytest.raises(SeriesError, match="one length"):
        Series("x", np.array([5]), np.array([1.0, 2.0]))
    with pytest.raises(SeriesError, match="non-empty id"):
        Series("", np.array([5]), np.array([1.0]))
