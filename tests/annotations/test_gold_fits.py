"""Gold before it is scored against: it fits the stored series, the label set, and is blind."""

import numpy as np
import pytest
from labelled_samples import STEP_NS, T0, make_series, record_of

from tsloop.annotations.gold import append_gold, fit_gold, read_gold
from tsloop.errors import AnnotationError, LabelSetError
from tsloop.files import dump_json
from tsloop.intervals import Basis, Interval
from tsloop.labels import builtin_label_set
from tsloop.series.types import Role, Series

LABELS = builtin_label_set()
GOLD = make_series("gold1", role=Role.GOLD)
OTHER = make_series("gold2", role=Role.GOLD)


def gold_of(tmp_path, *records):
    """Gold as it lies on the disk, however it came there."""
    path = tmp_path / "gold.jsonl"
    path.write_text("".join(dump_json(record.to_dict()) + "\n" for record in records), "utf-8")
    return read_gold(path)


def with_interval(record, **changes):
    (interval,) = record.intervals
    return record.replace(intervals=(interval.replace(**changes),))


def test_gold_of_the_stored_content_stays_as_it_is(tmp_path, make_store) -> None:
    record = record_of(GOLD, (10, 20, "step_up"))
    gold = gold_of(tmp_path, record, record_of(OTHER))
    fitted = fit_gold(gold, make_store([GOLD, OTHER]), LABELS)
    assert fitted == gold
    assert fitted.remapped == ()


LABELLED = record_of(GOLD, (10, 20, "step_up"))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (with_interval(LABELLED, t_start=None, t_end=None).replace(series_sha256="0" * 64),
         "has no timestamps"),
        (record_of(GOLD, series_sha256="0" * 64), "has changed since it was found to be without"),
        (with_interval(LABELLED, t_start=T0 - 1).replace(series_sha256="0" * 64),
         "a time that the series no longer has"),
        (LABELLED.replace(n_rows=601), "it counts 601 rows, but the series has 600"),
        (with_interval(LABELLED, t_start=T0), "the timestamps of interval"),
        (with_interval(LABELLED, label="wobble"), "Label 'wobble' is not in label set tsloop@1"),
        (LABELLED.replace(label_set="other@3"), "speaks of label set other@3"),
        (with_interval(LABELLED, basis=Basis.MODEL), "gold must be labelled blind"),
        (with_interval(LABELLED, basis=Basis.EDITED), "gold must be labelled blind"),
        (LABELLED.replace(queue={"proposal": {"status": "ok"}}), "gold must be labelled blind"),
        (record_of(make_series("gone")), "the series store does not have it"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_against_is_refused(tmp_path, make_store, record, message) -> None:
    store = make_store([GOLD, OTHER])
    with pytest.raises(AnnotationError, match="1 gold records cannot be scored against") as error:
        fit_gold(gold_of(tmp_path, record, record_of(OTHER)), store, LABELS)
    assert message in str(error.value)


def test_all_faults_are_in_one_error(tmp_path, make_store) -> None:
    faults = [with_interval(LABELLED, label="wobble"), record_of(OTHER, n_rows=3)]
    with pytest.raises(LabelSetError, match=r"2 gold records .*\(1\) .*'gold1'.*\(2\) .*'gold2'"):
        fit_gold(gold_of(tmp_path, *faults), make_store([GOLD, OTHER]), LABELS)


def test_rows_follow_a_series_that_begins_later(tmp_path, make_store) -> None:
    """Equal row count, other content: the truth must not shift."""
    moved = Series("gold1", T0 + STEP_NS * (np.arange(600) + 7), GOLD.values, role=Role.GOLD)
    fitted = fit_gold(gold_of(tmp_path, LABELLED), make_store([moved]), LABELS)
    (interval,) = fitted.records["gold1"].intervals
    assert (interval.start, interval.end) == (3, 13)
    assert fitted.remapped == ("gold1",)
    assert fitted.records["gold1"].series_sha256 == moved.sha256
    assert fitted.content_hashes == {GOLD.sha256, moved.sha256}


def test_a_later_revision_mends_a_record(tmp_path, make_store) -> None:
    gold_of(tmp_path, with_interval(LABELLED, basis=Basis.MODEL))
    gold = append_gold(tmp_path / "gold.jsonl", [LABELLED.replace(revision=2)])
    assert fit_gold(gold, make_store([GOLD]), LABELS).records["gold1"].revision == 2


def test_overlapping_intervals_of_one_label_become_one_event(tmp_path, make_store) -> None:
    record = record_of(GOLD, (10, 20, "step_up"), (15, 30, "step_up"))
    fitted = fit_gold(gold_of(tmp_path, record), make_store([GOLD]), LABELS)
    assert [(i.start, i.end) for i in fitted.records["gold1"].intervals] == [(10, 30)]
    assert Interval(10, 20, "step_up") not in fitted.records["gold1"].intervals
