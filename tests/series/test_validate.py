"""Validation: every malformed cell is a declared repair or an error that names it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.errors import ConfigError, SeriesValidationError
from tsloop.intervals import Interval
from tsloop.series._numbers import _cast
from tsloop.series.policies import PrepareConfig
from tsloop.series.raw import RawSeries
from tsloop.series.validate import Validated, validate

T0 = 1_700_000_000
MINUTE = 60


def times(n: int = 20) -> list[int]:
    return [T0 + MINUTE * i for i in range(n)]


def texts(n: int = 20) -> list[str]:
    return [f"{i}.5" for i in range(n)]


def run(
    timestamps: Any = None, values: Any = None, *, config: dict[str, Any] | None = None, **raw: Any
) -> Validated:
    timestamps = times() if timestamps is None else timestamps
    values = [float(i) for i in range(len(timestamps))] if values is None else values
    return validate(RawSeries("a", timestamps, values, **raw), PrepareConfig(**(config or {})))


def refused(row: int | None, column: str, words: str, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(SeriesValidationError, match=words) as caught:
        run(*args, **kwargs)
    assert (caught.value.row, caught.value.column) == (row, column)
    assert caught.value.hint


def kinds(found: Validated) -> dict[str, tuple[int, int]]:
    return {repair.kind: (repair.count, repair.first_row) for repair in found.repairs}


def replaced(items: list[Any], row: int, item: Any) -> list[Any]:
    return [*items[:row], item, *items[row + 1 :]]


# --- values ------------------------------------------------------------------------------------


def test_clean_series_needs_no_repair() -> None:
    found = run(values=texts())
    assert found.repairs == ()
    assert found.intervals is None
    assert found.series.values.tolist() == [i + 0.5 for i in range(20)]
    assert found.series.timestamps.tolist() == [t * 10**9 for t in times()]
    assert found.series.meta == {"time": {"found": "epoch", "unit": "s"}}


@pytest.mark.parametrize(
    "cell", ["Bad", "1.2.3", "0x10", "1_000", "１２", "--", "1e", "12 kPa", "nan(1)", "−3"]
)
def test_text_in_values_is_refused_with_its_place_or_a_declared_gap(cell: str) -> None:
    column = replaced(texts(), 7, cell)
    refused(7, "value", "is not a number", values=column)
    found = run(values=column, config={"text": "gap"})
    assert np.isnan(found.series.values[7])
    assert np.count_nonzero(np.isnan(found.series.values)) == 1
    assert kinds(found) == {"text": (1, 7)}


def test_long_text_is_cut_in_the_message() -> None:
    with pytest.raises(SeriesValidationError) as caught:
        run(values=replaced(texts(), 3, "x" * 10_000))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("cell", ["", "  ", "NaN", "null", "N/A", None])
def test_missing_cells_are_gaps_never_zero(cell: str | None) -> None:
    column = replaced(texts(), 4, cell)
    found = run(values=column)
    assert np.isnan(found.series.values[4])
    assert kinds(found) == ({} if not (cell or "").strip() else {"missing_token": (1, 4)})
    refused(4, "value", "no value", values=column, config={"missing": "error"})


@pytest.mark.parametrize("cell", ["1e400", "-1e400", "inf", "-Infinity"])
def test_infinite_text_is_refused_or_a_declared_gap(cell: str) -> None:
    column = replaced(texts(), 2, cell)
    refused(2, "value", "infinite, or too large", values=column)
    found = run(values=column, config={"infinite": "gap"})
    assert np.isnan(found.series.values[2])
    assert kinds(found) == {"infinite": (1, 2)}


def test_infinite_number_is_refused_or_a_declared_gap() -> None:
    column = replaced([1.0, 2.0] * 10, 5, float("inf"))
    refused(5, "value", "infinite", values=column)
    assert kinds(run(values=column, config={"infinite": "gap"})) == {"infinite": (1, 5)}


def test_undeclared_commas_are_refused_even_where_text_may_become_a_gap() -> None:
    for config in ({}, {"text": "gap"}):
        grouped, decimal = replaced(texts(), 3, "1,234"), replaced(texts(), 3, "3,14")
        refused(3, "value", "ambiguous", values=grouped, config=config)
        refused(3, "value", "decimal comma", values=decimal, config=config)


def test_declared_decimal_comma() -> None:
    column = [f"{i},5" for i in range(20)]
    found = run(values=column, decimal=",")
    assert found.series.values.tolist() == [i + 0.5 for i in range(20)]
    assert kinds(found) == {"number_format": (20, 0)}
    assert run(values=column, config={"decimal": ","}).repairs == found.repairs
    refused(6, "value", "declared format", values=replaced(column, 6, "6.5"), decimal=",")


def test_declared_thousands_separator() -> None:
    column = replaced(texts(), 9, "-1,234,567.25")
    found = run(values=column, thousands=",")
    assert found.series.values[9] == -1_234_567.25
    assert kinds(found) == {"number_format": (1, 9)}
    refused(9, "value", "declared format", values=replaced(texts(), 9, "12,34"), thousands=",")
    german = run(values=replaced(["1"] * 20, 0, "1.234,5"), decimal=",", thousands=".")
    assert german.series.values[0] == 1234.5
    spaced = run(values=replaced(texts(), 0, "1 234.5"), thousands=" ")
    assert spaced.series.values[0] == 1234.5


def test_truth_values_and_times_are_no_numbers() -> None:
    refused(0, "value", "'true' is not a number", values=[True] * 20)
    refused(0, "value", "holds times", values=np.array(times(), dtype="datetime64[s]"))


def test_column_names_and_file_are_in_the_message() -> None:
    with pytest.raises(SeriesValidationError, match=r"Series 'a' \(x/a.csv\), row 1, column 'T'"):
        run(values=replaced(texts(), 1, "Bad"), value_column="T", meta={"file": "x/a.csv"})


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=16, max_size=60))
def test_text_and_numbers_give_the_same_bits(numbers: list[float]) -> None:
    column = ["" if np.isnan(x) else repr(x) for x in numbers]
    stamps = times(len(numbers))
    from_text, from_numbers = run(stamps, column), run(stamps, numbers)
    assert from_text.series.sha256 == from_numbers.series.sha256


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=16, max_size=30),
    st.sampled_from([(",", "."), (",", " "), (".", ","), (".", "'"), (",", "")]),
)
def test_declared_formats_read_back_what_was_written(
    numbers: list[float], signs: tuple[str, str]
) -> None:
    decimal, thousands = signs
    plain = [f"{x:,.6f}" if thousands else f"{x:.6f}" for x in numbers]
    table = str.maketrans({",": thousands, ".": decimal})
    found = run(
        times(len(numbers)),
        [cell.translate(table) for cell in plain],
        decimal=decimal,
        thousands=thousands,
    )
    assert found.series.values.tolist() == [float(cell.replace(",", "")) for cell in plain]


@settings(max_examples=200)
@given(st.lists(st.text(max_size=8), min_size=16, max_size=24))
def test_no_text_ever_becomes_a_value_silently(cells: list[str]) -> None:
    found, row = None, None
    try:
        found = run(times(len(cells)), cells)
    except SeriesValidationError as error:
        row = error.row
    if found is None:
        assert row is not None
        return
    for cell, value in zip(cells, found.series.values, strict=True):
        if np.isnan(value):
            assert cell.strip().lower() in {"", "nan", "null", "none", "na", "n/a"}
        else:
            assert float(cell) == value


def test_numbers_that_the_quick_parser_refuses_are_parsed_slowly() -> None:
    # Versions of arrow differ in which texts they take; the slow way takes what the pattern took.
    assert _cast(pa.array(["1.5", "１"])).tolist() == [1.5, 1.0]


# --- whole series ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 15])
def test_too_short_series_are_refused(n: int) -> None:
    refused(None, "value", f"{n} rows are fewer than 16", times(n), [0.0] * n)


def test_one_row_is_enough_where_declared() -> None:
    assert len(run(times(1), [1.0], config={"min_rows": 1}).series) == 1


@pytest.mark.parametrize("values", [[3.0] * 20, [None] * 20, [float("nan")] * 20])
def test_constant_series_are_flagged_or_refused(values: list[Any]) -> None:
    assert run(values=values).series.meta["constant"] is True
    words = "no value at all" if values[0] != 3.0 else "every value is 3"
    refused(None, "value", words, values=values, config={"constant": "error"})


# --- order and duplicates ------------------------------------------------------------------------


def test_unsorted_rows_are_refused_or_sorted() -> None:
    stamps = times()
    stamps[5], stamps[6] = stamps[6], stamps[5]
    refused(6, "timestamp", "earlier than a row before", stamps)
    found = run(stamps, config={"unsorted": "sort"})
    assert found.series.values.tolist()[4:8] == [4.0, 6.0, 5.0, 7.0]
    assert kinds(found) == {"unsorted": (1, 6)}


@pytest.mark.parametrize(("policy", "kept"), [("first", 5.0), ("last", 7.0), ("mean", 6.0)])
def test_duplicates_are_refused_or_merged(policy: str, kept: float) -> None:
    stamps = times()
    stamps[6] = stamps[7] = stamps[5]
    refused(6, "timestamp", "was there before", stamps)
    found = run(stamps, config={"duplicates": policy})
    assert len(found.series) == 18
    assert found.series.values[5] == kept
    assert kinds(found) == {"duplicates": (2, 6)}


def test_the_mean_of_duplicates_ignores_gaps_and_keeps_single_bits() -> None:
    stamps = times()
    stamps[1], stamps[3] = stamps[0], stamps[2]
    values: list[Any] = [0.1, None, None, None, *[0.1] * 16]
    found = run(stamps, values, config={"duplicates": "mean"})
    assert found.series.values[0] == 0.1
    assert np.isnan(found.series.values[1])
    assert found.series.values[2:].tolist() == [0.1] * 16


def test_too_few_rows_left_after_merging() -> None:
    refused(None, "value", "1 rows are fewer", [T0] * 20, config={"duplicates": "first"})


# --- truth ---------------------------------------------------------------------------------------


def test_truth_keeps_its_fields_and_gains_true_times() -> None:
    found = run(intervals=(Interval(3, 5, "step_up"), Interval(0, 0)))
    assert found.intervals is not None
    assert [(i.start, i.end, i.label) for i in found.intervals] == [
        (0, 0, "anomaly"),
        (3, 5, "step_up"),
    ]
    assert found.intervals[1].t_start == (T0 + 3 * MINUTE) * 10**9
    assert found.intervals[1].t_end == (T0 + 5 * MINUTE) * 10**9


def test_truth_outside_the_rows_is_refused() -> None:
    refused(19, "value", "outside the 20 rows", intervals=(Interval(19, 20),))


def test_truth_that_loses_all_rows_is_refused() -> None:
    stamps = times()
    stamps[6] = stamps[5]
    lost = (Interval(6, 6),)
    refused(6, "timestamp", "loses all", stamps, intervals=lost, config={"duplicates": "first"})
    merged = run(stamps, intervals=lost, config={"duplicates": "mean"}).intervals
    assert merged is not None
    assert (merged[0].start, merged[0].end) == (5, 5)


def test_sorting_tears_an_interval_into_pieces() -> None:
    stamps = times()
    stamps[10], stamps[19] = stamps[19], stamps[10]
    found = run(stamps, intervals=(Interval(9, 11),), config={"unsorted": "sort"})
    assert found.intervals is not None
    assert [(i.start, i.end) for i in found.intervals] == [(9, 9), (11, 11), (19, 19)]


@given(st.data())
def test_truth_follows_its_rows_through_every_repair(data: st.DataObject) -> None:
    """The times that were marked are marked afterwards, and no others."""
    n = data.draw(st.integers(16, 40))
    stamps = data.draw(st.lists(st.integers(T0, T0 + 30), min_size=n, max_size=n))
    policy = data.draw(st.sampled_from(["first", "last", "mean"]))
    start = data.draw(st.integers(0, n - 1))
    end = data.draw(st.integers(start, n - 1))
    config = {"unsorted": "sort", "duplicates": policy, "min_rows": 1}
    found, problem = None, ""
    try:
        found = run(stamps, intervals=(Interval(start, end),), config=config)
    except SeriesValidationError as error:
        problem = str(error)
    if found is None:
        assert "loses all its rows" in problem
        return
    assert found.intervals
    if policy == "mean":
        kept = set(stamps[start : end + 1])
    else:
        chosen: dict[int, int] = {}
        for row, stamp in enumerate(stamps):
            if policy == "last" or stamp not in chosen:
                chosen[stamp] = row
        kept = {stamp for stamp, row in chosen.items() if start <= row <= end}
    marked: set[int] = set()
    for interval in found.intervals:
        rows = found.series.timestamps[interval.start : interval.end + 1] // 10**9
        assert interval.t_start == rows[0] * 10**9
        assert interval.t_end == rows[-1] * 10**9
        marked |= set(rows.tolist())
    assert marked == kept


@pytest.mark.parametrize(
    "config",
    [
        {"duplicates": "median"},
        {"decimal": ",", "thousands": ","},
        {"view_points": 10},
        {"sample_step_s": 0.0},
        {"min_rows": 0},
        {"min_year": 2200},
        {"gold_share": 1.0},
    ],
)
def test_impossible_settings_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(config))):
        PrepareConfig(**config)
