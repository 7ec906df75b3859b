"""An IoTDB server: measurements of devices, over a stretch of time.

The id of a series is the device path without ``root.``, a slash, and the measurement:
``plant.unit1/FI_10401C.PV``. Timestamps stay the server's own numbers, in the unit that the server
states; rows that it does not have are gaps and are not filled in. Nothing depends on how an answer
was cut into pieces, nor on a connection that broke meanwhile: the same request gives the same
series as long as the server holds the same rows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from tsloop.errors import SourceError
from tsloop.series.raw import RawSeries
from tsloop.sources._files import mark
from tsloop.sources._iotdb_config import PASSWORD, IotdbConfig
from tsloop.sources._iotdb_listing import find_points
from tsloop.sources._iotdb_points import requests
from tsloop.sources._iotdb_rows import Point, Session, point_rows, point_span
from tsloop.sources._iotdb_times import from_unit
from tsloop.sources.base import Source

__all__ = ["PASSWORD", "IotdbConfig", "IotdbSource"]


class IotdbSource(Source):
    """Reads a server; each thread has a connection of its own."""

    kind: ClassVar[str] = "iotdb"
    config_class: ClassVar[type[Any]] = IotdbConfig

    def __init__(self, config: IotdbConfig) -> None:
        self.config = config
        self.jobs = config.jobs
        self._threads = threading.local()
        self._reached = threading.Event()
        self._sessions: dict[int, Session] = {}

    def list(self) -> list[str]:
        return list(self._points)

    def read(self, name: str) -> RawSeries:
        parts = list(self.parts(name))
        if not parts:
            raise SourceError(self._nothing(name))
        times = pa.chunked_array([part.timestamps for part in parts])
        values = pa.chunked_array([part.values for part in parts])
        return self._series(name, times, values)

    def parts(self, name: str) -> Iterator[RawSeries]:
        """The series in pieces of at most ``source.fetch_rows`` rows or so, as they arrive."""
        point = self._point(name)
        empty = True
        for times, values in point_rows(self._session, point):
            empty = False
            yield self._series(name, times, values)
        if empty and self.config.empty == "error":
            raise SourceError(
                self._nothing(name), hint="Widen the range, or set source.empty=skip."
            )

    def inputs(self) -> dict[str, str]:
        """The point list, if there is one; what the server holds cannot be told cheaply."""
        path = self.config.points_file
        return {path: mark(Path(path))} if path else {}

    def close(self) -> None:
        while self._sessions:
            self._sessions.popitem()[1].close()
        self._threads = threading.local()

    @property
    def _session(self) -> Session:
        """The connection of this thread."""
        if not hasattr(self._threads, "session"):
            self._threads.session = Session(self.config, self._reached)
            self._sessions[threading.get_ident()] = self._threads.session
        session: Session = self._threads.session
        return session

    def _point(self, name: str) -> Point:
        point = self._points.get(name)
        if point is None:
            raise SourceError(f"The IoTDB server has no series {name!r} that is asked for.")
        return point

    def _series(self, name: str, times: Any, values: Any) -> RawSeries:
        point = self._point(name)
        meta = {"device": point.device, "measurement": point.name, "type": point.kind}
        return RawSeries(
            name,
            times,
            values,
            group=point.device if self.config.group_by == "device" else name,
            zone=self.config.zone,
            epoch_unit=self._session.connection().precision,
            timestamp_column="Time",
            value_column=point.name,
            meta=meta,
        )

    def _nothing(self, name: str) -> str:
        point = self._point(name)
        bounds = [None if t is None else from_unit(t, "ns") for t in (point.start, point.end)]
        asked = f"from {bounds[0] or 'its beginning'} to {bounds[1] or 'its end'}"
        return f"{point.path} has no row {asked}; {point_span(self._session, point)}."

    @cached_property
    def _points(self) -> dict[str, Point]:
        found = find_points(self._session, requests(self.config))
        return {name: found[name] for name in sorted(found)[: self.config.limit or None]}
