"""Pumps a protocol core over a socket: bytes in, events out; messages in, bytes out; keep-alive.

One :class:`Link` is one TCP connection.  It is an ``asyncio.Protocol`` rather than a stream: an event then
reaches its handler in the same turn of the loop in which its bytes arrived.  Both programs use it.

Keep-alive (:meth:`Link.watch`): a ping is sent every so often, and a peer from which nothing came for a while is lost.
TCP alone would need minutes to notice a pulled cable.

Must not know: what a job is, who is allowed to connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
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


WAITING: Final = Watch(ping_s=0.5, silence_s=2.0)
"""While somebody waits for an answer; a worker under full load answers in milliseconds (its compilers are niced)."""
RESTING: Final = Watch(ping_s=5.0, silence_s=16.0)
SEND_AHEAD_BYTES: Final = 256 << 10
"""How much is handed to the socket at once; the rest stays in the core, where messages can still overtake it."""


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
        self._flush_planned = False
        self._last_heard = self._loop.time()
        self._ping_token = 0
        self._ping_sent_at = 0.0
        self._watch: Watch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tick_due = 0.0

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: whatever was said before the socket was there goes out now."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=SEND_AHEAD_BYTES, low=SEND_AHEAD_BYTES // 4)
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Feed the core and tell the handler."""
        self._last_heard = self._loop.time()
        self.bytes_received += len(data)
        try:
            self.connection.receive_data(data)
        except ProtocolError as error:
            self._dispatch(self.connection.events())
            self.lose(error)
            return
        self._dispatch(self.connection.events())
        self.flush()

    def eof_received(self) -> bool:
        """The peer will say nothing more."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
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
        """Say ``message``; silently dropped once the link is lost (the handler has been told)."""
        if self._lost:
            return
        self.connection.send(message, stream, bodies)
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
        """Say what is left to be said, then close."""
        self.flush()
        if self._transport is not None and not self._lost:
            self._transport.close()

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
            match event:
                case Said(stream=0, message=Ping() as ping):
                    with contextlib.suppress(ProtocolError):  # the core may have died on what came after
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

    def ping(self) -> None:
        """Ask whether the peer is there; the answer updates ``round_trip_s``."""
        self._ping_token += 1
        self._ping_sent_at = self._loop.time()
        self.send(Ping(token=self._ping_token))

    def _tick(self) -> None:
        assert self._watch is not None
        # what was busy for long was deaf meanwhile: that is not the peer's silence
        self._last_heard += max(0.0, self._loop.time() - self._tick_due)
        silence = self._loop.time() - self._last_heard
        if silence > self._watch.silence_s:
            self._timer = None
            self.lose(LinkLost(f"nothing was heard for {silence:.1f} s"))
            return
        self.ping()
        self._plan_tick(self._watch)

    def _plan_tick(self, watch: Watch) -> None:
        self._tick_due = self._loop.time() + watch.ping_s
        self._timer = self._loop.call_at(self._tick_due, self._tick)
