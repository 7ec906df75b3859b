"""One suite for every format: canonical → format → canonical is the identity on what it holds."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
from conformance_tools import (
    LABELS,
    MemoryStore,
    make_series,
    records_of,
    round_trip,
    without_origin,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.annotations.blind import Blindness, blindness
from tsloop.annotations.formats.base import Bases, Holds, Join, WriteContext
from tsloop.annotations.formats.exporting import export_records
from tsloop.annotations.formats.losses import held_part, losses_of
from tsloop.annotations.formats.registry import FORMATS, detect_format, get_format
from tsloop.annotations.formats.source import Source
from tsloop.annotations.record import DRAFT, AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Basis, Interval, Status

ONE, TWO = make_series("plant/FI_101.PV"), make_series("温度 2", 41, seed=1)
STORE = MemoryStore(ONE, TWO)

COMPANIONS = {
    "inference_csv": {"segments", "metrics"},
    "segments": {"metrics"},
    "metrics": {"segments"},
}
"""Formats whose files are written beside those of another one."""

FORMAT_NAMES = pytest.mark.parametrize("name", FORMATS)


def has_mixed_overlap(record: AnnotationRecord) -> bool:
    pairs = itertools.combinations(record.intervals, 2)
    return any(one.overlap(other) and one.label != other.label for one, other in pairs)


@FORMAT_NAMES
@settings(max_examples=15)
@given(
    records=st.tuples(records_of(ONE), records_of(TWO)),
    language=st.sampled_from(["zh", "en"]),
)
def test_what_a_format_holds_comes_back(
    name: str, records: tuple[AnnotationRecord, ...], language: str
) -> None:
    target = get_format(name)
    expected = [held_part(record, target.holds, LABELS) for record in records]
    if not target.holds.mixed_overlaps:
        fits = [not has_mixed_overlap(record) for record in records]
        expected = [held if fit else None for held, fit in zip(expected, fits, strict=True)]
    with tempfile.TemporaryDirectory() as directory:
        bound, reading = round_trip(target, list(records), STORE, Path(directory), language)
    assert reading.failures == ()
    assert [without_origin(item.record) for item in bound] == [
        without_origin(record) for record in expected if record is not None
    ]
    assert [item.doubts for item in bound] == [()] * len(bound)
    if target.holds.bases is not Bases.IMPORTED:
        wanted = [
            DRAFT in record.extra
            or target.holds.bases is Bases.MODEL
            or any(i.basis is Basis.MODEL for i in held.intervals)
            for record, held in zip(records, expected, strict=True)
            if held is not None
        ]
        assert [item.proposed for item in bound] == wanted


@FORMAT_NAMES
@settings(max_examples=6)
@given(record=records_of(ONE))
def test_losses_are_told_and_nothing_is_lost_twice(name: str, record: AnnotationRecord) -> None:
    """What a format holds can be written again without any loss, and to the same bytes."""
    target = get_format(name)
    held = held_part(record, target.holds, LABELS)
    lost = losses_of([record], target.holds, LABELS)
    if held is None:
        assert [loss.part for loss in lost] == ["none"]
        return
    plain = record.replace(revision=1, comment="", extra={}, queue=None)
    plain = plain.replace(
        intervals=tuple(i.replace(basis=i.basis or Basis.IMPORTED) for i in plain.intervals)
    )
    assert (held.replace(extra={}) == plain) <= (losses_of([plain], target.holds, LABELS) == [])
    assert losses_of([held.replace(extra={})], target.holds, LABELS) == []
    assert held_part(held, target.holds, LABELS) == held


@FORMAT_NAMES
def test_a_model_that_found_nothing_does_not_come_back_as_blind(name: str, tmp_path: Path) -> None:
    draft = AnnotationRecord(
        ONE.id, ONE.sha256, len(ONE), Status.NONE, LABELS.ref, extra={DRAFT: "detected by x"}
    )
    assert blindness(draft) is Blindness.NO
    target = get_format(name)
    bound, _ = round_trip(target, [draft], STORE, tmp_path)
    found = [blindness(item.record) for item in bound]
    assert Blindness.YES not in found
    if target.holds.origins or target.holds.bases in (Bases.MODEL, Bases.BY_RECORD):
        assert set(found) == {Blindness.NO}


@FORMAT_NAMES
def test_a_file_is_recognised_as_its_own_format_alone(name: str, tmp_path: Path) -> None:
    """Two spellings of one format may share their documents; everything else is told apart."""
    target = get_format(name)
    spans = (Interval(3, 3, "step_up"), Interval(7, 9, "dropout"))
    stamped = tuple(
        i.replace(t_start=int(ONE.timestamps[i.start]), t_end=int(ONE.timestamps[i.end]))
        for i in spans
    )
    record = AnnotationRecord(ONE.id, ONE.sha256, len(ONE), Status.OK, LABELS.ref, stamped)
    files = list(export_records(target, [record], WriteContext(STORE, LABELS)).files)
    for file_name, data in files:
        (tmp_path / file_name).parent.mkdir(exist_ok=True)
        (tmp_path / file_name).write_bytes(data)
    found = [detect_format(Source.open(tmp_path / file_name)) for file_name, _ in files]
    recognised = {item.name for item in found if item is not None}
    assert name in recognised
    assert recognised - {name} <= COMPANIONS.get(name, set())


@FORMAT_NAMES
def test_equal_records_give_equal_bytes(name: str) -> None:
    target = get_format(name)
    record = AnnotationRecord(
        ONE.id, ONE.sha256, len(ONE), Status.OK, LABELS.ref, (Interval(3, 4),)
    )
    context = WriteContext(STORE, LABELS)
    first, second = (list(export_records(target, [record], context).files) for _ in range(2))
    assert first == second


@FORMAT_NAMES
def test_labels_of_changed_series_are_not_written(name: str) -> None:
    record = AnnotationRecord(ONE.id, "0" * 64, len(ONE), Status.OK, LABELS.ref, (Interval(3, 4),))
    with pytest.raises(AnnotationError, match="has changed since"):
        export_records(get_format(name), [record], WriteContext(STORE, LABELS))


def test_no_format_claims_to_hold_nothing() -> None:
    """The defaults of `Holds` are the least that a format may hold."""
    least = Holds()
    assert (least.none, least.labels, least.join) == (False, False, Join.NOTHING)
    with pytest.raises(AnnotationError, match=r"no format 'xml'.*annotator_v2"):
        get_format("xml")
