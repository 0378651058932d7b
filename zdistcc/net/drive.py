"""Pumps a protocol core over a socket: bytes in, events out; messages in, bytes out; keep-alive.

One :class:`Link` is one TCP connection.  It is an ``asyncio.Protocol`` rather than a stream: an event then
reaches its handler in the same turn of the loop in which its bytes arrived.  Both programs use it.

Keep-alive (:meth:`Link.watch`): a ping is sent every so often, and a peer from which nothing came for a while is lost.
TCP alone would need minutes to notice a pulled cable.  A ping waits behind the bytes that were handed over before it,
which on a slow network takes seconds: as long as the peer takes these, it is not silent.

Must not know: what a job is, who is allowed to connect.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import logging
import socket
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from zdistcc.errors import InfraError, ProtocolError
from zdistcc.wire.connection import ChunkReceived, Closed, Connection, Event, Said
from zdistcc.wire.messages import Message, Ping, Pong


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How often to ping, and after how much silence a peer is lost; in seconds."""

    ping_s: float
    silence_s: float


WAITING: Final = Watch(ping_s=0.25, silence_s=1.5)
"""While somebody waits for an answer; a worker under full load answers in milliseconds (its compilers are niced).

Together less than the two seconds after which a silent worker has to be lost."""
SERVING: Final = Watch(ping_s=1.0, silence_s=4.0)
"""While a client's jobs take slots; a client is busier than a worker, and its jobs are lost with it."""
LOOKED_AT: Final = Watch(ping_s=1.0, silence_s=2.5)
"""While somebody looks at what is shown of an idle worker: its absence is seen soon, and round trips are known."""
RESTING: Final = Watch(ping_s=5.0, silence_s=16.0)
MAX_UNSENT_BYTES: Final = 16 << 20
"""A peer for which that much in messages is waiting does not read them: it is given up before it costs more memory."""
ROUND_TRIPS: Final = 3
"""What is lost on the way is sent again after as many round trips: they are added to the silence that is allowed."""
SEND_AHEAD_BYTES: Final = 256 << 10
"""How much is handed to the socket at once; the rest stays in the core, where messages can still overtake it."""
_log = logging.getLogger("zdistcc.net")


class LinkLost(InfraError):
    """The connection to the other machine broke."""


class Handler(Protocol):
    """Who is told what a link hears."""

    def on_said(self, stream: int, message: Message) -> None:
        """The peer said ``message``."""

    def on_chunk(self, chunk: ChunkReceived) -> None:
        """A piece of a body came."""

    def on_lost(self, cause: InfraError) -> None:
        """The link is gone; nothing follows."""


class Link(asyncio.Protocol):
    """One connection, driven."""

    def __init__(self, connection: Connection, handler: Handler) -> None:
        self.connection = connection
        self.handler = handler
        self.bytes_sent = 0
        self.bytes_received = 0
        self.round_trip_s: float | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self._lost = False
        self._closing = False
        self._flush_planned = False
        self._last_heard = self._loop.time()
        self._ping_token = 0
        self._ping_sent_at = 0.0
        self._watch: Watch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tick_due = 0.0
        self._taken = 0
        self._least_round_trip_s: float | None = None

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: whatever was said before the socket was there goes out now."""
        self._transport = cast(asyncio.Transport, transport)
        if self._lost:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=SEND_AHEAD_BYTES, low=SEND_AHEAD_BYTES // 4)
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Feed the core and tell the handler; whatever goes wrong in either ends this link and nothing else."""
        if self._lost:
            return
        self._last_heard = self._loop.time()
        self.bytes_received += len(data)
        trouble: ProtocolError | None = None
        try:
            self.connection.receive_data(data)
        except ProtocolError as error:
            trouble = error
        try:
            self._dispatch(self.connection.events())
        except Exception:
            _log.exception("a bug: what was heard could not be dealt with; the connection is given up")
            self.lose(LinkLost("something unexpected happened here; the log says what"))
        if trouble is not None:
            self.lose(trouble)
        self.flush()

    def eof_received(self) -> bool:
        """The peer will say nothing more."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        self._transport = None  # to abort it from here would end it twice
        self.lose(LinkLost(str(error) if error else "the other side closed the connection"))

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """The socket's buffer has drained."""
        self._paused = False
        self.flush()

    # --- for the owner --------------------------------------------------------------------------

    def send(self, message: Message, stream: int = 0, bodies: Sequence[bytes] = ()) -> None:
        """Say ``message``; silently dropped once the link is lost (the handler has been told, or will be at once)."""
        if self._lost or self.connection.dead:
            return
        self.connection.send(message, stream, bodies)
        if self.connection.unsent_bytes > MAX_UNSENT_BYTES:
            self.lose(LinkLost("the other side does not read what it is told"))
            return
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Hand bytes to the socket as long as it takes them."""
        self._flush_planned = False
        while not self._lost and not self._paused and self._transport and self.connection.wants_to_send:
            data = self.connection.data_to_send(SEND_AHEAD_BYTES)
            self.bytes_sent += len(data)
            self._transport.write(data)
        if self._closing and not self._lost and self._transport and not self.connection.wants_to_send:
            self._closing = False
            self._loop.call_soon(self._transport.close)  # not from within its own resume_writing()

    def watch(self, watch: Watch | None) -> None:
        """Ping the peer and mind its silence from now on, in this way; ``None``: no longer."""
        if watch is self._watch or self._lost:
            return
        self._watch = watch
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if watch is not None:
            self._last_heard = self._loop.time()
            self._plan_tick(watch)

    def lose(self, cause: InfraError) -> None:
        """Give the link up; the handler hears of it once."""
        if self._lost:
            return
        self.watch(None)
        self._lost = True
        if self._transport is not None:
            self._transport.abort()
        self.handler.on_lost(cause)

    def close(self) -> None:
        """Say what is left to be said, bodies included, then close."""
        self._closing = True
        self.flush()

    @property
    def lost(self) -> bool:
        """True once the link is gone."""
        return self._lost

    @property
    def peer(self) -> str:
        """The peer's numeric address, ``""`` before there is one."""
        address = self._transport.get_extra_info("peername") if self._transport else None
        return str(address[0]) if address else ""

    # --- inside ---------------------------------------------------------------------------------

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            if self._lost:
                return
            match event:
                case Said(stream=0, message=Ping() as ping):
                    if not self._paused:  # else the bytes that fill the socket are answer enough
                        self.send(Pong(token=ping.token))
                case Said(stream=0, message=Pong() as pong):
                    if pong.token == self._ping_token:
                        self._learn_round_trip(self._loop.time() - self._ping_sent_at)
                case Said():
                    self.handler.on_said(event.stream, event.message)
                case ChunkReceived():
                    self.handler.on_chunk(event)
                case Closed():
                    self.lose(LinkLost("the other side closed the connection"))

    def _learn_round_trip(self, seconds: float) -> None:
        old = self.round_trip_s
        self.round_trip_s = seconds if old is None else 0.75 * old + 0.25 * seconds
        self._least_round_trip_s = min(seconds, self._least_round_trip_s or seconds)

    def ping(self) -> None:
        """Ask whether the peer is there; the answer updates ``round_trip_s``."""
        self._ping_token += 1
        self._ping_sent_at = self._loop.time()
        self.send(Ping(token=self._ping_token))

    def _tick(self) -> None:
        assert self._watch is not None
        now = self._loop.time()
        if now - self._tick_due > self._watch.ping_s:
            self._last_heard = now  # we stood still, so the peer had nothing to answer
        if self._peer_takes():
            self._last_heard = now
        silence = now - self._last_heard
        if silence > self._watch.silence_s + ROUND_TRIPS * (self._least_round_trip_s or 0.0):
            self._timer = None
            self.lose(LinkLost(f"nothing was heard for {silence:.1f} s"))
            return
        self.ping()
        self._plan_tick(self._watch)

    def _peer_takes(self) -> bool:
        """Return whether the peer's machine has taken bytes since the last look, and more are on their way."""
        transport = self._transport
        sock = transport.get_extra_info("socket") if transport is not None else None
        if transport is None or sock is None or not self.bytes_sent:
            return False
        on_the_way = array.array("i", [0])
        try:
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, on_the_way)
        except OSError:  # a system that does not tell
            return False
        waiting = transport.get_write_buffer_size() + on_the_way[0]
        before, self._taken = self._taken, self.bytes_sent - waiting
        return waiting > 0 and self._taken > before

    def _plan_tick(self, watch: Watch) -> None:
        self._tick_due = self._loop.time() + watch.ping_s
        self._timer = self._loop.call_at(self._tick_due, self._tick)
