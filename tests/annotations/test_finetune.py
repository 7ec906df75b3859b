"""Fine-tuning rows: every interval appears, values are as measured, sizes stay modest."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_samples import make_series

from tsloop.annotations.examples import Example
from tsloop.annotations.finetune import anomaly_windows, clean_windows, finetune_rows
from tsloop.annotations.split import SplitConfig
from tsloop.files import dump_json
from tsloop.grammar import PLACEHOLDER, parse_answer
from tsloop.intervals import Interval, Status, to_mask
from tsloop.labels import builtin_label_set

LABELS = builtin_label_set()


def example_of(*spans: tuple[int, int], n_rows: int = 3000, series_id: str = "a", **more: object):
    series = make_series(series_id, n_rows, **more)
    return Example(series, tuple(Interval(s, e, "step_up", reason="level") for s, e in spans))


def check_row(row: dict, config: SplitConfig) -> list[Interval]:
    assert set(row) == {"input", "output", "timeseries"}
    (values,) = row["timeseries"]
    assert row["input"].count(PLACEHOLDER) == 1
    assert "<" not in row["output"]
    assert 0 < len(values) <= config.window
    answer = parse_answer(row["output"], len(values), LABELS)
    assert answer.form == "ok"
    assert str(len(values)) in row["input"]
    assert json.loads(dump_json(row)) == row
    return list(answer.intervals)


examples = st.builds(
    lambda n, spans: example_of(*[(s % n, min(s % n + d, n - 1)) for s, d in spans], n_rows=n),
    st.integers(1, 900),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 300)), max_size=12),
)


@settings(deadline=None)
@given(examples, st.sampled_from([64, 100, 1024]), st.integers(1, 5))
def test_every_labelled_row_is_shown(example, window, most) -> None:
    config = SplitConfig(window=window, max_answer_intervals=most)
    n = len(example.series)
    shown = np.zeros(n, dtype=bool)
    for first, stop in anomaly_windows(example, config, seed=3):
        assert 0 <= first < stop <= min(n, first + window)
        shown[first:stop] = True
    mask = to_mask(example.intervals, n)
    long_ones = [i for i in example.intervals if len(i) > 3 * window]
    if not long_ones:
        assert shown[mask].all()
    for interval in example.intervals:
        assert shown[interval.start]
        assert shown[interval.end]


@settings(deadline=None)
@given(examples)
def test_clean_windows_hold_no_label(example) -> None:
    mask = to_mask(example.intervals, len(example.series))
    for first, stop in clean_windows(example, 128):
        assert 64 <= stop - first <= 128
        assert not mask[first:stop].any()


def test_rows_are_half_with_and_half_without_anomalies() -> None:
    config = SplitConfig(window=256)
    some = [example_of((500, 520), (530, 530), (2000, 2100)), example_of(series_id="b")]
    rows, report = finetune_rows(some, config, LABELS, seed=0)
    found = [check_row(row, config) for row in rows]
    with_anomaly = [intervals for intervals in found if intervals]
    assert len(with_anomaly) * 2 == len(rows) == report["windows"]
    assert report["windows_anomalous"] == report["windows_clean"] == len(with_anomaly)
    assert report["intervals"] == 3
    assert all(i.label == "step_up" and i.reason == "level" for f in found for i in f)
    assert finetune_rows(some, config, LABELS, seed=0)[0] == rows
    assert finetune_rows(some, config, LABELS, seed=1)[0] != rows


def test_only_clean_examples_give_clean_rows() -> None:
    config = SplitConfig(window=256)
    rows, report = finetune_rows(
        [example_of(), example_of(series_id="b"), example_of(series_id="c", n_rows=40)],
        config,
        LABELS,
        0,
    )
    assert report["windows_clean"] == 3
    for row in rows:
        assert check_row(row, config) == []
        assert row["output"] == "[]"
    assert finetune_rows([], config, LABELS, 0) == (
        [],
        {"windows": 0, "windows_anomalous": 0, "windows_clean": 0},
    )


def test_a_dense_window_is_split_and_nothing_dropped() -> None:
    config = SplitConfig(window=1024, max_answer_intervals=8)
    dense = example_of(*[(10 * n, 10 * n + 2) for n in range(200)])
    rows, report = finetune_rows([dense], config, LABELS, 0)
    answers = [check_row(row, config) for row in rows]
    assert all(len(answer) <= 8 for answer in answers)
    assert report["answers"] >= 200
    assert report["intervals"] == 200


def test_a_long_interval_is_shown_at_begin_middle_and_end() -> None:
    config = SplitConfig(window=128)
    rows, report = finetune_rows([example_of((100, 2900))], config, LABELS, 0)
    anomalous = [a for a in (check_row(row, config) for row in rows) if a]
    assert report["intervals_shortened"] == 1
    assert report["answers_cut"] == len(anomalous) == 3


def test_gaps_are_bridged_and_said() -> None:
    values = np.arange(300, dtype=float)
    values[[5, 6, 7]] = np.nan
    series = make_series("a", values=values)
    config = SplitConfig(language="en")
    rows, report = finetune_rows([Example(series, (Interval(5, 9, "dropout"),))], config, LABELS, 0)
    row = rows[0]
    assert row["timeseries"][0][4:9] == [4.0, 5.0, 6.0, 7.0, 8.0]
    assert "3 of the samples were missing" in row["input"]
    assert report["samples_interpolated"] == 3
    whole, _ = finetune_rows([Example(make_series("b", 300), (Interval(5, 9),))], config, LABELS, 0)
    assert "missing" not in whole[0]["input"]


def test_an_example_without_values_is_counted() -> None:
    series = make_series("a", values=np.full(300, np.nan))
    rows, report = finetune_rows(
        [Example(series, (Interval(5, 9, "dropout"),))], SplitConfig(), LABELS, 0
    )
    assert rows == []
    assert report["examples_without_values"] == report["intervals_without_values"] == 1


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e12, 1e12), min_size=64, max_size=80),
    st.sampled_from([1e-9, 1.0, 1e9]),
)
def test_values_are_raw_to_a_millionth_of_their_range(values, scale) -> None:
    series = make_series("a", values=np.array(values) * scale)
    config = SplitConfig()
    rows, _ = finetune_rows([Example(series, (Interval(0, 0),))], config, LABELS, 0)
    written = np.array(rows[0]["timeseries"][0])
    spread = np.ptp(series.values)
    assert len(written) == len(values)
    assert rows[0]["output"] == '[{"interval":[0,0],"label":"anomaly"}]'
    tolerance = 1e-6 * spread + 4 * np.spacing(np.abs(series.values).max())
    assert (np.abs(written - series.values) <= tolerance).all()


def test_explicit_none_reads_back_as_none() -> None:
    rows, _ = finetune_rows([example_of()], SplitConfig(), LABELS, 0)
    (values,) = rows[0]["timeseries"]
    assert parse_answer(rows[0]["output"], len(values), LABELS).status is Status.NONE
