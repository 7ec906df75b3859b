"""Damaged files: a reader says so. It never fails in another way, and never finds "no anomaly"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance_tools import LABELS, MemoryStore, make_series
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.annotations.formats.base import ReadOptions, WriteContext
from tsloop.annotations.formats.exporting import export_records
from tsloop.annotations.formats.importing import read_files, read_source
from tsloop.annotations.formats.registry import FORMATS, all_formats, get_format
from tsloop.annotations.formats.source import Source
from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Basis, Interval, Status

SERIES = make_series("FI_101.PV", 40)
STORE = MemoryStore(SERIES)
OPTIONS = ReadOptions(zone="UTC", index_space="raw")
JUNK = [None, 7, -3.5, "x", float("nan"), True, [None], {"a": 1}, [[1]], "\ud800"]


def files_of(name: str) -> list[tuple[str, bytes]]:
    """What a format writes of one record with two intervals."""
    spans = [
        Interval(
            a,
            b,
            "step_up",
            reason="r",
            basis=Basis.HUMAN,
            t_start=int(SERIES.timestamps[a]),
            t_end=int(SERIES.timestamps[b]),
        )
        for a, b in ((3, 3), (7, 9))
    ]
    record = AnnotationRecord(
        SERIES.id,
        SERIES.sha256,
        len(SERIES),
        Status.OK,
        LABELS.ref,
        tuple(spans),
        overall={"trend": "increase"},
    )
    context = WriteContext(STORE, LABELS, picture=(60, 20))
    return [
        (file, data)
        for file, data in export_records(get_format(name), [record], context).files
        if get_format(name).recognises(Source(Path(file), data))
    ]


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values inside a document."""
    if path:
        yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        if key not in ("ts", "timeseries"):
            yield from nodes(item, (*path, key))


def damaged(document: Any, path: tuple[Any, ...], junk: Any) -> Any:
    copy = json.loads(json.dumps(document))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = junk
    return copy


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("trainset", "inference_csv")])
@settings(max_examples=25)
@given(data=st.data())
def test_a_junk_value_anywhere(name: str, data: st.DataObject) -> None:
    for file, content in files_of(name):
        document = json.loads(content)
        path = data.draw(st.sampled_from(list(nodes(document))))
        changed = damaged(document, path, data.draw(st.sampled_from(JUNK)))
        source = Source(Path(file), json.dumps(changed).encode())
        recognised = [item.name for item in all_formats() if item.recognises(source)]
        if name in recognised:
            reading = read_source(source, get_format(name), OPTIONS)
            assert not any(record.result is Status.NONE for record in reading.records)
            assert reading.records or reading.failures or reading.skipped


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25)
@given(data=st.data())
def test_bytes_cut_or_changed_anywhere(name: str, data: st.DataObject) -> None:
    for file, content in files_of(name):
        at = data.draw(st.integers(0, len(content) - 1))
        tail = data.draw(st.sampled_from([b"", b"\xff", b'"', b"]", b"\n", b"{"]))
        cut = content[:at] + tail + (content[at + 1 :] if data.draw(st.booleans()) else b"")
        source = Source(Path(file), cut)
        recognised = [item.name for item in all_formats() if item.recognises(source)]
        if name in recognised:
            reading = read_source(source, get_format(name), OPTIONS)
            assert not any(record.result is Status.NONE for record in reading.records)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[", b"[]", b"{}", b"null", b"7", b"\x00"])
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".txt"])
def test_empty_and_odd_files_get_an_account(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    (file,) = read_files([path], "auto", OPTIONS)
    assert file.account
    assert file.reading is None or (file.reading.records, len(file.reading.failures)) == ((), 1)
