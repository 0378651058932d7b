"""The protocol of stock distcc, both roles, without I/O: one job a connection.

A client speaks first, the server answers, and that is all::

    request  = version-1 | version-2 | version-3
    1 and 2  = DIST ARGC *ARGV DOTI                      ; the source, preprocessed; in 2 packed
    3        = DIST CDIR ARGC *ARGV NFIL *name           ; the source and what it includes ("pump")
    name     = NAME (FILE | LINK)                        ; the content packed
    response = DONE STAT SERR SOUT DOTO [DOTD]           ; bodies packed in 2 and 3; DOTD in 3, if STAT is 0

Packed is LZO1X (lzo.py), and nothing packs to nothing.  Tokens, limits and what paths may be: distcc_tokens.py.

Bytes go in by ``receive_data``, events (distcc_events.py) come out of ``events``; what is said goes in by
:meth:`DistccClient.request` or :meth:`DistccServer.respond`, bytes come out by ``data_to_send``.  After any
:class:`ProtocolError`, and after the peer's closing, a core is dead.  Bodies that are not packed come in pieces,
packed ones whole.  A server may respond with a failure as soon as the job is announced; what still arrives is then
checked, dropped, and ends with ``JobComplete`` (a stock client reads no answer before it has said everything, and
takes a reset for a broken host).

A server of stock distcc refuses by closing: the client's ``Closed`` with ``heard`` false.  A stock client that wants no
dependencies leaves before it has read them, so that the end of a response cannot be sent is no failure of its job.

Must not know: sockets, time, what compilers there are, which of them a job means by its first argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from zdistcc.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from zdistcc.wire import distcc_tokens as tokens
from zdistcc.wire import lzo
from zdistcc.wire.distcc_events import (
    AnswerComplete,
    Answered,
    Closed,
    Event,
    File,
    FileReceived,
    JobAnnounced,
    JobComplete,
    Link,
    LinkReceived,
    OutputReceived,
    Part,
    SourceReceived,
    SystemDirectoryNamed,
    Version,
)
from zdistcc.wire.distcc_tokens import CLIENT_LIMITS, PIECE_BYTES, SERVER_LIMITS, Limits, LinkKind, Reader, Token


def versions_here() -> frozenset[Version]:
    """Return the versions that can be spoken on this machine: without LZO the first only."""
    return frozenset(Version) if lzo.available() else frozenset({Version.PLAIN})


class _Core:
    """What both roles do: feed the grammar, collect events, hold what is to be sent."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.total_bytes
        self._buffer = bytearray()
        self._events: list[Event] = []
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._heard = False
        self._complete = False
        self._dead = False
        self._reader = self._grammar()
        self._wanted = next(self._reader)

    def _grammar(self) -> Reader[None]:
        """Read everything that the peer may say."""
        raise AssertionError("a role has a grammar")

    def _dropping(self) -> bool:
        """Return whether what arrives is of no use any more."""
        return False

    # --- receiving ------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take what the peer sent; raise :class:`RemoteProtocolError` when it must not be."""
        self._alive()
        self._heard = self._heard or bool(data)
        self._buffer += data
        place = 0
        try:
            if data and self._complete:
                raise RemoteProtocolError("the peer goes on after its last token")
            while not self._complete and len(self._buffer) - place >= self._wanted:
                end = place + self._wanted
                piece = bytes(memoryview(self._buffer)[place:end])
                place = end
                self._advance(piece)
            if self._complete and place < len(self._buffer):
                raise RemoteProtocolError("the peer goes on after its last token")
        except ProtocolError:
            self._die()
            raise
        del self._buffer[:place]

    def _advance(self, piece: bytes) -> None:
        try:
            self._wanted = self._reader.send(piece)
        except StopIteration:
            self._complete = True

    def receive_eof(self) -> None:
        """Take the peer's closing; an unclean one is an event, not an error."""
        self._alive()
        self._events.append(Closed(clean=self._complete or not self._owed(), heard=self._heard))
        self._die()

    def _owed(self) -> bool:
        """Return whether the peer has to say something."""
        return self._heard

    def events(self) -> list[Event]:
        """Return what happened since the last call, oldest first."""
        happened, self._events = self._events, []
        return happened

    def _body(self, token: Token, packed: bool, take: Callable[[bytes, bool], None]) -> Reader[None]:
        """Read the rest of ``token``, whose name has been read: a body, of which ``take`` is told."""
        room = tokens.packed_limit(self._left) if packed else self._left
        left = yield from tokens.read_bounded(token, 0, room)
        whole = bytearray()
        while True:
            piece = yield min(left, PIECE_BYTES)
            left -= len(piece)
            if self._dropping():
                whole.clear()
            elif packed:
                whole += piece
            else:
                self._left -= len(piece)
                take(piece, not left)
            if not left:
                break
        if packed and not self._dropping():
            data = lzo.unpack(bytes(whole), self._left)
            self._left -= len(data)
            take(data, True)

    # --- sending --------------------------------------------------------------------------------

    def _say(self, token: Token, payload: bytes) -> None:
        """Queue ``token`` with a payload."""
        self._queue(tokens.encode(token, len(payload)))
        if payload:
            self._queue(payload)

    def _say_number(self, token: Token, value: int) -> None:
        self._queue(tokens.encode(token, value))

    def _queue(self, data: bytes) -> None:
        self._unsent.append(memoryview(data))
        self._unsent_bytes += len(data)

    def data_to_send(self, limit: int = 256 << 10) -> bytes:
        """Return at most ``limit`` bytes for the peer; ``b""`` when there are none."""
        out = bytearray()
        while self._unsent and len(out) < limit:
            first = self._unsent.popleft()
            room = limit - len(out)
            out += first[:room]
            if len(first) > room:
                self._unsent.appendleft(first[room:])
        self._unsent_bytes -= len(out)
        return bytes(out)

    @property
    def wants_to_send(self) -> bool:
        """True when :meth:`data_to_send` has something."""
        return bool(self._unsent)

    @property
    def unsent_bytes(self) -> int:
        """How many bytes wait to be sent, bodies included."""
        return self._unsent_bytes

    # --- both -----------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """True when the peer has said everything."""
        return self._complete

    @property
    def dead(self) -> bool:
        """True after an error or the peer's closing: nothing more can be said or heard."""
        return self._dead

    def _alive(self) -> None:
        if self._dead:
            raise LocalProtocolError("the connection is dead")

    def _die(self) -> None:
        self._dead = True
        self._buffer.clear()
        self._unsent.clear()
        self._unsent_bytes = 0
        self._reader.close()


class DistccServer(_Core):
    """The end that compiles.  ``versions`` are those it answers; a client chooses."""

    def __init__(self, *, versions: frozenset[Version] | None = None, limits: Limits = SERVER_LIMITS) -> None:
        self._versions = versions_here() if versions is None else versions
        self._version: Version | None = None
        self._answered = False
        super().__init__(limits)

    def _dropping(self) -> bool:
        return self._answered

    def _grammar(self) -> Reader[None]:
        number = yield from tokens.read_number(Token.DIST, 0, 0xFFFF_FFFF)
        if number not in self._versions:
            spoken = ", ".join(str(int(version)) for version in sorted(self._versions))
            raise RemoteProtocolError(f"the client speaks version {number} of distcc's protocol, this side {spoken}")
        version = Version(number)
        cwd, names = b"", 0
        if version is Version.PUMP:
            cwd = yield from tokens.read_text(Token.CDIR, self._limits.path_bytes)
            self._refuse_if(tokens.complaint_about_path(cwd, self._limits))
        args = yield from self._arguments()
        if version is Version.PUMP:
            names = yield from tokens.read_number(Token.NFIL, 0, self._limits.files)
        self._version = version
        self._events.append(JobAnnounced(version=version, args=args, cwd=cwd, names=names))
        if version is Version.PUMP:
            places = tokens.Places(self._limits)
            for _ in range(names):
                yield from self._name(places)
        else:
            yield from tokens.expect(Token.DOTI)
            yield from self._body(Token.DOTI, version is Version.LZO, self._take_source)
        self._events.append(JobComplete())

    def _arguments(self) -> Reader[tuple[bytes, ...]]:
        count = yield from tokens.read_number(Token.ARGC, 1, self._limits.arguments)
        args: list[bytes] = []
        left = self._limits.all_arguments_bytes
        for _ in range(count):
            args.append((yield from tokens.read_text(Token.ARGV, min(left, self._limits.argument_bytes))))
            left -= len(args[-1])
        return tuple(args)

    def _name(self, places: tokens.Places) -> Reader[None]:
        path = yield from tokens.read_text(Token.NAME, self._limits.path_bytes)
        self._refuse_if(places.add(path))
        if (yield from tokens.expect(Token.FILE, Token.LINK)) is Token.FILE:
            yield from self._body(Token.FILE, True, lambda data, _: self._emit(FileReceived(path=path, data=data)))
            return
        target = yield from tokens.read_text_payload(Token.LINK, self._limits.path_bytes)
        match tokens.kind_of_link(path, target):
            case LinkKind.WITHIN:
                self._emit(LinkReceived(path=path, target=target))
            case LinkKind.SYSTEM:
                self._emit(SystemDirectoryNamed(path=path))
            case LinkKind.OUTSIDE:
                raise RemoteProtocolError(
                    f"the link {tokens.shown(path)} leads out of the tree, to {tokens.shown(target)}"
                )

    def _take_source(self, data: bytes, last: bool) -> None:
        self._emit(SourceReceived(data=data, last=last))

    def _emit(self, event: Event) -> None:
        if not self._answered:
            self._events.append(event)

    @staticmethod
    def _refuse_if(complaint: str) -> None:
        if complaint:
            raise RemoteProtocolError(complaint)

    def respond(
        self,
        *,
        status: int,
        stderr: bytes = b"",
        stdout: bytes = b"",
        object: bytes = b"",
        dependencies: bytes | None = None,
    ) -> None:
        """Queue the response; a success needs a complete job, ``dependencies`` belong to one in version 3 only.

        Raises :class:`LocalProtocolError` when this may not be said (now).
        """
        self._alive()
        version = self._version
        if version is None or self._answered:
            raise LocalProtocolError(f"a response {'again' if self._answered else 'before a job was announced'}")
        if not 0 <= status <= tokens.MAX_STATUS:
            raise LocalProtocolError(f"{status} is no wait status")
        if status == 0 and not self._complete:
            raise LocalProtocolError("a success before the job was complete")
        if status and object:
            raise LocalProtocolError("a failure has no object")
        if (dependencies is not None) is not (version is Version.PUMP and not status):
            raise LocalProtocolError("dependencies belong to a success in version 3, and to nothing else")
        self._answered = True
        wire: Callable[[bytes], bytes] = bytes if version is Version.PLAIN else lzo.pack
        self._say_number(Token.DONE, version)
        self._say_number(Token.STAT, status)
        self._say(Token.SERR, wire(stderr))
        self._say(Token.SOUT, wire(stdout))
        self._say(Token.DOTO, wire(object))
        if dependencies is not None:
            self._say(Token.DOTD, wire(dependencies))


class DistccClient(_Core):
    """The end that wants something compiled."""

    def __init__(self, *, limits: Limits = CLIENT_LIMITS) -> None:
        self._version: Version | None = None
        super().__init__(limits)

    def _owed(self) -> bool:
        return self._version is not None

    def _grammar(self) -> Reader[None]:
        yield from tokens.expect(Token.DONE)
        version = self._version
        number = yield from tokens.read_value()
        if version is None or number != version:
            raise RemoteProtocolError(f"a response of version {number} to {version and int(version)}")
        status = yield from tokens.read_number(Token.STAT, 0, tokens.MAX_STATUS)
        if status == 0 and self.wants_to_send:
            raise RemoteProtocolError("a success before the whole request was sent")
        packed = version is not Version.PLAIN
        stderr = yield from self._message(Token.SERR, packed)
        stdout = yield from self._message(Token.SOUT, packed)
        self._events.append(Answered(status=status, stderr=stderr, stdout=stdout))
        for part in (Part.OBJECT, Part.DEPENDENCIES) if version is Version.PUMP and not status else (Part.OBJECT,):
            yield from tokens.expect(part.value)
            yield from self._body(part.value, packed, partial(self._take, part))
        self._events.append(AnswerComplete())

    def _take(self, part: Part, data: bytes, last: bool) -> None:
        self._events.append(OutputReceived(part=part, data=data, last=last))

    def _message(self, token: Token, packed: bool) -> Reader[bytes]:
        """Read what a compiler said, whole."""
        limit = min(self._left, self._limits.message_bytes)
        yield from tokens.expect(token)
        length = yield from tokens.read_bounded(token, 0, tokens.packed_limit(limit) if packed else limit)
        data = yield length
        if packed:
            data = lzo.unpack(data, limit)
        self._left -= len(data)
        return data

    def request(
        self,
        version: Version,
        args: Sequence[bytes],
        *,
        source: bytes | None = None,
        cwd: bytes = b"",
        names: Sequence[File | Link] = (),
    ) -> None:
        """Queue the request: ``source`` in versions 1 and 2, ``cwd`` and ``names`` in version 3.

        ``args`` begins with the compiler's name.  Raises :class:`LocalProtocolError` when a server would refuse it.
        """
        self._alive()
        if self._version is not None:
            raise LocalProtocolError("one job a connection")
        if version not in versions_here():
            raise LocalProtocolError("LZO is asked for, and the package lzallright is not installed")
        pump = version is Version.PUMP
        if pump is not (source is None) or pump is not bool(cwd) or (names and not pump):
            raise LocalProtocolError("versions 1 and 2 send a source, version 3 a directory and files")
        complaint = _complaint_about_arguments(args) or (_complaint_about_names(cwd, names) if pump else "")
        if complaint:
            raise LocalProtocolError(complaint)
        self._version = version
        self._say_number(Token.DIST, version)
        if pump:
            self._say(Token.CDIR, cwd)
        self._say_number(Token.ARGC, len(args))
        for arg in args:
            self._say(Token.ARGV, arg)
        if source is not None:
            self._say(Token.DOTI, lzo.pack(source) if version is Version.LZO else source)
            return
        self._say_number(Token.NFIL, len(names))
        for entry in names:
            self._say(Token.NAME, entry.path)
            match entry:
                case File(data=data, packed=packed):
                    self._say(Token.FILE, data if packed else lzo.pack(data))
                case Link(target=target):
                    self._say(Token.LINK, target)


def _complaint_about_arguments(args: Sequence[bytes]) -> str:
    """Return why a server of ours would refuse ``args``, or nothing."""
    limits = SERVER_LIMITS
    if not 0 < len(args) <= limits.arguments or sum(map(len, args)) > limits.all_arguments_bytes:
        return f"{len(args)} arguments of {sum(map(len, args))} bytes"
    if any(len(arg) > limits.argument_bytes or b"\0" in arg for arg in args):
        return "an argument is too long or contains a zero byte"
    return ""


def _complaint_about_names(cwd: bytes, names: Sequence[File | Link]) -> str:
    """Return why a server of ours would refuse to build that tree, or nothing."""
    limits = SERVER_LIMITS
    places = tokens.Places(limits)
    if len(names) > limits.files:
        return f"{len(names)} files"
    for entry in names:
        complaint = places.add(entry.path)
        if complaint:
            return complaint
        if isinstance(entry, Link):
            if len(entry.target) > limits.path_bytes or b"\0" in entry.target:
                return f"the target of {tokens.shown(entry.path)} is too long or contains a zero byte"
            if tokens.kind_of_link(entry.path, entry.target) is LinkKind.OUTSIDE:
                return f"the link {tokens.shown(entry.path)} leads out of the tree"
    return tokens.complaint_about_path(cwd, limits)
