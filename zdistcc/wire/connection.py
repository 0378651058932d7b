"""One connection between an agent and a worker, without I/O.

Bytes go in by :meth:`Connection.receive_data`, events come out; messages go in by :meth:`Connection.send`,
bytes come out by :meth:`Connection.data_to_send`.  The same class serves both roles; what each may say, and
when, is the table ``RULES``.  After any :class:`ProtocolError` the connection is dead.

Streams.  A job is a stream that the agent opens with ``Job`` (numbers only grow) and the worker ends with
``Result`` or ``Refuse``.  A message may announce bodies; their chunks follow on the same stream, slot by slot, and all
of them must have come before that side announces more there.  A worker that refuses while the agent still
uploads leaves the stream *half closed*: what arrives for it is dropped until the agent, which drops what it had
queued, has said ``Cancel``.

Sending.  Messages leave before chunks, and chunks of different streams take turns, so a large body never delays
another job's message by more than one chunk.  What is queued is bounded by what the caller sends: drivers
take ``data_to_send(limit)`` only as fast as the socket drains.

Must not know: sockets, time (keep-alive belongs to net/drive.py), packing (codecs.py), what a job is for.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from zdistcc.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from zdistcc.wire import frames, messages
from zdistcc.wire.codecs import MAX_BODY_BYTES
from zdistcc.wire.frames import MAX_CHUNK_BYTES, FrameKind, FrameReader
from zdistcc.wire.messages import Message

MAX_STREAMS: Final = 4096
"""Jobs under way on one connection; an agent's grants are bounded far lower by the worker's slots and queue."""


class Role(enum.Enum):
    """Which end of the connection this is."""

    AGENT = "agent"
    WORKER = "worker"


class Scope(enum.Enum):
    """Where a message belongs."""

    FIRST = "first"  # once, before everything else, on stream 0
    CONNECTION = "connection"  # stream 0
    OPENS = "opens"  # a new stream
    WITHIN = "within"  # an open stream
    ENDS = "ends"  # an open stream, its last message from this side


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may say a message, and where."""

    senders: frozenset[Role]
    scope: Scope


_AGENT: Final = frozenset({Role.AGENT})
_WORKER: Final = frozenset({Role.WORKER})
_BOTH: Final = frozenset(Role)

RULES: Final[dict[type[object], Rule]] = {
    messages.Hello: Rule(senders=_AGENT, scope=Scope.FIRST),
    messages.Greeting: Rule(senders=_WORKER, scope=Scope.FIRST),
    messages.Denied: Rule(senders=_WORKER, scope=Scope.FIRST),
    messages.Compilers: Rule(senders=_WORKER, scope=Scope.CONNECTION),
    messages.Load: Rule(senders=_WORKER, scope=Scope.CONNECTION),
    messages.Peers: Rule(senders=_WORKER, scope=Scope.CONNECTION),
    messages.Ping: Rule(senders=_BOTH, scope=Scope.CONNECTION),
    messages.Pong: Rule(senders=_BOTH, scope=Scope.CONNECTION),
    messages.Goodbye: Rule(senders=_BOTH, scope=Scope.CONNECTION),
    messages.Job: Rule(senders=_AGENT, scope=Scope.OPENS),
    messages.Files: Rule(senders=_AGENT, scope=Scope.CONNECTION),
    messages.TreeJob: Rule(senders=_AGENT, scope=Scope.OPENS),
    messages.Started: Rule(senders=_WORKER, scope=Scope.WITHIN),
    messages.Need: Rule(senders=_WORKER, scope=Scope.WITHIN),
    messages.Supply: Rule(senders=_AGENT, scope=Scope.WITHIN),
    messages.Result: Rule(senders=_WORKER, scope=Scope.ENDS),
    messages.Refuse: Rule(senders=_WORKER, scope=Scope.ENDS),
    messages.Cancel: Rule(senders=_AGENT, scope=Scope.ENDS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The peer said ``message`` on ``stream`` (0: the connection itself)."""

    stream: int
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkReceived:
    """A piece of the announced body in ``slot`` of ``stream``; ``last`` when that body is complete."""

    stream: int
    slot: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The peer closed; ``clean`` when nothing was under way."""

    clean: bool


Event = Said | ChunkReceived | Closed


@dataclass(slots=True)
class _Stream:
    """What one stream still owes in each direction."""

    incoming: deque[list[int]] = field(default_factory=deque)  # [slot, bytes still to come]
    outgoing: deque[tuple[int, memoryview]] = field(default_factory=deque)
    ended_by_us: bool = False
    ended_by_peer: bool = False


class Connection:
    """The protocol's state at one end; never blocks, raises only :class:`ProtocolError`."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self._peer = Role.WORKER if role is Role.AGENT else Role.AGENT
        self._reader = FrameReader()
        self._events: list[Event] = []
        self._control = bytearray(frames.encode_preface())
        self._streams: dict[int, _Stream] = {}
        self._sending: OrderedDict[int, None] = OrderedDict()
        self._next_stream = 1
        self._last_peer_stream = 0
        self._greeted_by_us = False
        self._greeted_by_peer = False
        self._dead = False

    # --- receiving ------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take what the peer sent; raise :class:`RemoteProtocolError` when it must not be."""
        self._alive()
        try:
            for frame in self._reader.receive_data(data):
                if frame.kind is FrameKind.MESSAGE:
                    self._receive_message(frame.stream, messages.decode(frame.payload), frame.slot)
                else:
                    self._receive_chunk(frame.stream, frame.slot, frame.payload)
        except ProtocolError:
            self._dead = True
            raise

    def receive_eof(self) -> None:
        """Take the peer's closing; an unclean one is an event, not an error."""
        self._alive()
        self._dead = True
        self._events.append(Closed(clean=self._reader.empty and not self._streams))

    def events(self) -> list[Event]:
        """Return what happened since the last call, oldest first."""
        happened, self._events = self._events, []
        return happened

    def _receive_message(self, number: int, message: Message, slot: int) -> None:
        rule = RULES[type(message)]
        name = messages.tag_of(message)
        if self._peer not in rule.senders:
            raise RemoteProtocolError(f"{name} is not for the {self._peer.value} to say")
        if slot:
            raise RemoteProtocolError(f"{name} with a slot number")
        if (rule.scope is Scope.FIRST) is self._greeted_by_peer:
            raise RemoteProtocolError(f"{name} {'again' if self._greeted_by_peer else 'before the greeting'}")
        self._greeted_by_peer = True
        if rule.scope in (Scope.FIRST, Scope.CONNECTION):
            if number:
                raise RemoteProtocolError(f"{name} on stream {number}")
            self._events.append(Said(stream=0, message=message))
            return
        stream = self._peer_opens(number) if rule.scope is Scope.OPENS else self._peer_uses(number, name)
        if stream is None:
            return
        self._expect_bodies(stream, message)
        if not stream.ended_by_us:
            self._events.append(Said(stream=number, message=message))
        if rule.scope is Scope.ENDS:
            self._peer_ends(number, stream, message)
        self._forget_if_done(number, stream)

    def _peer_ends(self, number: int, stream: _Stream, message: Message) -> None:
        if self.role is Role.AGENT and stream.outgoing:
            if isinstance(message, messages.Result):
                raise RemoteProtocolError(f"a result on stream {number} before its input had arrived")
            self.send(messages.Cancel(), number)
        stream.ended_by_peer = True
        stream.outgoing.clear()
        self._sending.pop(number, None)

    def _peer_opens(self, number: int) -> _Stream:
        if number <= self._last_peer_stream:
            raise RemoteProtocolError(f"stream {number} opened after {self._last_peer_stream}")
        if len(self._streams) >= MAX_STREAMS:
            raise RemoteProtocolError(f"more than {MAX_STREAMS} streams")
        self._last_peer_stream = number
        stream = self._streams[number] = _Stream()
        return stream

    def _peer_uses(self, number: int, name: str) -> _Stream | None:
        stream = self._streams.get(number)
        if stream is None and self._was_open(number):
            return None  # our end of the stream and theirs crossed
        if stream is None or stream.ended_by_peer:
            raise RemoteProtocolError(f"{name} on stream {number}, which is not open")
        return stream

    def _was_open(self, number: int) -> bool:
        return 0 < number <= (self._last_peer_stream if self.role is Role.WORKER else self._next_stream - 1)

    def _expect_bodies(self, stream: _Stream, message: Message) -> None:
        bodies = messages.bodies_of(message)
        if not bodies:
            return
        if stream.incoming:
            raise RemoteProtocolError("bodies announced while others are still to come")
        for slot, body in enumerate(bodies):
            if body.raw > MAX_BODY_BYTES or body.packed > MAX_BODY_BYTES:
                raise RemoteProtocolError(f"a body of {max(body.raw, body.packed)} bytes is announced")
            if body.packed:
                stream.incoming.append([slot, body.packed])

    def _receive_chunk(self, number: int, slot: int, data: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            if self._was_open(number):
                return  # the rest of a body that was already on its way when the stream ended
            raise RemoteProtocolError(f"a chunk on stream {number}, which is not open")
        if not stream.incoming or stream.incoming[0][0] != slot:
            raise RemoteProtocolError(f"a chunk for slot {slot} of stream {number}, which none announced")
        owed = stream.incoming[0]
        owed[1] -= len(data)
        if owed[1] < 0 or not data:
            raise RemoteProtocolError(f"a chunk of {len(data)} bytes in a body with {owed[1] + len(data)} left")
        last = owed[1] == 0
        if last:
            stream.incoming.popleft()
        if not stream.ended_by_us:
            self._events.append(ChunkReceived(stream=number, slot=slot, data=data, last=last))
        self._forget_if_done(number, stream)

    # --- sending --------------------------------------------------------------------------------

    def open_stream(self) -> int:
        """Return the number for the next ``Job``."""
        number = self._next_stream
        self._next_stream += 1
        return number

    def send(self, message: Message, stream: int = 0, bodies: Sequence[bytes] = ()) -> None:
        """Queue ``message`` and the packed bodies it announces; :class:`LocalProtocolError` when it may not be said."""
        self._alive()
        rule = RULES[type(message)]
        name = messages.tag_of(message)
        if self.role not in rule.senders:
            raise LocalProtocolError(f"{name} is not for the {self.role.value} to say")
        if (rule.scope is Scope.FIRST) is self._greeted_by_us:
            raise LocalProtocolError(f"{name} {'again' if self._greeted_by_us else 'before the greeting'}")
        if (stream == 0) is not (rule.scope in (Scope.FIRST, Scope.CONNECTION)):
            raise LocalProtocolError(f"{name} on stream {stream}")
        announced = messages.bodies_of(message)
        if [body.packed for body in announced] != [len(data) for data in bodies]:
            raise LocalProtocolError(f"{name} announces other bodies than it brings")
        payload = messages.encode(message)
        header = frames.encode_header(FrameKind.MESSAGE, stream, 0, len(payload))
        if stream:
            self._send_on_stream(stream, rule.scope, bodies, name)
        self._greeted_by_us = True
        self._control += header
        self._control += payload
        if stream and stream in self._streams:
            self._forget_if_done(stream, self._streams[stream])

    def _send_on_stream(self, number: int, scope: Scope, bodies: Sequence[bytes], name: str) -> None:
        if scope is Scope.OPENS:
            if not 0 < number < self._next_stream or number in self._streams:
                raise LocalProtocolError(f"{name} on stream {number}, which open_stream() did not give")
            if len(self._streams) >= MAX_STREAMS:
                raise LocalProtocolError(f"more than {MAX_STREAMS} streams")
            state = self._streams[number] = _Stream()
        else:
            known = self._streams.get(number)
            if known is None or known.ended_by_us:
                raise LocalProtocolError(f"{name} on stream {number}, which is not open")
            state = known
        if scope is Scope.ENDS:
            state.ended_by_us = True
            state.outgoing.clear()
            self._sending.pop(number, None)
        queued = [(slot, memoryview(data)) for slot, data in enumerate(bodies) if data]
        if queued:
            state.outgoing.extend(queued)
            self._sending[number] = None

    def data_to_send(self, limit: int = 256 << 10) -> bytes:
        """Return bytes for the peer: all messages, then chunks in turn until ``limit`` is passed; ``b""`` when none."""
        out = self._control
        self._control = bytearray()
        while self._sending and len(out) < limit:
            number, _ = self._sending.popitem(last=False)
            stream = self._streams[number]
            slot, data = stream.outgoing.popleft()
            piece, rest = data[:MAX_CHUNK_BYTES], data[MAX_CHUNK_BYTES:]
            out += frames.encode_header(FrameKind.CHUNK, number, slot, len(piece))
            out += piece
            if rest:
                stream.outgoing.appendleft((slot, rest))
            if stream.outgoing:
                self._sending[number] = None
            else:
                self._forget_if_done(number, stream)
        return bytes(out)

    @property
    def wants_to_send(self) -> bool:
        """True when :meth:`data_to_send` has something."""
        return bool(self._control or self._sending)

    @property
    def unsent_bytes(self) -> int:
        """How many bytes of messages (bodies are the caller's) wait to be sent."""
        return len(self._control)

    @property
    def dead(self) -> bool:
        """True after an error or the peer's closing: nothing more can be said or heard."""
        return self._dead

    @property
    def open_streams(self) -> int:
        """How many streams are not over yet at this end."""
        return len(self._streams)

    # --- both -----------------------------------------------------------------------------------

    def _forget_if_done(self, number: int, stream: _Stream) -> None:
        """A stream is over when both have ended it, or when the worker has and nothing is owed at this end."""
        ended_by_worker = stream.ended_by_us if self.role is Role.WORKER else stream.ended_by_peer
        settled = not stream.incoming and not stream.outgoing
        if (stream.ended_by_us and stream.ended_by_peer) or (ended_by_worker and settled):
            self._streams.pop(number, None)
            self._sending.pop(number, None)

    def _alive(self) -> None:
        if self._dead:
            raise LocalProtocolError("the connection is dead")
