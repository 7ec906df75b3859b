"""A small IoTDB server that speaks the real protocol, for tests and for trying things out.

It is built on the service that the official client generates, so whatever talks to IoTDB's tree
model over Thrift can talk to it, and it understands what a reader of series needs: ``show
timeseries``, ``select`` of one measurement with bounds on the time and a limit, ``min_time`` and
``max_time``. Statements are parsed by a grammar of its own, so that a reader that quotes a name
wrongly finds nothing, as on a real server. It can lose connections and go away on command.

Run one on this machine: python -m tsloop.testing.iotdb_server --points 4 --rows 100000
"""

from __future__ import annotations

import argparse
import socket
import ssl
import sys
import threading
from contextlib import suppress
from typing import Any, Self

import numpy as np
from thrift.protocol import TBinaryProtocol
from thrift.transport import TSocket, TTransport

from tsloop.testing._iotdb_data import Column, Database
from tsloop.testing._iotdb_service import Service

__all__ = ["Column", "IotdbServer", "main"]


class IotdbServer:
    """Serves columns on a free port of this machine; use it as a context manager.

    ``precision`` is the unit of all timestamps. ``announce`` says whether it is told when a session
    opens, as new servers do, or only on demand. ``block_rows`` is the number of rows of one block.
    With ``tls`` connections are encrypted.
    """

    def __init__(
        self,
        *,
        user: str = "root",
        password: str = "root",
        precision: str = "ms",
        announce: bool = True,
        block_rows: int = 1000,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.database = Database()
        self.service = Service(
            self.database, user, password, precision, announce=announce, block_rows=block_rows
        )
        self.host = "127.0.0.1"
        self.port = port
        self._tls = tls
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def add(self, path: str, times: Any, values: Any, kind: str = "DOUBLE") -> None:
        """Put a series on the server; ``path`` is written as in a statement of IoTDB.

        ``times`` must increase strictly; ``values`` are numbers, or texts where ``kind`` is TEXT.
        """
        self.database.add(path, Column(np.asarray(times, np.int64), np.asarray(values), kind))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after `stop` it comes back on the same port."""
        listener = socket.create_server((self.host, self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Go away: close the port and every connection."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.drop_connections()

    def drop_connections(self) -> None:
        """Close every connection; new ones are accepted."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def break_after(self, answers: int, times: int = 1) -> None:
        """Lose the connection instead of giving the answer after so many, so many times."""
        self.service.break_after(answers, times)

    @property
    def statements(self) -> list[str]:
        """All statements that came, in their order."""
        return self.service.statements

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:  # the other side does not trust us
                connection.close()
                return
        with self._lock:
            self._connections.add(connection)
        handle = TSocket.TSocket()
        handle.setHandle(connection)
        transport = TTransport.TFramedTransport(handle)
        protocol = TBinaryProtocol.TBinaryProtocolAccelerated(transport)
        processor = self.service.processor()
        try:
            while True:
                processor.process(protocol, protocol)
        except (TTransport.TTransportException, OSError, EOFError):
            pass  # the other side left, or we were told to lose it
        finally:
            with self._lock:
                self._connections.discard(connection)
            transport.close()


def main(argv: list[str] | None = None) -> None:
    """Serve random walks at one second until interrupted."""
    parser = argparse.ArgumentParser(description="A small IoTDB server with random walks.")
    parser.add_argument("--points", type=int, default=4, help="how many measurements")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of each")
    parser.add_argument("--port", type=int, default=6667, help="port; 0: any free one")
    parser.add_argument("--password", default="root", help="password of the user root")
    args = parser.parse_args(argv)
    server = IotdbServer(port=args.port, password=args.password, block_rows=10_000)
    times = 1_700_000_000_000 + 1000 * np.arange(args.rows)
    for number in range(args.points):
        walk = np.cumsum(np.random.default_rng(number).standard_normal(args.rows))
        server.add(f"root.plant.unit1.`TI_{number:05}.PV`", times, np.round(walk, 3))
    with server:
        sys.stdout.write(f"{server.host}:{server.port} serves root.plant.unit1, user root\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
