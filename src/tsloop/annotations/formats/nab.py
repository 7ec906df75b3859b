"""NAB: windows (or single times) in which an anomaly may be reported, by the path of a data file.

A window is a zone of tolerance around a label and not the extent of an anomaly: what is read says
so, and is fit for counting events. ``[]`` means "no anomaly". Stamps are naive; they are written in
UTC, which a file beside them states (the scorer's own file has no place for it); others need a zone
when they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tsloop.annotations.formats.base import (
    Failure,
    ForeignLabel,
    ForeignRecord,
    Holds,
    OutFile,
    Reading,
    ReadOptions,
    Span,
    WriteContext,
)
from tsloop.annotations.formats.source import Source
from tsloop.annotations.formats.stamps import from_ns, to_ns
from tsloop.annotations.formats.values import as_text
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError
from tsloop.intervals import Status

__all__ = ["FORMAT", "ZONE_SCHEMA", "NabWindows"]

_WINDOWS = "combined_windows.json"
_ZONE = "combined_windows.zone.json"
ZONE_SCHEMA = "tsloop.nab-zone/1"


@dataclass(frozen=True, slots=True)
class NabWindows:
    """``combined_windows.json`` in and out, ``combined_labels.json`` in."""

    name = "nab"
    title = "NAB windows"
    holds = Holds(none=True, resolution_ns=1000)

    def recognises(self, source: Source) -> bool:
        """An object of lists: pairs of stamps, or stamps."""
        data = source.json
        if not isinstance(data, dict) or not data:
            return False
        return all(
            isinstance(windows, list) and all(_is_stamp(window) for window in windows)
            for windows in data.values()
        ) and all("." in key or not windows for key, windows in data.items())

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """One record per data file.

        Our own exports say in a file beside them that their times are in UTC; a zone that is given
        for files which name none does not change that.
        """
        zone = _zone_beside(source) or options.zone
        records: list[ForeignRecord] = []
        failures: list[Failure] = []
        for name, windows in source.json.items():
            place = f"{source.label}, {name}"
            try:
                spans = tuple(_span(window, zone) for window in windows)
            except AnnotationError as error:
                failures.append(Failure(place, str(error)))
                continue
            wide = any(isinstance(window, list) for window in windows)
            records.append(
                ForeignRecord(
                    place,
                    name,
                    Status.OK if spans else Status.NONE,
                    spans,
                    repairs=("windows of tolerance, wider than the anomaly",) if wide else (),
                    fields={"kind": "tolerance_window"} if wide else {},
                )
            )
        return Reading(self.name, tuple(records), tuple(failures), repairs=source.repairs)

    def write(
        self, records: Sequence[AnnotationRecord], context: WriteContext
    ) -> Iterator[OutFile]:
        """``combined_windows.json``, and the zone of its times in a file beside it."""
        windows: dict[str, Any] = {}
        for record in records:
            stamps = context.store[record.series_id].timestamps
            windows[_path(record.series_id)] = [
                [
                    from_ns(int(stamps[row]), 6, separator=" ", suffix="")
                    for row in (interval.start, interval.end)
                ]
                for interval in record.intervals
            ]
        text = json.dumps(windows, ensure_ascii=False, indent=4, sort_keys=True)
        content = text.encode() + b"\n"
        yield _WINDOWS, content
        about = {
            "schema": ZONE_SCHEMA,
            "zone": "UTC",
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        yield _ZONE, json.dumps(about, indent=1).encode() + b"\n"


FORMAT = NabWindows()


def _zone_beside(source: Source) -> str:
    """The zone that the file beside an export of ours states, where it speaks of these bytes."""
    beside = source.neighbour(_ZONE)
    said = beside.json if beside is not None else None
    if not isinstance(said, dict) or said.get("schema") != ZONE_SCHEMA:
        return ""
    same = said.get("sha256") == hashlib.sha256(source.data).hexdigest()
    return as_text(said.get("zone")) if same else ""


def _path(series_id: str) -> str:
    return series_id if series_id.endswith(".csv") else f"{series_id}.csv"


def _is_stamp(window: Any) -> bool:
    parts = window if isinstance(window, list) else [window]
    return bool(parts) and all(
        isinstance(part, str) and part[:4].isdigit() and part[4:5] == "-" for part in parts
    )


def _span(window: Any, zone: str) -> Span:
    parts = window if isinstance(window, list) else [window, window]
    if len(parts) != 2:
        raise AnnotationError(f"{window!r:.80} is no window of two stamps.")
    start, end = (to_ns(part, zone) for part in parts)
    return Span(ForeignLabel(), t_start=start, t_end=end)
