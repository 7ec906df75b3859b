"""Every fault of a record is named, not the first alone."""

from __future__ import annotations

from labelled_samples import T0, make_series, record_of

from tsloop.annotations.faults import fitting_faults, in_one_line, record_faults
from tsloop.labels import builtin_label_set

SERIES = make_series("pump")
LABELS = builtin_label_set()
GOOD = record_of(SERIES, (10, 20, "step_up"), (30, 40, "step_up"))


def test_all_parts_of_an_object_are_looked_at() -> None:
    row = GOOD.to_dict()
    assert record_faults(row) == []
    broken = {
        **row,
        "time": "yesterday",
        "series_sha256": "x",
        "intervals": [
            {"start": 5, "end": 3, "label": "step_up"},
            {"start": 1, "end": 10**6, "label": "step_up"},
            {"start": 1},
            row["intervals"][0],
        ],
    }
    found = record_faults(broken)
    assert len(found) == 5
    for part in ("'yesterday'", "not 64 hex", "[5, 3]", "lies outside the 600 rows", "lacks the"):
        assert any(part in fault for fault in found)


def test_what_no_part_shows_is_named_all_the_same() -> None:
    assert "must be 'tsloop.annotation/1'" in record_faults({})[0]
    (found,) = record_faults({**GOOD.to_dict(), "result": "none"})
    assert "does not go with 2 intervals" in found


def test_all_intervals_are_fitted() -> None:
    first, second = GOOD.intervals
    assert fitting_faults(GOOD, SERIES, LABELS) == []
    wrong = GOOD.replace(
        intervals=(
            first.replace(label="wobble", t_start=T0 + 1),
            second.replace(t_end=T0 + 2),
        )
    )
    found = fitting_faults(wrong, SERIES, LABELS)
    assert sum("wobble" in fault for fault in found) >= 1
    assert sum("the timestamps of interval" in fault for fault in found) == 2


def test_a_long_list_ends_with_a_count() -> None:
    assert in_one_line(["a.", "b."]) == "a. b."
    assert in_one_line([f"{n}." for n in range(9)]) == "0. 1. 2. 3. 4. … and 4 more"
