"""The worker's door: listens, and hands each connection to the protocol that it speaks.

The port is open to more than one: a :class:`Doorman` reads the first four bytes of each connection and hands it to the
row of ``PROTOCOLS`` that they name.

Must not know: what a job is, who may come in (server.py).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

from zdistcc.errors import UserError
from zdistcc.wire import frames
from zdistcc.wire.distcc_tokens import Token
from zdistcc.worker.server import NO_ADDRESS, Worker

FIRST_BYTES_TIMEOUT_S: Final = 5.0
_log = logging.getLogger("zdistcc.worker")

PROTOCOLS: Final[dict[bytes, Callable[[Worker, str, str], asyncio.Protocol]]] = {
    frames.MAGIC: Worker.open_native,
    Token.DIST.value: Worker.open_stock,
}


class Doorman(asyncio.Protocol):
    """Reads enough of a connection to know which protocol it speaks, and hands it over.

    ``private``: whoever comes in here is the user, wherever ssh has brought them from.
    """

    def __init__(self, worker: Worker, *, private: bool = False) -> None:
        self._worker = worker
        self._private = private
        self._transport: asyncio.Transport | None = None
        self._seen = b""
        self._timer = asyncio.get_running_loop().call_later(FIRST_BYTES_TIMEOUT_S, self._give_up)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The visitor went without a word."""
        self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Hand over once four bytes are here."""
        assert self._transport is not None
        self._seen += data
        if len(self._seen) < 4:
            return
        self._timer.cancel()
        peer = NO_ADDRESS if self._private else self._transport.get_extra_info("peername")
        row = PROTOCOLS.get(self._seen[:4])
        if row is None or not peer:
            _log.info("connection refused peer=%s began=%r", peer, self._seen[:4])
            self._transport.abort()
            return
        own = NO_ADDRESS if self._private else self._transport.get_extra_info("sockname")
        protocol = row(self._worker, str(peer[0]), str(own[0]))
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._seen)

    def _give_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def bind(port: int, hosts: Sequence[str], *, any_port_will_do: bool, option: str = "--port") -> list[socket.socket]:
    """Return listening sockets, one port for all ``hosts`` (numeric; empty: every address of both families).

    :class:`UserError` when that cannot be, telling ``option`` as the remedy.
    """
    wanted = list(hosts) or ["::", "0.0.0.0"]
    try:
        return _bind_all(port, wanted)
    except OSError as error:
        if port and any_port_will_do:
            return _bind_all(0, wanted)
        raise UserError(f"cannot listen on port {port}: {error.strerror}; choose another with {option}") from error


def _bind_all(port: int, hosts: Sequence[str]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError:
                continue  # a family that this kernel does not have
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(256)
            sock.setblocking(False)
            port = sock.getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
