"""The calls of the IoTDB service that a reader of series makes."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from iotdb.thrift.common.ttypes import TSStatus
from iotdb.thrift.rpc import IClientRPCService, ttypes
from thrift.transport.TTransport import TTransportException

from tsloop.testing._iotdb_data import Column, Database, SqlError, nodes_of, pack_block, spelled

__all__ = ["Service"]

_PATH = r"(?:`(?:[^`]|``)+`|[^\s`,()])+"
_SELECT = re.compile(
    rf"select\s+(?P<what>.+?)\s+from\s+(?P<device>{_PATH})"
    r"(?:\s+where\s+(?P<where>.+?))?(?:\s+limit\s+(?P<limit>\d+))?",
    re.IGNORECASE | re.DOTALL,
)
_SHOW = re.compile(rf"show\s+timeseries\s+(?P<path>{_PATH})", re.IGNORECASE)
_TERM = re.compile(r"time\s*(>=|<=|>|<|=)\s*(-?\d+)", re.IGNORECASE)
_CALL = re.compile(rf"(min_time|max_time|count)\((?P<path>{_PATH})\)", re.IGNORECASE)
_LISTED = ("Timeseries", "Alias", "Database", "DataType", "Encoding", "Compression")


@dataclass
class _Cursor:
    """A running query: its columns and the blocks that were not fetched yet."""

    names: list[str]
    kinds: list[str]
    blocks: Iterator[tuple[int, bytes]]
    timed: bool = True
    ahead: list[tuple[int, bytes]] = field(default_factory=list)

    def take(self, rows: int) -> tuple[list[bytes], bool]:
        """Blocks of at least one and at most about so many rows; whether more follow."""
        taken: list[bytes] = []
        while rows > 0:
            self.ahead = self.ahead or list(itertools.islice(self.blocks, 1))
            if not self.ahead:
                return taken, False
            n, block = self.ahead.pop()
            taken.append(block)
            rows -= n
        self.ahead = list(itertools.islice(self.blocks, 1))
        return taken, bool(self.ahead)


class Service:
    """State of the server; `processor` makes the handler of one connection."""

    def __init__(
        self,
        database: Database,
        user: str,
        password: str,
        precision: str,
        *,
        announce: bool,
        block_rows: int,
    ) -> None:
        self.database = database
        self.statements: list[str] = []
        self._login = (user, password)
        self._precision, self._announce, self._block_rows = precision, announce, block_rows
        self._ids = itertools.count(1)
        self._sessions: set[int] = set()
        self._cursors: dict[int, _Cursor] = {}
        self._lock = threading.Lock()
        self._breaks: list[int] = []

    def processor(self) -> Any:
        """A processor for one connection."""
        return IClientRPCService.Processor(self)

    def break_after(self, answers: int, times: int) -> None:
        """See `IotdbServer.break_after`."""
        self._breaks = [answers] * times

    def _count_answer(self) -> None:
        with self._lock:
            if not self._breaks:
                return
            self._breaks[0] -= 1
            if self._breaks[0] >= 0:
                return
            self._breaks.pop(0)
        # The one exception that the processor lets through, so that the connection is closed.
        raise TTransportException(message="lost on purpose")

    # The names of the calls are those of the service.
    def openSession(self, req: Any) -> Any:  # noqa: N802
        """Check the password."""
        if (req.username, req.password) != self._login:
            status = TSStatus(801, "Authentication failed.")
            return ttypes.TSOpenSessionResp(status, serverProtocolVersion=2)
        session = next(self._ids)
        self._sessions.add(session)
        told = {"timestamp_precision": self._precision} if self._announce else None
        return ttypes.TSOpenSessionResp(TSStatus(200), 2, session, told)

    def closeSession(self, req: Any) -> Any:  # noqa: N802
        """Forget a session."""
        self._sessions.discard(req.sessionId)
        return TSStatus(200)

    def requestStatementId(self, sessionId: int) -> int:  # noqa: N802
        """A number for the statements of a session."""
        return next(self._ids)

    def setTimeZone(self, req: Any) -> Any:  # noqa: N802
        """No statement that is understood depends on the zone."""
        return TSStatus(200)

    def getProperties(self) -> Any:  # noqa: N802
        """What the server says about itself."""
        return ttypes.ServerProperties(
            "2.0.11", [], self._precision, maxConcurrentClientNum=100, isReadOnly=True
        )

    def executeQueryStatementV2(self, req: Any) -> Any:  # noqa: N802
        """Begin a query; the answer has its first blocks."""
        self.statements.append(req.statement)
        self._count_answer()
        if req.sessionId not in self._sessions:
            return ttypes.TSExecuteStatementResp(TSStatus(802, "Log in first."))
        try:
            cursor = self._query(req.statement.strip().rstrip(";"))
        except SqlError as error:
            return ttypes.TSExecuteStatementResp(TSStatus(error.code, str(error)))
        query_id = next(self._ids)
        blocks, more = cursor.take(req.fetchSize or self._block_rows)
        self._cursors[query_id] = cursor
        return ttypes.TSExecuteStatementResp(
            TSStatus(200),
            queryId=query_id,
            columns=cursor.names,
            dataTypeList=cursor.kinds,
            columnNameIndexMap={name: i for i, name in enumerate(cursor.names)},
            ignoreTimeStamp=not cursor.timed,
            queryResult=blocks,
            moreData=more,
        )

    def fetchResultsV2(self, req: Any) -> Any:  # noqa: N802
        """The next blocks of a query."""
        self._count_answer()
        blocks, more = self._cursors[req.queryId].take(req.fetchSize)
        return ttypes.TSFetchResultsResp(
            TSStatus(200), bool(blocks), True, queryResult=blocks, moreData=more
        )

    def closeOperation(self, req: Any) -> Any:  # noqa: N802
        """Forget a query."""
        self._cursors.pop(req.queryId, None)
        return TSStatus(200)

    def _query(self, sql: str) -> _Cursor:
        if match := _SHOW.fullmatch(sql):
            return self._show(match["path"])
        match = _SELECT.fullmatch(sql)
        if match is None:
            raise SqlError(700, f"line 1:0 mismatched input {sql[:20]!r}")
        calls = list(_CALL.finditer(match["what"]))
        if calls:
            return self._aggregate(match["device"], calls)
        column, name = self._column(match["device"], match["what"])
        if column is None:
            return _Cursor([], [], iter(()))
        first, stop = _bounds(column, match["where"])
        if match["limit"]:
            stop = min(stop, first + int(match["limit"]))
        return _Cursor([name], [column.kind], self._blocks(column, first, stop))

    def _column(self, device: str, what: str) -> tuple[Column | None, str]:
        found = self.database.columns.get(nodes_of(f"{device}.{what}"))
        return found, spelled(nodes_of(f"{device}.{what}"))

    def _blocks(self, column: Column, first: int, stop: int) -> Iterator[tuple[int, bytes]]:
        for begin in range(first, stop, self._block_rows):
            rows = slice(begin, min(begin + self._block_rows, stop))
            block = pack_block(column.times[rows], [(column.kind, column.values[rows])])
            yield rows.stop - rows.start, block

    def _show(self, path: str) -> _Cursor:
        found = self.database.matching(path)
        cells = [
            [spelled(nodes), None, spelled(nodes[:2]), column.kind, "PLAIN", "LZ4"]
            for nodes, column in found
        ]
        columns = [("TEXT", np.array(list(column), object)) for column in zip(*cells, strict=True)]
        block = pack_block(np.arange(len(found)), columns)
        blocks = iter([(len(found), block)] if found else [])
        return _Cursor(list(_LISTED), ["TEXT"] * len(_LISTED), blocks, timed=False)

    def _aggregate(self, device: str, calls: list[re.Match[str]]) -> _Cursor:
        names, columns = [], []
        for call in calls:
            column, name = self._column(device, call["path"])
            function = call[1].lower()
            value = None
            if column is not None and len(column.times):
                ends = {"min_time": column.times[0], "max_time": column.times[-1]}
                value = int(ends.get(function, len(column.times)))
            names.append(f"{function}({name})")
            columns.append(("INT64", np.array([value], object)))
        block = pack_block(np.zeros(1, np.int64), columns)
        return _Cursor(names, ["INT64"] * len(names), iter([(1, block)]), timed=False)


def _bounds(column: Column, where: str | None) -> tuple[int, int]:
    """First row and the row after the last that the conditions on the time let through."""
    first, stop = 0, len(column.times)
    for term in re.split(r"\s+and\s+", where, flags=re.IGNORECASE) if where else ():
        match = _TERM.fullmatch(term.strip())
        if match is None:
            raise SqlError(700, f"mismatched input {term!r}")
        sign, number = match[1], int(match[2])
        if sign in (">=", "="):
            first = max(first, int(np.searchsorted(column.times, number, "left")))
        if sign == ">":
            first = max(first, int(np.searchsorted(column.times, number, "right")))
        if sign in ("<=", "="):
            stop = min(stop, int(np.searchsorted(column.times, number, "right")))
        if sign == "<":
            stop = min(stop, int(np.searchsorted(column.times, number, "left")))
    return first, max(first, stop)
