"""Timestamps: units, zones, clock changes; nothing is guessed."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.errors import SeriesValidationError
from tsloop.series.policies import EPOCH_UNITS, PrepareConfig
from tsloop.series.raw import RawSeries
from tsloop.series.validate import Validated, validate

T0 = 1_700_000_000
UTC = dt.UTC


def run(stamps: Any, *, config: dict[str, Any] | None = None, **raw: Any) -> Validated:
    values = np.arange(len(stamps), dtype=float)
    return validate(
        RawSeries("a", stamps, values, timestamp_column="date", **raw),
        PrepareConfig(**{"min_rows": 1, **(config or {})}),
    )


def refused(row: int | None, words: str, stamps: Any, **kwargs: Any) -> str:
    with pytest.raises(SeriesValidationError, match=words) as caught:
        run(stamps, **kwargs)
    assert caught.value.row == row
    assert caught.value.column == "date"
    assert caught.value.hint
    return caught.value.hint


def seconds(found: Validated) -> list[float]:
    """Seconds since the epoch, to the microsecond."""
    return [int(t) // 1000 / 1e6 for t in found.series.timestamps]


def repairs(found: Validated) -> list[tuple[str, int, int]]:
    return [(r.kind, r.count, r.first_row) for r in found.repairs]


# --- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", list(EPOCH_UNITS))
@pytest.mark.parametrize("as_text", [False, True])
def test_the_unit_is_inferred_where_one_gives_plausible_years(unit: str, as_text: bool) -> None:
    factor = 10**9 // EPOCH_UNITS[unit]
    numbers = [(T0 + i) * factor for i in range(5)]
    found = run([str(x) for x in numbers] if as_text else numbers)
    assert seconds(found) == [T0 + i for i in range(5)]
    assert found.series.meta["time"] == {"found": "epoch", "unit": unit}
    assert found.repairs == ()


def test_a_declared_unit_is_checked_against_plausible_years() -> None:
    assert seconds(run([T0 * 1000], epoch_unit="ms")) == [T0]
    assert seconds(run([T0 * 1000], config={"epoch_unit": "ms"})) == [T0]
    assert "epoch unit" in refused(0, "outside the years 1990", [T0], epoch_unit="ms")
    refused(0, "beyond the year 2262", [T0 * 10**6], epoch_unit="s")
    refused(None, "epoch unit 'min' is not known", [T0], epoch_unit="min")


def test_a_row_in_another_unit_is_named() -> None:
    refused(2, "is no time between", [T0, T0 + 1, (T0 + 2) * 1000])
    refused(0, "is no time between", [10**10, 10**10 + 1])
    refused(1, "is no time between", [5, -1])


@pytest.mark.parametrize("year", [1970, 1989, 2100, 2261])
def test_implausible_years_are_refused_unless_declared(year: int) -> None:
    stamp = dt.datetime(year, 1, 1, tzinfo=UTC)
    refused(0, "outside the years", [stamp.isoformat()])
    wide = run([stamp.isoformat()], config={"min_year": 1700, "max_year": 2262})
    assert seconds(wide) == [stamp.timestamp()]


def test_years_that_nanoseconds_cannot_count_are_refused() -> None:
    config = {"min_year": 1700, "max_year": 2262}
    refused(0, "is no time", ["2263-01-01 00:00:00Z"], config=config)
    refused(1, "is no time", ["2020-01-01 00:00:00Z", "1500-01-01 00:00:00Z"], config=config)


def test_sample_numbers_need_a_declared_step() -> None:
    hint = refused(0, "0 is a sample number, not a time", list(range(20)))
    assert "prepare.sample_step_s" in hint
    refused(0, "sample number", list(range(20)), step_s=300.0)
    found = run([0, 1, 3], config={"sample_step_s": 60.0})
    assert seconds(found) == [0, 60, 180]
    assert repairs(found) == [("synthetic_time_base", 3, 0)]
    assert found.series.meta["time"] == {"found": "sample numbers", "sample_step_s": 60.0}
    stated = run([0, 1, 3], config={"sample_step_s": 60.0}, step_s=300.0)
    assert seconds(stated) == [0, 300, 900]
    refused(1, "beyond the year 2262", [0, 10**8], config={"sample_step_s": 1e6})


def test_real_times_stay_real_where_a_step_is_declared() -> None:
    assert seconds(run([T0, T0 + 60], config={"sample_step_s": 1.0})) == [T0, T0 + 60]


def test_fractions_only_of_seconds() -> None:
    assert seconds(run([T0 + 0.25, T0 + 0.5])) == [T0 + 0.25, T0 + 0.5]
    assert seconds(run([f"{T0}.25", f"{T0}.5"])) == [T0 + 0.25, T0 + 0.5]
    assert seconds(run([float(T0), float(T0 + 1)])) == [T0, T0 + 1]
    refused(0, "has a fraction", [T0 * 1000 + 0.5])
    refused(1, "is no timestamp", [float(T0), float("inf")])


def test_missing_timestamps_are_refused() -> None:
    refused(1, "no timestamp", [T0, None])
    refused(1, "no timestamp", ["2024-01-01 00:00:00Z", None])
    refused(1, "no timestamp", ["2024-01-01 00:00:00Z", " "])
    refused(1, "no timestamp", [str(T0), ""])


def test_a_word_among_numbers_is_named() -> None:
    refused(1, "is no number where", [str(T0), "yesterday"])
    refused(0, "is no time", ["9" * 30])


# --- text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31T08:00:00Z",
        "2024-01-31 08:00:00z",
        "2024-01-31T16:00:00+08:00",
        "2024-01-31 16:00:00+0800",
        "2024-01-31T16:00+08",
        "2024-01-31T08:00:00.000Z",
        "2024/01/31 08:00:00+00:00",
        "  2024-01-31T08:00:00Z ",
    ],
)
def test_iso_8601_with_an_offset(text: str) -> None:
    expected = dt.datetime(2024, 1, 31, 8, tzinfo=UTC).timestamp()
    assert seconds(run([text])) == [expected]


@pytest.mark.parametrize("text", ["2024-02-30 00:00:00", "31.01.2024 08:00", "gestern", "<b>"])
def test_text_that_is_no_time_is_named(text: str) -> None:
    with pytest.raises(SeriesValidationError, match="is no time") as caught:
        run(["2024-01-01 00:00:00", text], zone="UTC")
    assert caught.value.row == 1
    assert "timestamp_format" in caught.value.hint


def test_a_declared_format() -> None:
    config = {"timestamp_format": "%d.%m.%Y %H:%M", "zone": "UTC"}
    expected = dt.datetime(2024, 1, 31, 8, tzinfo=UTC).timestamp()
    assert seconds(run(["31.01.2024 08:00"], config=config)) == [expected]
    refused(0, "of format", ["2024-01-31 08:00"], config=config)
    digits = run(["20240131"], config={"timestamp_format": "%Y%m%d", "zone": "UTC"})
    assert seconds(digits) == [dt.datetime(2024, 1, 31, tzinfo=UTC).timestamp()]
    aware = run(["31.01.2024 08:00 +0200"], config={"timestamp_format": "%d.%m.%Y %H:%M %z"})
    assert seconds(aware) == [expected - 7200]


def test_dates_that_look_like_numbers_point_to_the_format() -> None:
    assert "prepare.timestamp_format" in refused(0, "sample number", ["20240131", "20240201"])


def test_naive_times_need_a_zone() -> None:
    for stamps in (
        ["2024-01-31 08:00:00"],
        np.array(["2024-01-31T08"], dtype="datetime64[ns]"),
        [dt.date(2024, 1, 31)],
    ):
        assert "source.zone" in refused(0, "has no time zone", stamps)
    expected = dt.datetime(2024, 1, 31, 0, tzinfo=UTC).timestamp()
    found = run(["2024-01-31 08:00:00"], zone="Asia/Shanghai")
    assert seconds(found) == [expected]
    assert found.series.zone == "Asia/Shanghai"
    assert seconds(run(["2024-01-31 08:00:00"], config={"zone": "Asia/Shanghai"})) == [expected]
    refused(None, "not a time zone", ["2024-01-31 08:00:00"], zone="Mars/Olympus")
    refused(None, "not a time zone", [T0], zone="../etc/passwd")


def test_datetimes_with_a_zone_keep_it_for_readers() -> None:
    stamps = pd.Series(pd.date_range("2024-01-01", periods=3, freq="h", tz="Europe/Berlin"))
    found = run(stamps)
    assert found.series.zone == "Europe/Berlin"
    assert seconds(found)[0] == dt.datetime(2023, 12, 31, 23, tzinfo=UTC).timestamp()


def test_mixed_offsets_are_refused_or_declared() -> None:
    stamps = ["2024-01-01T00:00:00+01:00", "2024-01-01T00:00:00Z", "2024-01-01T02:00:00+01:00"]
    refused(1, "another UTC offset", stamps)
    found = run(stamps, config={"mixed_offsets": "utc"})
    assert np.diff(seconds(found)).tolist() == [3600, 3600]
    assert repairs(found) == [("mixed_offsets", 1, 1)]
    same = ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00+00:00", "2024-01-01T02:00:00+00"]
    assert run(same).repairs == ()


def test_offsets_on_some_rows_only_are_refused() -> None:
    refused(1, "has no UTC offset where", ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00"])
    refused(1, "has a UTC offset where", ["2024-01-01T00:00:00", "2024-01-01T01:00:00Z"])


# --- clock changes -------------------------------------------------------------------------------

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def local(first: str, hours: int, step_min: int = 30) -> tuple[list[str], list[float]]:
    """Wall-clock texts of an honest logger in Berlin, and the instants."""
    start = dt.datetime.fromisoformat(first).astimezone(UTC)
    instants = [start + dt.timedelta(minutes=step_min * i) for i in range(hours * 60 // step_min)]
    texts = [t.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M:%S") for t in instants]
    return texts, [t.timestamp() for t in instants]


def test_repeated_local_times_are_refused_or_resolved_by_order() -> None:
    texts, instants = local("2024-10-27T00:00:00+02:00", 6)
    hint = refused(4, "02:00:00 happens twice", texts, zone="Europe/Berlin")
    assert "dst_repeated" in hint
    found = run(texts, zone="Europe/Berlin", config={"dst_repeated": "order"})
    assert seconds(found) == instants
    assert repairs(found) == [("dst_repeated", 4, 4)]


@pytest.mark.parametrize(("policy", "offset_h"), [("first", 2), ("second", 1)])
def test_repeated_local_times_resolved_one_way(policy: str, offset_h: int) -> None:
    found = run(["2024-10-27 02:30:00"], zone="Europe/Berlin", config={"dst_repeated": policy})
    expected = dt.datetime(2024, 10, 27, 2, 30, tzinfo=UTC).timestamp() - 3600 * offset_h
    assert seconds(found) == [expected]


def test_order_cannot_resolve_a_single_pass() -> None:
    config = {"dst_repeated": "order"}
    texts = ["2024-10-27 02:00:00", "2024-10-27 02:30:00"]
    refused(0, "cannot tell the two passes", texts, zone="Europe/Berlin", config=config)


def test_skipped_local_times_are_refused_or_shifted() -> None:
    texts = ["2024-03-31 01:30:00", "2024-03-31 02:00:00", "2024-03-31 02:30:00"]
    refused(1, "does not exist in Europe/Berlin", texts, zone="Europe/Berlin")
    found = run(texts, zone="Europe/Berlin", config={"dst_missing": "shift"})
    assert np.diff(seconds(found)).tolist() == [1800, 1800]
    assert repairs(found) == [("dst_missing", 2, 1)]


@given(
    st.datetimes(dt.datetime(1995, 1, 1), dt.datetime(2037, 1, 1)),
    st.integers(1, 240),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai"]),
)
def test_an_honest_local_clock_reads_back_to_its_instants(
    start: dt.datetime, step_min: int, name: str
) -> None:
    first = start.replace(microsecond=0, tzinfo=UTC)
    instants = [first + dt.timedelta(minutes=step_min * i) for i in range(30)]
    zone = zoneinfo.ZoneInfo(name)
    texts = [t.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") for t in instants]
    found, problem = None, ""
    try:
        found = run(texts, zone=name, config={"dst_repeated": "order"})
    except SeriesValidationError as error:
        problem = str(error)
    if found is None:  # only an hour that is not seen twice cannot be resolved
        assert "two passes" in problem
        return
    assert seconds(found) == [t.timestamp() for t in instants]


@given(st.integers(631_152_000, 4_102_444_799), st.sampled_from(["s", "ms", "us", "ns"]))
def test_every_plausible_epoch_has_one_unit(epoch_s: int, unit: str) -> None:
    found = run([epoch_s * 10**9 // EPOCH_UNITS[unit]])
    assert found.series.timestamps.tolist() == [epoch_s * 10**9]
