"""The rows of one point, page by page; a broken connection goes on where it broke."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsloop.errors import SourceError
from tsloop.sources._iotdb_config import IotdbConfig
from tsloop.sources._iotdb_paths import quote
from tsloop.sources._iotdb_times import from_unit, to_unit
from tsloop.sources._iotdb_wire import BrokenConnection, Connection

__all__ = ["NUMERIC", "Point", "Session", "point_rows", "point_span"]

NUMERIC = ("BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE")
"""Types of the server that are numbers; truth values are read as 0 and 1."""

_LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class Point:
    """One measurement of one device, its type, and the time that is wanted of it."""

    device: str
    name: str
    kind: str
    start: int | None = None
    end: int | None = None

    @property
    def path(self) -> str:
        """The path as a query takes it."""
        return f"{self.device}.{quote(self.name)}"


class Session:
    """A connection that is made when it is needed, and made again after it broke.

    ``reached`` is set once the server was there: sessions that share it wait for a server that
    goes, and none of them waits for one that never came.
    """

    def __init__(self, config: IotdbConfig, reached: threading.Event | None = None) -> None:
        self.config = config
        self._reached = reached or threading.Event()
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        """The open connection; making it may raise `BrokenConnection`."""
        if self._connection is None:
            self._connection = Connection(self.config)
            self._reached.set()
        return self._connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def wait(self, failures: int, error: BrokenConnection, what: str) -> None:
        """After the n-th failure in a row: wait before the next try, or give up."""
        self.close()
        if failures > self.config.retries or not self._reached.is_set():
            tried = "" if failures == 1 else f" {failures} times"
            raise SourceError(
                f"{what} failed{tried}: {error}.",
                hint="Check source.host, source.port and the server, then run it again; nothing "
                "was written. Where answers take too long, a smaller source.page_rows and "
                "source.fetch_rows or a larger source.timeout_s help.",
            ) from error
        time.sleep(min(self.config.retry_wait_s * 2 ** (failures - 1), _LONGEST_WAIT_S))

    def table(self, sql: str, what: str) -> list[dict[str, Any]]:
        """A small result as rows of name → value; tried again where the connection breaks."""
        failures = 0
        while True:
            try:
                names, _, parts = self.connection().query(sql)
                return [row for part in parts for row in _as_rows(names, part[1])]
            except BrokenConnection as error:
                failures += 1
                self.wait(failures, error, what)


def _as_rows(names: list[str], columns: list[Any]) -> Iterator[dict[str, Any]]:
    cells = [
        [None if gone else _plain(value) for value, gone in zip(values, missing, strict=True)]
        for values, missing in columns
    ]
    for row in zip(*cells, strict=True):
        yield dict(zip(names, row, strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.item() if hasattr(value, "item") else value


def point_rows(session: Session, point: Point) -> Iterator[tuple[Any, Any]]:
    """Timestamps (int64, in the server's unit) and values of a point, as arrow arrays, in order.

    Each query asks for one page, so that no query of the server lives long; the next one, also
    over a new connection, begins after the last row that has arrived.
    """
    config = session.config
    last: int | None = None
    left = config.max_rows or None
    failures = 0
    while True:
        limit = config.page_rows if left is None else min(left, config.page_rows)
        arrived = 0
        try:
            unit = session.connection().precision
            for times, values in _page(session.connection(), point, unit, last, limit):
                _check_order(point, unit, last, times)
                last, arrived, failures = int(times[-1]), arrived + len(times), 0
                yield pa.array(times), values
        except BrokenConnection as error:
            failures += 1
            so_far = "" if last is None else f" after {from_unit(last, unit)}"
            session.wait(failures, error, f"Reading {point.path}{so_far}")
            limit = arrived  # the page is not done, however little it held
        left = None if left is None else left - arrived
        if arrived < limit or left == 0:
            return


def _page(
    connection: Connection, point: Point, unit: str, last: int | None, limit: int
) -> Iterator[tuple[npt.NDArray[np.int64], Any]]:
    sql = f"select {quote(point.name)} from {point.device}{_where(point, unit, last)} limit {limit}"
    names, kinds, parts = connection.query(sql)
    if len(names) > 1:
        raise SourceError(f"{point.path} is not one series: the server gives {names[:5]}.")
    if kinds and kinds[0] not in NUMERIC:
        raise SourceError(f"{point.path} is of type {kinds[0]}, which holds no numbers.")
    for times, columns in parts:
        if times is not None and len(times):
            values, missing = columns[0]
            numbers = values.astype(np.int64) if values.dtype == bool else values
            yield times, pa.array(numbers, mask=missing)


def _where(point: Point, unit: str, last: int | None) -> str:
    """The condition in whole numbers of the server's unit: no zone of the server is involved."""
    parts = []
    if last is not None:
        parts.append(f"time > {last}")
    elif point.start is not None:
        parts.append(f"time >= {to_unit(point.start, unit, up=True)}")
    if point.end is not None:
        parts.append(f"time <= {to_unit(point.end, unit, up=False)}")
    return f" where {' and '.join(parts)}" if parts else ""


def _check_order(point: Point, unit: str, last: int | None, times: npt.NDArray[np.int64]) -> None:
    falls = np.diff(times, prepend=times[0] - 1 if last is None else last) <= 0
    if falls.any():
        place = from_unit(int(times[int(np.argmax(falls))]), unit)
        raise SourceError(f"{point.path}: the server gives {place} out of order.")


def point_span(session: Session, point: Point) -> str:
    """In which time the server has rows of a point, as text for messages."""
    name = quote(point.name)
    sql = f"select min_time({name}), max_time({name}) from {point.device}"
    rows = session.table(sql, f"Asking for the time of {point.path}")
    found = [value for value in (rows[0].values() if rows else ()) if value is not None]
    if len(found) != 2:
        return "it has none at all"
    unit = session.connection().precision
    first, last = (from_unit(int(value), unit) for value in found)
    return f"it has rows from {first} to {last}"
