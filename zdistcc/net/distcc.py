"""One conversation with a stock ``distccd``: connect, say the whole request, hear the whole answer, leave.

A stock daemon says nothing before its compiler has ended, and there is no ping in its protocol: whether the machine is
still there is asked by TCP itself (keep-alive), how long its compiler may take is the caller's business.

Must not know: what a job is, whether the host is believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, cast

from zdistcc.errors import InfraError, ProtocolError
from zdistcc.net.race import CONNECT_TIMEOUT_S, Address, connect
from zdistcc.wire.distcc import DistccClient
from zdistcc.wire.distcc_events import AnswerComplete, Answered, Closed, OutputReceived, Part

KEEPALIVE: Final = (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 5000))
"""A machine that went away is noticed within five seconds, as with our own protocol."""
SEND_AHEAD_BYTES: Final = 256 << 10


class NoAnswer(InfraError):
    """The daemon closed the connection without a word: that is how a stock one refuses."""


class Broken(InfraError):
    """The conversation broke off in the middle, or was not one."""


class TooLong(InfraError):
    """No answer came in the time allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A daemon's answer: a raw wait status, what the compiler said, what it made; and what that took."""

    status: int
    stdout: bytes
    stderr: bytes
    object: bytes
    address: Address
    connect_s: float
    seconds: float
    sent: int
    received: int


class _Conversation(asyncio.Protocol):
    """Pumps one client core."""

    def __init__(self) -> None:
        self.core = DistccClient()
        self.answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self.object = bytearray()
        self.sent = 0
        self.received = 0
        self._said: Answered | None = None
        self._paused = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in KEEPALIVE:
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def speak(self) -> None:
        """Hand on what the core has to say, as fast as it is taken."""
        while self._transport is not None and not self._paused and not self.core.dead and self.core.wants_to_send:
            data = self.core.data_to_send(SEND_AHEAD_BYTES)
            self.sent += len(data)
            self._transport.write(data)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.speak()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self.core.dead:
            return
        try:
            self.core.receive_data(data)
            self._hear()
        except ProtocolError as error:
            self._fail(Broken(f"it does not speak distcc's protocol: {error}"))

    def eof_received(self) -> bool:
        if not self.core.dead:
            self.core.receive_eof()
            self._hear()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        why = str(error) if error else "it closed the connection"
        self._fail(Broken(f"its answer broke off: {why}") if self.received else NoAnswer(_REFUSED))

    def _hear(self) -> None:
        for event in self.core.events():
            match event:
                case Answered():
                    self._said = event
                case OutputReceived(part=Part.OBJECT):
                    self.object += event.data
                case AnswerComplete() if self._said is not None and not self.answer.done():
                    self.answer.set_result(self._said)
                case Closed(clean=False):
                    heard = event.heard
                    self._fail(Broken("its answer broke off") if heard else NoAnswer(_REFUSED))
                case _:
                    pass

    def _fail(self, error: InfraError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # seen, even if nobody waits any more

    def leave(self) -> None:
        """Close, without waiting for what is unsent."""
        if self._transport is not None:
            self._transport.abort()


_REFUSED: Final = "it closed the connection without an answer: it does not serve this machine, or not this compiler"


async def converse(
    addresses: Collection[Address],
    ask: Callable[[DistccClient, float], None],
    patience_s: float,
    through: Callable[[], AbstractAsyncContextManager[socket.socket]] | None = None,
) -> Reply:
    """Return the answer to what ``ask`` puts into a core; it is told how long connecting took.

    ``through`` lends a socket on which the daemon is heard, where no connection of ours leads to it.
    Raises :class:`net.race.Unreachable`, :class:`NoAnswer`, :class:`Broken`, :class:`TooLong` after ``patience_s``
    (from the connection on), and ``LocalProtocolError`` for what cannot be asked.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    if through is None:
        talk, address = await connect(_Conversation, tuple(addresses), CONNECT_TIMEOUT_S)
        return await _carry(talk, address, begun, ask, patience_s)
    async with through() as sock:
        _, talk = await loop.create_unix_connection(_Conversation, sock=sock)
        return await _carry(talk, min(addresses), begun, ask, patience_s)


async def _carry(
    talk: _Conversation,
    address: Address,
    begun: float,
    ask: Callable[[DistccClient, float], None],
    patience_s: float,
) -> Reply:
    loop = asyncio.get_running_loop()
    try:
        connected = loop.time()
        ask(talk.core, connected - begun)
        talk.speak()
        async with asyncio.timeout(patience_s):
            said = await talk.answer
    except TimeoutError:
        raise TooLong(f"no answer within {patience_s:.3g} s") from None
    finally:
        talk.leave()
    return Reply(
        status=said.status,
        stdout=said.stdout,
        stderr=said.stderr,
        object=bytes(talk.object),
        address=address,
        connect_s=connected - begun,
        seconds=loop.time() - connected,
        sent=talk.sent,
        received=talk.received,
    )
