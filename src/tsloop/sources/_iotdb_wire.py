"""One connection to an IoTDB server, over the service that the official client generates.

Not over the client's ``Session``: that one tells errors by text alone, takes milliseconds for
granted where a server does not state its precision, turns every answer into a data frame, and
changes the warning filters of the whole process when it is imported.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.errors import MissingExtraError, SourceError
from tsloop.series.policies import EPOCH_UNITS
from tsloop.sources._iotdb_config import PASSWORD, IotdbConfig

__all__ = ["BrokenConnection", "Connection", "Rows"]

Rows = tuple[npt.NDArray[np.int64] | None, list[Any]]
"""Timestamps, shape ``(n,)``, and per column an object or number array with a mask of its nulls."""

_OK = (200, 400)  # 400: another node would be nearer
_FOR_NOW = frozenset({602, 709, 712, 714, 717, 719, 720, 721, 802, 1014})
"""Codes of a server that starts, has too much to do, timed out or forgot the session."""
_PROTOCOL_V3 = 2
_NATIVE = {1: "i4", 2: "i8", 3: "f4", 4: "f8", 8: "i8", 9: "i4"}


class BrokenConnection(Exception):  # noqa: N818 (an event that is dealt with, not a fault to show)
    """The connection is gone or was never made; another one may be tried."""


class Connection:
    """An open session. ``precision`` is the unit of the server's timestamps (ms, us or ns)."""

    def __init__(self, config: IotdbConfig) -> None:
        self._config = config
        self._where = f"the IoTDB server at {config.host}:{config.port}"
        self._api = _api()
        self._gone = False
        self._transport = self._open_transport()
        protocol = self._api.TBinaryProtocol.TBinaryProtocolAccelerated(self._transport)
        self._client = self._api.service.Client(protocol)
        try:
            self._session, self.precision = self._open_session()
            self._statement = self._call("requestStatementId", self._session)
        except BaseException:
            self._hang_up()
            raise

    def close(self) -> None:
        """End the session, as far as there still is one."""
        with suppress(BrokenConnection, SourceError):
            self._call("closeSession", self._api.types.TSCloseSessionReq(self._session))
        self._hang_up()

    def _hang_up(self) -> None:
        if not self._gone:  # thrift cannot close an encrypted connection twice
            self._gone = True
            self._transport.close()

    def query(self, sql: str) -> tuple[list[str], list[str], Iterator[Rows]]:
        """Names and types of the columns of a query, and its rows, one answer after the other."""
        config, types = self._config, self._api.types
        request = types.TSExecuteStatementReq(
            self._session, sql, self._statement, config.fetch_rows, round(config.timeout_s * 1000)
        )
        reply = self._call("executeQueryStatementV2", request)
        self._check(reply.status, sql)
        names = list(reply.columns or ())
        order = reply.columnIndex2TsBlockColumnIndexList or range(len(names))
        return names, list(reply.dataTypeList or ()), self._rows(sql, reply, list(order))

    def _rows(self, sql: str, reply: Any, order: list[int]) -> Iterator[Rows]:
        types = self._api.types
        query_id, timed = reply.queryId, not reply.ignoreTimeStamp
        more, blocks = bool(reply.moreData), reply.queryResult
        try:
            while True:
                for block in blocks or ():
                    yield self._decode(block, order, timed)
                if not more:
                    return
                request = types.TSFetchResultsReq(
                    self._session,
                    sql,
                    self._config.fetch_rows,
                    query_id,
                    True,
                    round(self._config.timeout_s * 1000),
                    self._statement,
                )
                reply = self._call("fetchResultsV2", request)
                self._check(reply.status, sql)
                more = bool(reply.hasResultSet and reply.moreData)
                blocks = reply.queryResult if reply.hasResultSet else ()
        finally:
            with suppress(BrokenConnection, SourceError):
                done = types.TSCloseOperationReq(self._session, query_id, self._statement)
                self._call("closeOperation", done)

    def _decode(self, block: bytes, order: list[int], timed: bool) -> Rows:
        times, values, nulls, n = self._api.deserialize(memoryview(block))
        types = np.frombuffer(block, np.uint8, int.from_bytes(block[:4], "big"), 4)
        columns = [
            _column(values[place], nulls[place], int(types[place]), int(n)) for place in order
        ]
        return (np.asarray(times, np.int64) if timed else None), columns

    def _call(self, name: str, *arguments: Any) -> Any:
        """One call of the service; a connection that fails on the way is `BrokenConnection`."""
        if self._gone:
            raise BrokenConnection(f"{self._where}: the connection is closed")
        try:
            return getattr(self._client, name)(*arguments)
        except (self._api.TTransport.TTransportException, OSError, EOFError) as error:
            self._hang_up()
            raise BrokenConnection(f"{self._where}: {error or type(error).__name__}") from error
        except self._api.TException as error:
            self._hang_up()
            raise SourceError(
                f"{self._where} does not answer as IoTDB does: {error or type(error).__name__}.",
                hint="Check source.host, source.port and source.ssl, and the server's log.",
            ) from error

    def _check(self, status: Any, sql: str) -> None:
        if status.code in _OK:
            return
        if status.code in _FOR_NOW:
            raise BrokenConnection(
                f"{self._where} cannot answer now ({status.code}: {status.message})"
            )
        raise SourceError(
            f"{self._where} refuses a query ({status.code}: {status.message}): {sql}",
            hint="Check the paths and what the account may read, and the server's log.",
        )

    def _open_transport(self) -> Any:
        config, api = self._config, self._api
        if config.ssl:
            context = _trust(config.ca_certs)
            socket = api.TSSLSocket.TSSLSocket(config.host, config.port, ssl_context=context)
        else:
            socket = api.TSocket.TSocket(config.host, config.port)
        socket.setTimeout(round(config.timeout_s * 1000))
        transport = api.TTransport.TFramedTransport(socket)
        try:
            transport.open()
        except (api.TTransport.TTransportException, OSError) as error:
            reason = getattr(error, "inner", None) or error
            raise BrokenConnection(f"{self._where} cannot be reached: {reason}") from error
        return transport

    def _open_session(self) -> tuple[int, str]:
        config = self._config
        request = self._api.types.TSOpenSessionReq(
            client_protocol=_PROTOCOL_V3,
            zoneId="UTC",
            username=config.user,
            password=_password(config),
            configuration={"version": "V_1_0", "sql_dialect": "tree"},
        )
        reply = self._call("openSession", request)
        if reply.status.code in _FOR_NOW:
            raise BrokenConnection(f"{self._where} lets nobody in now ({reply.status.message})")
        if reply.status.code not in _OK:
            raise SourceError(
                f"{self._where} refuses user {config.user!r} "
                f"({reply.status.code}: {reply.status.message}).",
                hint=f"Check source.user and the password in {PASSWORD}.",
            )
        stated = (reply.configuration or {}).get("timestamp_precision")
        precision = stated or self._call("getProperties").timestampPrecision
        if precision not in EPOCH_UNITS:
            raise SourceError(f"{self._where} counts time in {precision!r}, which is not known.")
        return reply.sessionId, str(precision)


def _trust(ca_certs: str) -> ssl.SSLContext:
    """Whom to believe: the authorities in a file, or those of the system; names are checked."""
    try:
        return ssl.create_default_context(cafile=ca_certs or None)
    except OSError as error:
        raise SourceError(
            f"source.ca_certs={ca_certs!r} cannot be used: {error}.",
            hint="Give a file with certificates in PEM.",
        ) from error


def _password(config: IotdbConfig) -> str:
    password = os.environ.get(PASSWORD)
    if password is None:
        raise SourceError(
            f"The password of user {config.user!r} is not set.",
            hint=f"Set it in the environment: export {PASSWORD}=…",
        )
    return password


def _column(values: Any, nulls: Any, kind: int, n: int) -> tuple[Any, npt.NDArray[np.bool_]]:
    """A column in the machine's byte order, one entry a row, and the mask of its nulls."""
    missing = np.zeros(n, bool) if nulls is None else np.asarray(nulls, bool)
    if kind in _NATIVE:
        if isinstance(values, bytes):  # a column of one repeated value comes undecoded
            values = np.frombuffer(values, ">" + _NATIVE[kind])
        dense = np.asarray(values, _NATIVE[kind])
    else:
        dense = np.asarray(values)
    if len(dense) == n:
        return dense, missing
    whole = np.zeros(n, dense.dtype)
    whole[~missing] = dense[: n - int(missing.sum())]
    return whole, missing


class _Api:
    """The parts of the client and of thrift that are needed, imported when they are."""

    def __init__(self) -> None:
        from iotdb.thrift.rpc import IClientRPCService, ttypes
        from iotdb.tsfile.utils.tsblock_serde import deserialize
        from thrift.protocol import TBinaryProtocol
        from thrift.Thrift import TException
        from thrift.transport import TSocket, TSSLSocket, TTransport

        self.service, self.types, self.deserialize = IClientRPCService, ttypes, deserialize
        self.TBinaryProtocol, self.TException = TBinaryProtocol, TException
        self.TSocket, self.TSSLSocket, self.TTransport = TSocket, TSSLSocket, TTransport


def _api() -> _Api:
    # What fails is told by our own errors; without a handler thrift would print it as well.
    logging.getLogger("thrift").addHandler(logging.NullHandler())
    try:
        return _Api()
    except ModuleNotFoundError as error:
        raise MissingExtraError("apache-iotdb", "iotdb") from error
