"""The agent's unix socket: launchers and the command line interface come in here.

One connection is one compile command.  Its end is the end of the job: a launcher that dies cancels it, and a
launcher that was told RUN became the compiler, whose end gives its local slot back.

Must not know: what a job needs; ``serve`` is asked for the outcome.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

from zdistcc.agent.job import Done, Failed, Here, Outcome
from zdistcc.errors import RemoteProtocolError
from zdistcc.schedule.events import JobId
from zdistcc.wire import control
from zdistcc.wire.control import AdminRequest, LaunchRequest, RequestReader

READ_BYTES: Final = 64 << 10
MAX_DESCRIPTORS: Final = 3
ACCEPT_PAUSE_S: Final = 0.1
_log = logging.getLogger("zdistcc.agent")


class Visitor:
    """One connection to the agent's socket."""

    def __init__(self, sock: socket.socket, door: Door, pid: int | None) -> None:
        """``pid``: the process at the other end, where the kernel tells."""
        sock.setblocking(False)
        self.pid = pid
        self._sock = sock
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._task: asyncio.Task[None] | None = None
        self._unsent = b""
        self._answered = False
        self._closed = False
        self.on_end: Callable[[], None] | None = None
        self.job: JobId | None = None
        self._loop.add_reader(sock, self._readable)

    @property
    def waiting(self) -> bool:
        """Whether a launcher waits for its answer."""
        return self._task is not None and not self._answered

    def still_there(self) -> bool:
        """Return whether the other end is open at this very moment."""
        if self._closed:
            return False
        try:
            return self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def send(self, data: bytes) -> None:
        """Send without blocking; the rest goes when the socket takes it."""
        if self._closed:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.add_writer(self._sock, self._writable)

    def answer(self, data: bytes) -> None:
        """Send the last reply."""
        self._answered = True
        self.send(data)

    def close(self) -> None:
        """End the connection and whatever hangs on it."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        if self._task is not None:
            self._task.cancel()
        if self.on_end is not None:
            self.on_end()
            self.on_end = None
        self._door.left(self)

    # --- inside ---------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data, ancillary, _, _ = self._sock.recvmsg(READ_BYTES, socket.CMSG_SPACE(MAX_DESCRIPTORS * 4))
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
                for descriptor in received:
                    os.close(
                        descriptor
                    )  # nothing here needs them, and 300 launchers would use up what a process may have
        if not data:
            self.close()
            return
        try:
            request = self._reader.receive_data(data)
        except RemoteProtocolError as error:
            _log.warning("a request could not be understood: %s", error)
            self.close()
            return
        if request is not None:
            self._task = asyncio.ensure_future(self._door.receive(self, request))

    def _writable(self) -> None:
        data, self._unsent = self._unsent, b""
        self._loop.remove_writer(self._sock)
        self.send(data)


class Door:
    """The listening socket and everybody who came in."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        launch: Callable[[LaunchRequest, Visitor], Awaitable[Outcome]],
        keep_slot: Callable[[Visitor], Awaitable[None]],
        admin: Callable[[bytes], Awaitable[bytes]],
        idle: Callable[[], None],
    ) -> None:
        """``launch`` decides a job, ``keep_slot`` waits for a local slot and ties it to the visitor's end."""
        listener.setblocking(False)
        self._listener = listener
        self._launch = launch
        self._keep_slot = keep_slot
        self._admin = admin
        self._idle = idle
        self._visitors: set[Visitor] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._accept)
        self._heart = self._loop.call_later(control.HEARTBEAT_S, self._beat)
        self._resting: asyncio.TimerHandle | None = None

    @property
    def visitors(self) -> int:
        """How many are in."""
        return len(self._visitors)

    def close(self) -> None:
        """Let nobody in any more and end all connections."""
        self._heart.cancel()
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for visitor in list(self._visitors):
            visitor.close()

    def left(self, visitor: Visitor) -> None:
        """``visitor`` is gone."""
        self._visitors.discard(visitor)
        if not self._visitors:
            self._idle()

    async def receive(self, visitor: Visitor, request: LaunchRequest | AdminRequest) -> None:
        """Answer one request; whatever goes wrong, the launcher runs its compiler."""
        if isinstance(request, AdminRequest):
            try:
                visitor.answer(control.encode_done(0, await self._admin(request.body), b""))
            except Exception:
                _log.exception("a bug in the agent; a question stays without an answer")
                visitor.close()
            return
        try:
            outcome = await self._launch(request, visitor)
            match outcome:
                case Done():
                    visitor.answer(control.encode_done(outcome.status, outcome.stdout, outcome.stderr))
                case Failed():
                    visitor.answer(control.encode_fail(outcome.code, f"zdistcc: {outcome.message}\n".encode()))
                case Here():
                    await self._keep_slot(visitor)
                    visitor.answer(control.encode_run())
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("a bug in the agent; the compiler runs locally")
            visitor.answer(control.encode_run())

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                try:
                    sock, _ = self._listener.accept()
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        self._rest(error)
                        return
                    raise
                pid, uid = _peer(sock)
                if uid == os.getuid():
                    self._visitors.add(Visitor(sock, self, pid))
                else:
                    sock.close()

    def _rest(self, error: OSError) -> None:
        """The listener stays readable while the process can open nothing: look away for a moment."""
        _log.error("nobody can be let in: %s", error.strerror)
        self._loop.remove_reader(self._listener)
        self._resting = self._loop.call_later(ACCEPT_PAUSE_S, self._loop.add_reader, self._listener, self._accept)

    def _beat(self) -> None:
        self._heart = self._loop.call_later(control.HEARTBEAT_S, self._beat)
        for visitor in list(self._visitors):
            if visitor.waiting:
                visitor.send(control.encode_wait())


def _peer(sock: socket.socket) -> tuple[int | None, int]:
    """Process and user at the other end; where the kernel does not tell, the private directory has to do."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None, os.getuid()
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return pid or None, uid
